"""The time a search still takes: the real scheduler goes on with it on a virtual clock, at the pace seen so far.

Knows what finished jobs took. Refuses to know what a sampler will propose: the time does not depend on it, and a
model's proposals are dear, so that new trials get random values here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np

from gpusched.core.commands import Launch
from gpusched.core.events import JobEnded
from gpusched.core.outcome import End
from gpusched.core.search import Search
from gpusched.engines.simulated import go_on
from gpusched.oracles import CUSTOM
from gpusched.runtime.reader import Run, build_oracle
from gpusched.storage.records import SearchRecord

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

#: Jobs in the journal, and ahead, beyond which looking takes more than some 0.2 s; with so many, slots hardly idle
#: at the end, and a rule of three does.
_MOST_JOBS = 4_000
#: Seconds after which the pace of what runs is looked at again, though no job has ended.
_STALE = 5.0
#: Of the time between two looks, the share that looking may take.
_SHARE = 0.02


class Pace:
    """What a job takes: so much to start it, and so much an epoch, each trial at a speed of its own."""

    def __init__(self, jobs: Iterable[tuple[int, int, int, float]]) -> None:
        """Of finished jobs: (trial, epochs asked for, epochs trained, seconds). Raises ValueError without one."""
        seen = [job for job in jobs if job[2] > 0 and job[3] > 0]
        if not seen:
            raise ValueError("no job has finished yet")
        asked, trained, seconds = (np.array(column, dtype=float) for column in list(zip(*seen, strict=True))[1:])
        #: Where trials stop themselves early, the share of their epochs that they train.
        self.share = float(trained.sum() / asked.sum())
        self.startup = _intercept(trained, seconds)
        self.epoch = float((seconds - self.startup).clip(min=0).sum() / trained.sum())
        took: dict[int, list[float]] = {}
        for trial, _, epochs, spent in seen:
            took.setdefault(trial, [0.0, 0.0])
            took[trial][0] += spent
            took[trial][1] += self.startup + epochs * self.epoch
        self._speeds = {trial: spent / usual for trial, (spent, usual) in took.items()}
        self._all = [self._speeds[trial] for trial in sorted(self._speeds)]

    def seconds(self, launch: Launch) -> float:
        """Of a whole job. A trial that has not been seen goes at the speed of one that has."""
        speed = self._speeds.get(launch.trial, self._all[launch.trial * 7919 % len(self._all)])
        epochs = (launch.stop_epoch - launch.start_epoch) * self.share
        return speed * (self.startup + epochs * self.epoch)


def _intercept(epochs: Array, seconds: Array) -> float:
    """Seconds of a job of no epochs, by least squares of relative errors; 0 where all jobs are of one length."""
    if np.ptp(epochs) == 0:
        return 0.0
    weights = 1 / seconds
    table = np.stack([weights, epochs * weights], axis=1)
    found = np.linalg.lstsq(table, np.ones(len(seconds)), rcond=None)[0]
    return float(np.clip(found[0], 0.0, seconds.min()))


class Outlook:
    """Looks ahead again and again, seldom enough to cost nothing."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seen: tuple[int, int, float] | None = None  #: finished jobs, slots, and the wall clock at the last look
        self._end: float | None = None
        self._not_before = 0.0

    def seconds_left(self, now: float, wall: float, left: Mapping[int, float | None]) -> float | None:
        """Of running time; None where it cannot be told. `left` are the seconds of trials in training, where known."""
        search = self._run.search
        state = (search.finished_jobs, len(search.slots))
        stale = self._seen is None or state != self._seen[:2] or abs(wall - self._seen[2]) > _STALE
        began = time.perf_counter()
        if stale and began >= self._not_before:
            self._end = self._look(now, left)
            self._seen = (*state, wall)
            took = time.perf_counter() - began
            self._not_before = began + took / _SHARE
        return None if self._end is None else max(0.0, self._end - now)

    def _look(self, now: float, left: Mapping[int, float | None]) -> float | None:
        run = self._run
        if run.record.algorithm == CUSTOM or run.search.oracle.plan().trials is None or len(run.launches) > _MOST_JOBS:
            return None
        try:
            pace = Pace(_jobs(run))
        except ValueError:
            return None
        search = _twin(run)
        running: dict[int, float] = {}
        for trial in search.running:
            known = left.get(trial.id)
            if known is None:
                job, begun = trial.job, trial.started_at or now
                whole = pace.seconds(_launch(trial.id, job.start_epoch, job.stop_epoch))
                known = max(0.0, begun + whole - now)
            running[trial.id] = known
        scores = [s for trial in search.oracle.trials.values() if math.isfinite(s := trial.score)] or [0.0]
        sign = -1.0 if search.oracle.objectives[0].direction == "max" else 1.0

        def score(launch: Launch, epoch: int) -> float:
            # Who is promoted hardly matters here; that those are who have been good so far is the best guess.
            known = search.oracle.trials[launch.trial].score
            return sign * (known if math.isfinite(known) else scores[launch.trial * 7919 % len(scores)])

        return go_on(search, now, running, pace.seconds, score, most_jobs=_MOST_JOBS)


def _jobs(run: Run) -> list[tuple[int, int, int, float]]:
    launched = {(launch.trial, launch.attempt): (at, launch) for at, launch in run.launches}
    found = []
    for event in run.events:
        if isinstance(event, JobEnded) and event.end is End.COMPLETED:
            at, launch = launched.get((event.trial, event.attempt), (0.0, None))
            if launch is not None:
                asked = launch.stop_epoch - launch.start_epoch
                found.append((event.trial, asked, event.epochs - launch.start_epoch, event.at - at))
    return found


def _twin(run: Run) -> Search:
    """The same search once more, to be used up."""
    twin = Search(build_oracle(_without_model(run.record)), run.search.policy)
    twin.oracle.known.update({launch.trial: launch.values for _, launch in run.launches})
    for event in run.events:
        twin.handle(event)
    return twin


def _without_model(record: SearchRecord) -> SearchRecord:
    arguments = dict(record.arguments)
    if record.algorithm == "bayesian":
        arguments = {name: value for name, value in arguments.items() if name in ("max_epochs", "max_trials")}
        return msgspec.structs.replace(record, algorithm="random", arguments=arguments)
    if "sampler" in arguments:
        arguments["sampler"] = "random"
    return msgspec.structs.replace(record, arguments=arguments)


def _launch(trial: int, start: int, stop: int) -> Launch:
    return Launch(trial=trial, attempt=0, slot=0, start_epoch=start, stop_epoch=stop, values={})
