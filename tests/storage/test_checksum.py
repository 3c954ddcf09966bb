"""A bit that flips on a disk: whoever reads the file knows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gpusched.core.commands import Launch
from gpusched.core.events import JobStarted, SessionClosed
from gpusched.core.outcome import End
from gpusched.errors import UsageError
from gpusched.storage.journal import Journal, JournalReader, Line
from gpusched.storage.metrics import append, read_lines, read_metrics
from gpusched.storage.reading import Unreadable, read
from gpusched.storage.records import Outcome
from gpusched.storage.rundir import read_record, write_record

OUTCOME = Outcome(trial=1, attempt=2, end=End.COMPLETED, start_epoch=0, epochs=3, scores={"loss": [0.5, 0.25, 0.1]})
EPOCHS = [{"epoch": epoch, "loss": 1 / epoch, "seconds": 0.5} for epoch in (1, 2, 3)]
LINES: list[Line] = [
    JobStarted(at=1.0, trial=0, attempt=1, pid=8),
    Launch(trial=1, attempt=1, slot=0, start_epoch=0, stop_epoch=3, values={"lr": 0.1}),
    JobStarted(at=1.5, trial=1, attempt=1, pid=9),
    SessionClosed(at=2.0, reason="complete", code=0),
]


def flipped(content: bytes) -> Iterable[bytes]:
    """The content with each of its bits turned round, one at a time; line ends stay, and none is made."""
    for at, byte in enumerate(content):
        for bit in range(8):
            other = byte ^ (1 << bit)
            if 10 not in (byte, other):
                yield content[:at] + bytes([other]) + content[at + 1 :]


def test_no_bit_of_a_record_changes_unnoticed(tmp_path: Path) -> None:
    """Either the record is as it was, or it is not readable."""
    path = tmp_path / "outcome.json"
    write_record(path, OUTCOME)
    assert read_record(path, Outcome) == OUTCOME
    for content in flipped(path.read_bytes()):
        path.write_bytes(content)
        found = read(path, Outcome)
        assert found == OUTCOME or isinstance(found, Unreadable)


def test_no_bit_of_the_metrics_changes_unnoticed(tmp_path: Path) -> None:
    """A line is as it was written, or it is left out and named."""
    path = tmp_path / "metrics.jsonl"
    for epoch in EPOCHS:
        append(path, epoch)
    assert read_lines(path) == (EPOCHS, [])
    for content in flipped(path.read_bytes()):
        path.write_bytes(content)
        found, damaged = read_lines(path)
        assert found == [each for number, each in enumerate(EPOCHS, 1) if number not in damaged]
        assert len(damaged) <= 1


def test_epochs_that_no_trial_has_counted_are_left_out(tmp_path: Path) -> None:
    """A number of an epoch out of this world, or something that is no number, does not come to whoever draws it."""
    path = tmp_path / "metrics.jsonl"
    lines = ['{"epoch": 1, "loss": 1}', '{"epoch": 1000000000000000000, "loss": 1}', '{"epoch": 2, "loss": "x"}']
    lines += [f'{{"epoch": 3, "loss": {10**400}}}']
    path.write_text("".join(line + "\n" for line in lines))
    assert read_lines(path) == ([{"epoch": 1, "loss": 1}], [2, 3, 4])


def test_metrics_of_an_older_version_are_read(tmp_path: Path) -> None:
    """Their lines have no checksum; lines that are added have one."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1, "loss": 1.0}\n')
    append(path, EPOCHS[1])
    assert read_metrics(path) == [{"epoch": 1, "loss": 1.0}, EPOCHS[1]]


def written(path: Path, lines: list[Line]) -> bytes:
    journal = Journal(path)
    journal.append(lines)
    journal.close()
    return path.read_bytes()


def lose(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def repeat(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[1:]]


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def strip(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1][: lines[1].index(b',"crc32"')] + b"}\n", *lines[2:]]


@pytest.mark.parametrize("harm", [lose, repeat, swap, strip])
def test_a_journal_that_has_not_all_its_lines_in_order_is_refused(
    tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]]
) -> None:
    """A line that is lost, doubled, out of its place or without its checksum: what follows cannot be trusted."""
    path = tmp_path / "journal"
    path.write_bytes(b"".join(harm(written(path, LINES).splitlines(keepends=True))))
    with pytest.raises(UsageError, match=r"journal: line [23] is not readable"):
        JournalReader(path).read()


def test_no_bit_of_a_journal_changes_unnoticed(tmp_path: Path) -> None:
    """The lines are those that were written, or the journal is refused."""
    path = tmp_path / "journal"
    content = written(path, LINES)
    refused = 0
    for harmed in random.Random(0).sample(list(flipped(content)), 800):
        path.write_bytes(harmed)
        try:
            assert JournalReader(path).read() == LINES
        except UsageError:
            refused += 1
    assert refused > 700


def test_a_journal_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its lines have no checksum; those that are added have, over all sessions that add some."""
    path = tmp_path / "journal"
    lines = written(path, LINES[:1])
    path.write_bytes(lines[: lines.index(b',"crc32"')] + b"}\n")
    for line in LINES[1:]:
        written(path, [line])
    assert JournalReader(path).read() == LINES


def test_a_journal_whose_last_line_is_damaged_is_opened_and_not_read(tmp_path: Path) -> None:
    """Who is about to write to it reads it first, and hears which line it is."""
    path = tmp_path / "journal"
    content = written(path, LINES)
    path.write_bytes(content[:-4] + b'z"}\n')
    Journal(path).close()
    with pytest.raises(UsageError, match=f"line {len(LINES)} is not readable"):
        JournalReader(path).read()
