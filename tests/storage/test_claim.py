"""A trial is its process's as long as process.json names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpusched.engines import left
from gpusched.storage import claim
from gpusched.storage.files import make_folder
from gpusched.storage.metrics import amend, append, read_metrics, truncate_after
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir
from gpusched.trial.checkpoint import States


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setattr(claim, "_own", None)
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    return run


def take(run: RunDir, attempt: int = 1) -> None:
    run.make_trial(0)
    spec = JobSpec(run=str(run.path), trial=0, attempt=attempt, values={}, start_epoch=0, stop_epoch=1, seed=0)
    claim.take(run, spec)


def put(states: States, state: bytes) -> None:
    def write(path: Path) -> None:
        path.write_bytes(state)

    states.put(1, {".bin": write})


def test_a_process_that_has_taken_no_trial_is_free(run: RunDir) -> None:
    """Whoever calls the parts of a trial by themselves."""
    put(States(run.make_trial(0).checkpoint), b"state")
    claim.check()


@pytest.mark.parametrize("how", ["the next attempt", "a fresh start", "no folder"])
def test_a_trial_is_lost_to_whoever_takes_it(run: RunDir, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another attempt, a run in this one's place, or the folder's end: nothing more is put into its place."""
    take(run)
    states = States(run.trial(0).checkpoint)
    put(states, b"older")
    with monkeypatch.context() as other:
        other.setattr(claim, "_own", None)
        if how == "the next attempt":
            take(run, attempt=2)
        elif how == "a fresh start":
            run.move_aside()
            run.path.mkdir()
            take(run)
        else:
            shutil.rmtree(run.trial(0).path)
            run.make_trial(0)
        put(States(run.trial(0).checkpoint), b"newer")
    with pytest.raises(claim.Superseded):
        claim.check()
    with pytest.raises(claim.Superseded):
        put(states, b"older")
    kept = States(run.trial(0).checkpoint).file(".bin")
    assert kept is not None
    assert kept.read_bytes() == b"newer"


def test_marks_of_the_original_are_not_a_copys(run: RunDir, tmp_path: Path) -> None:
    """By them processes are killed. Those of earlier versions, which say nothing of the place, are believed."""
    make_folder(run.path, "launcher")
    left.note_mark(run, "mine")
    shutil.copytree(run.path, tmp_path / "copy")
    copy = RunDir(tmp_path / "copy")
    assert (left.marks(run), left.marks(copy)) == ({"mine"}, set())
    left.note_mark(copy, "another")
    with open(copy.launcher / "marks", "a", encoding="ascii") as file:
        file.write("earlier\n")
    assert left.marks(copy) == {"another", "earlier"}


def test_lines_of_an_attempt_that_was_replaced_are_left_out(tmp_path: Path) -> None:
    """What it writes when the next has begun, and of epochs that the next has trained again, of each execution."""
    path = tmp_path / "metrics.jsonl"
    for epoch, execution, attempt in [(1, 0, 1), (2, 0, 1), (1, 1, 1), (3, 0, 1)]:
        append(path, {"epoch": epoch, "execution": execution, "loss": 100.0}, attempt)
    truncate_after(path, 2, 0)
    append(path, {"epoch": 2, "execution": 1, "loss": 100.0}, 1)
    for epoch, attempt in [(3, 1), (4, 1), (3, 2), (5, 1), (4, 2), (4, 1)]:
        append(path, {"epoch": epoch, "execution": 0, "loss": 100.0 if attempt == 1 else 1.0}, attempt)
    append(path, {"epoch": 2, "execution": 1, "loss": 1.0}, 2)
    found = [(line["execution"], line["epoch"], line["loss"]) for line in read_metrics(path)]
    assert found == [(0, 1, 100.0), (0, 2, 100.0), (1, 1, 100.0), (0, 3, 1.0), (0, 4, 1.0), (1, 2, 1.0)]
    before = path.read_bytes()
    amend(path, 1, {"late": 5})
    assert read_metrics(path)[-1] == {"epoch": 2, "execution": 1, "loss": 1.0, "late": 5, "seconds": None}
    truncate_after(path, 9)
    assert len(path.read_bytes().splitlines()) == 6 < len(before.splitlines())
    assert path.read_bytes().count(b'"attempt":"2"') == 3


def test_a_metric_may_have_been_called_attempt(tmp_path: Path) -> None:
    """In runs of earlier versions: it is a number, and stays one."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch":1,"attempt":3}\n{"epoch":2,"attempt":1}\n')
    assert read_metrics(path) == [{"epoch": 1, "attempt": 3}, {"epoch": 2, "attempt": 1}]
