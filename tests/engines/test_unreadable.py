"""What a trial left cannot be read: for a moment, or for good."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gpusched.core.events import JobEnded
from gpusched.core.outcome import End, Usage
from gpusched.engines import job_result, local
from gpusched.launcher.protocol import Ended
from gpusched.storage.reading import Unreadable, read_content
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir

LOCAL = pytest.mark.parametrize("engines", ["local"], indirect=True)


class Away:
    """A share that is away from the first read of an outcome on, for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.since = seconds, 0.0

    def __call__(self, path: Path) -> bytes | Unreadable | None:
        self.since = self.since or time.monotonic()
        if time.monotonic() - self.since < self.seconds:
            return Unreadable(f"{path}: cannot be read (Stale file handle)", refused=True)
        return read_content(path)


@LOCAL
async def test_a_share_that_is_away_for_a_moment_costs_nothing(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is told once, as it was, when it can be read."""
    monkeypatch.setattr(job_result, "read_content", Away(0.5))
    async with engines() as place:
        await place.engine.launch(place.spec(0))
        await place.engine.launch(place.spec(1))
        ends = [await place.end_of(0), await place.end_of(1)]
    assert [(end.end, end.epochs, end.scores) for end in ends] == [(End.COMPLETED, 2, {"val_loss": [1.0, 0.5]})] * 2
    assert [len(place.ends(trial)) for trial in range(2)] == [1, 1]


@LOCAL
async def test_one_that_stays_away_costs_the_attempt(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is to be made again from its checkpoint, and the reason names the file."""
    monkeypatch.setattr(local, "_REFUSED_SECONDS", 0.3)
    monkeypatch.setattr(job_result, "read_content", Away(600))
    monkeypatch.setattr(job_result, "read", lambda path, kind: Away(600)(path))
    async with engines() as place:
        await place.engine.launch(place.spec(0))
        end = await place.end_of(0)
    assert (end.end, end.failure.kind) == (End.KILLED, "unreadable")
    assert end.failure.message == f"{place.run.trial(0).outcome}: cannot be read (Stale file handle)"


@LOCAL
async def test_who_does_not_want_to_wait_for_it(engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt at once ends the waiting."""
    away = Away(600)
    monkeypatch.setattr(job_result, "read_content", away)
    monkeypatch.setattr(job_result, "read", lambda path, kind: away(path))
    async with engines() as place:
        await place.engine.launch(place.spec(0))
        await place.until(lambda: away.since)
        await place.engine.interrupt(0, 1, now=True)
        end = await place.end_of(0)
    assert end.end is End.INTERRUPTED


@LOCAL
async def test_a_folder_where_the_outcome_belongs(engines: Any) -> None:
    """The trial cannot say how it ended: that costs the attempt, since the disk takes what others write."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang"))
        await place.begun(0)
        place.run.trial(0).outcome.mkdir()
        (place.work.trial(0).path / "go").touch()
        end = await place.end_of(0)
    assert (end.end, end.failure.kind) == (End.KILLED, "disk")


@pytest.mark.parametrize("content", [b"", b"{", b'{"trial": 0, "attempt": 1, "end": "\xff"}', b"[" * 100_000])
def test_a_damaged_outcome_costs_the_attempt(content: bytes, tmp_path: Path) -> None:
    """Its process said that all is well, and what it wrote is no record. A process that was killed was killed."""
    run = RunDir(tmp_path)
    folder = run.trial(3)
    folder.path.mkdir(parents=True)
    folder.outcome.write_bytes(content)
    folder.metrics.write_bytes(b'{"epoch": 1}\n\xff\n{"epoch": 2}\n')
    spec = JobSpec(run=str(tmp_path), trial=3, attempt=1, values={}, start_epoch=0, stop_epoch=4, seed=0)

    def end(status: int) -> JobEnded:
        ended = Ended(trial=3, attempt=1, status=status, usage=Usage())
        return job_result.conclusion(run, spec, ended, interrupted=False, short_of_memory=lambda: False)

    well, killed = end(0), end(-9)
    assert well.failure is not None
    assert killed.failure is not None
    assert (well.end, well.epochs, well.failure.kind) == (End.KILLED, 2, "unreadable")
    assert f"{folder.outcome}: not readable as Outcome" in well.failure.message
    assert (killed.end, killed.epochs, killed.failure.kind) == (End.KILLED, 2, "signal")
