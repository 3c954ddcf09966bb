"""The journal: what was written is there, what was torn is not."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from gpusched.core.commands import Launch
from gpusched.core.events import JobEnded, JobStarted, SessionOpened, SlotInfo
from gpusched.core.outcome import End, Failure
from gpusched.errors import UsageError
from gpusched.storage.journal import Journal, JournalError, JournalReader, Line

LINES: list[Line] = [
    SessionOpened(at=0.0, wall=1.0, pid=7, slots=[SlotInfo(index=0, devices=("cpu",))]),
    Launch(trial=0, attempt=1, slot=0, start_epoch=0, stop_epoch=3, values={"lr": 0.1, "näme": "ø"}),
    JobStarted(at=0.1, trial=0, attempt=1, pid=8),
    JobEnded(
        at=0.2,
        trial=0,
        attempt=1,
        end=End.FAILED,
        epochs=1,
        scores={"loss": [None]},
        failure=Failure(kind="ValueError", message="a\nb"),
    ),
]


def written(path: Path) -> Path:
    journal = Journal(path)
    journal.append(LINES[:2])
    journal.append(LINES[2:])
    journal.close()
    return path


def test_lines_come_back_as_they_went_in(tmp_path: Path) -> None:
    """Events and decisions, in their order, of the same types."""
    assert JournalReader(written(tmp_path / "journal")).read() == LINES


@pytest.mark.parametrize("lost", [1, 5, 60])
def test_a_torn_last_line_is_dropped(tmp_path: Path, lost: int) -> None:
    """A crash in mid-write costs that line alone, and the next append does not glue to it."""
    path = written(tmp_path / "journal")
    path.write_bytes(path.read_bytes()[:-lost])
    reader = JournalReader(path)
    assert reader.read() == LINES[:3]
    assert reader.torn
    journal = Journal(path)
    assert journal.cut
    journal.append(LINES[3:])
    journal.close()
    assert JournalReader(path).read() == LINES


def test_a_broken_line_before_the_last_is_an_error(tmp_path: Path) -> None:
    """What follows a broken line cannot be trusted; the message names file and line."""
    path = written(tmp_path / "journal")
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b"{half\n", b"\n", b"null\n"):
        path.write_bytes(lines[0] + damage + b"".join(lines[2:]))
        with pytest.raises(UsageError, match=r"journal: line 2 is not readable"):
            JournalReader(path).read()


def test_a_reader_follows_a_writer(tmp_path: Path) -> None:
    """Each read gives what is new, whole lines only."""
    path = tmp_path / "journal"
    reader = JournalReader(path)
    assert reader.read() == []
    journal = Journal(path)
    for line in LINES:
        journal.append([line])
        assert reader.read() == [line]
        assert reader.read() == []
    journal.close()


def test_a_full_disk_is_said_and_leaves_no_half_line(tmp_path: Path) -> None:
    """When no byte more can be written, the error names the file and the way out, and what was there stays whole."""
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(LINES[:2])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(JournalError, match=r"journal: cannot be written .*make room and run the same command"):
            journal.append(LINES[2:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert JournalReader(path).read() == LINES[:2]
    journal.append(LINES[2:])
    journal.close()
    assert JournalReader(path).read() == LINES


def test_what_was_checked_before_is_not_checked_again(tmp_path: Path) -> None:
    """From any line on a reader goes on with the checksums of the lines before it, and finds what was changed there."""
    path = written(tmp_path / "journal")
    whole = path.read_bytes()
    raws = whole.splitlines(keepends=True)
    for count in range(len(raws) + 1):
        known = sum(map(len, raws[:count]))
        path.write_bytes(whole)
        assert JournalReader(path, intact=known).read() == LINES
        for place in range(count, len(raws)):
            path.write_bytes(b"".join([*raws[:place], *raws[place + 1 :]]))
            if place + 1 < len(raws):
                with pytest.raises(UsageError, match=f"journal: line {place + 1} is not readable"):
                    JournalReader(path, intact=known).read()
