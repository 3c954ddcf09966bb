"""What a replay came to, kept: the same search as the journal's own, or nothing."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpusched.core.commands import Finish
from gpusched.core.events import Event
from gpusched.core.search import Search
from gpusched.runtime.reader import Run
from gpusched.storage import snapshot
from gpusched.storage.journal import JournalReader
from gpusched.storage.rundir import RunDir, as_json, write_whole

ALGORITHMS: dict[str, dict[str, Any]] = {
    "hyperband": {"max_epochs": 9, "factor": 3, "iterations": 2},
    "asha": {"max_epochs": 9, "factor": 3, "max_trials": 20},
    "random": {"max_epochs": 2, "max_trials": 20},
}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where snapshots are; every journal is worth one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("gpusched.runtime.reader.WORTH", 1)
    return tmp_path / "state" / "gpusched" / "snapshots"


def known(search: Search) -> Any:
    """All there is to know of a search."""
    oracle = search.oracle
    trials = [
        [
            getattr(trial, name, None)
            for name in ("id", "state", "attempt", "epochs", "seconds", "slot", "failure", "job")
        ]
        for trial in search.trials.values()
    ]
    memory = [[getattr(trial, name) for name in type(trial).__slots__] for trial in oracle.trials.values()]
    slots = (search.slots.taken, search.slots.free, search.running, search.phase, search.at, search.sessions)
    return (trials, memory, oracle.rank(), oracle.rungs(), oracle.scores, slots[:2], slots[3:])


def plain(run: RunDir) -> Run:
    """The run from its journal alone."""
    for each in snapshot._file(run).parent.glob("*"):
        each.unlink()
    return Run(run)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_from_any_line_on_it_is_the_same_search(make_run: Callable[..., Any], algorithm: str, tmp_path: Path) -> None:
    """Wherever a snapshot was taken, what follows leads to the same state by the same decisions."""
    made = make_run(algorithm=algorithm, slots=3, failing={2, 5}, **ALGORITHMS[algorithm]).finish()
    whole = made.dir.journal.read_bytes()
    content = whole.splitlines(keepends=True)
    expected = known(plain(made.dir).search)
    for lines in range(1, len(content), 7):
        made.dir.journal.write_bytes(b"".join(content[:lines]))
        before = plain(made.dir)
        made.dir.journal.write_bytes(whole)
        restored = snapshot.restore(made.dir)
        assert restored is not None
        assert restored.lines == lines
        assert known(restored.search) == known(before.search)
        after = Run(made.dir)
        assert known(after.search) == expected
        assert after.events == made.run.events
        assert after.launches == made.run.launches


def test_decisions_after_it_are_those_of_the_journal(make_run: Callable[..., Any]) -> None:
    """A scheduler that goes on from a snapshot decides as one that has replayed everything."""
    made = make_run(slots=3, **ALGORITHMS["hyperband"])
    for _ in range(12):
        made.step()
    plain(made.dir)
    restored = Run(made.dir).search
    reader = JournalReader(made.dir.journal)
    reader.read()
    made.finish()
    decided, written = [], []
    for line in reader.read():
        if isinstance(line, Event):
            decided += [command for command in restored.handle(line) if not isinstance(command, Finish)]
        else:
            written.append(line)
    assert decided == written
    assert known(restored) == known(made.run.search)


def test_a_damaged_snapshot_is_not_believed(make_run: Callable[..., Any]) -> None:
    """Whichever byte has changed, and wherever it was cut: the journal is replayed, and nothing is said."""
    made = make_run(**ALGORITHMS["random"]).finish()
    expected = known(plain(made.dir).search)
    file = snapshot._file(made.dir)
    whole = file.read_bytes()
    for at in [*range(0, 500, 3), *range(500, len(whole), 997)]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert snapshot.restore(made.dir) is None, at
        file.write_bytes(whole[:at])
        assert snapshot.restore(made.dir) is None, at
    assert known(Run(made.dir).search) == expected
    assert snapshot.restore(made.dir) is not None


def test_a_snapshot_of_another_journal_is_not_believed(make_run: Callable[..., Any]) -> None:
    """A byte of what was replayed has changed, the journal was cut, or search.json says something else."""
    made = make_run(**ALGORITHMS["random"]).finish()
    plain(made.dir)
    journal, search = made.dir.journal.read_bytes(), made.dir.search.read_bytes()
    for path, content in (
        (made.dir.journal, journal.replace(b'"epochs":2', b'"epochs":1', 1)),
        (made.dir.journal, journal[: journal.rindex(b"\n", 0, -1) + 1]),
        (made.dir.journal, b""),
        (made.dir.search, as_json(msgspec.structs.replace(made.dir.read_search(), policy={"max_retries": 3}))),
    ):
        path.write_bytes(content)
        assert snapshot.restore(made.dir) is None
        made.dir.journal.write_bytes(journal)
        made.dir.search.write_bytes(search)
    assert snapshot.restore(made.dir) is not None


def test_other_code_replays_anew(make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older version of the rules came to is not what this one would."""
    made = make_run(**ALGORITHMS["random"]).finish()
    plain(made.dir)
    monkeypatch.setattr(snapshot, "_code", lambda: "another")
    assert snapshot.restore(made.dir) is None


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_snapshot_runs_no_code(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """Even with every digest right it makes nothing but what a search is made of."""
    made = make_run(**ALGORITHMS["random"]).finish()
    plain(made.dir)
    file = snapshot._file(made.dir)
    head = msgspec.json.decode(file.read_bytes().partition(b"\n")[0])
    body = pickle.dumps(_Evil(tmp_path / "evil"))
    head["body"] = hashlib.sha256(body).hexdigest()
    write_whole(file, msgspec.json.encode(head) + b"\n" + body)
    assert snapshot.restore(made.dir) is None
    assert not (tmp_path / "evil").exists()


def test_without_a_place_for_it_nothing_is_kept(make_run: Callable[..., Any], kept: Path) -> None:
    """A home that cannot be written costs time, not the answer."""
    made = make_run(**ALGORITHMS["random"]).finish()
    expected = known(plain(made.dir).search)
    for each in kept.glob("*"):
        each.unlink()
    kept.rmdir()
    kept.write_text("no folder")
    assert known(Run(made.dir).search) == expected


def test_a_grid_is_replayed(make_run: Callable[..., Any], kept: Path) -> None:
    """What is no data, like a walk through a grid, is not kept."""
    made = make_run(algorithm="grid", max_epochs=1, max_trials=5).finish()
    assert known(Run(made.dir).search) == known(plain(made.dir).search)
    assert not list(kept.glob("*"))


@pytest.mark.parametrize("limit", ["_MOST", "_ALL"])
def test_few_are_kept(make_run: Callable[..., Any], kept: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """The newest, so many and so many bytes; who ran a thousand searches does not fill the disk."""
    made = make_run("first", algorithm="random", max_epochs=1, max_trials=1).finish()
    Run(made.dir)
    size = snapshot._file(made.dir).stat().st_size
    monkeypatch.setattr(snapshot, limit, 3 if limit == "_MOST" else 3 * size + size // 2)
    for number in range(6):
        made = make_run(f"run {number}", algorithm="random", max_epochs=1, max_trials=1).finish()
        Run(made.dir)
        assert snapshot.restore(made.dir) is not None
    assert len(list(kept.glob("*"))) == 3
