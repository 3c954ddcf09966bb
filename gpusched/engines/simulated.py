"""The real scheduler's decisions on a virtual clock: no processes, no waiting.

Drives the same state machine that a real search drives, so what it shows of slots, promotions and
makespan is what a real search with such durations does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gpusched.core.commands import Finish, Launch
from gpusched.core.events import JobEnded, SessionOpened, SlotInfo
from gpusched.core.outcome import End
from gpusched.core.policy import Policy
from gpusched.core.search import Search
from gpusched.errors import UsageError
from gpusched.oracles import Oracle


class Span(NamedTuple):
    """A slot at work on a job; times in seconds since the search began."""

    slot: int
    trial: int
    start_epoch: int
    stop_epoch: int
    start: float
    end: float


@dataclass(frozen=True)
class Best:
    """The trial that a search would call its best: the one with the best score at any epoch."""

    trial: int
    values: dict[str, Any]
    score: float | None
    epochs: int


@dataclass(frozen=True)
class Simulation:
    """How a search went on the virtual clock."""

    makespan: float  #: seconds to the end of the last job
    busy: float  #: share of slot-seconds in use, start-ups included, 0 … 1
    spans: list[Span]  #: in the order of their ends
    best: Best | None  #: None where no job was trained
    jobs: int


def simulate(
    oracle: Oracle,
    slots: int = 8,
    epoch_seconds: Callable[[int, dict[str, Any]], float] = lambda trial_id, values: 1.0,
    values: Callable[[int, dict[str, Any], int], float] = lambda trial_id, values, epoch: 0.0,
    startup_seconds: float = 0.0,
) -> Simulation:
    """Runs a whole search on a virtual clock.

    Args:
        oracle: a fresh one; it is used up.
        slots: how many trials run at once.
        epoch_seconds: (trial_id, values) → seconds one epoch takes.
        values: (trial_id, values, epoch) → the objective after that epoch; epochs count from 1.
        startup_seconds: of each job, before its first epoch.

    Raises UsageError where slots are fewer than one, or the oracle never ends.
    """
    if slots < 1:
        raise UsageError(f"slots: {slots!r} cannot run anything; give at least 1")
    if oracle.plan().trials is None:
        raise UsageError("this oracle never ends: give it iterations or max_trials before simulating it")
    infos = [SlotInfo(index=i, devices=("cpu",)) for i in range(slots)]
    opened = SessionOpened(at=0.0, wall=0.0, pid=0, slots=infos, max_trials=oracle.max_trials)

    def job_seconds(launch: Launch) -> float:
        epochs = launch.stop_epoch - launch.start_epoch
        return startup_seconds + epochs * epoch_seconds(launch.trial, launch.values)

    clock = _Clock(
        Search(oracle, Policy()), job_seconds, lambda launch, epoch: values(launch.trial, launch.values, epoch)
    )
    clock.take(opened)
    clock.run()
    makespan = max((span.end for span in clock.spans), default=0.0)
    used = sum(span.end - span.start for span in clock.spans)
    busy = used / (makespan * slots) if makespan else 1.0
    return Simulation(makespan, busy, clock.spans, _best(oracle), len(clock.spans))


def go_on(
    search: Search,
    now: float,
    left: Mapping[int, float],
    job_seconds: Callable[[Launch], float],
    values: Callable[[Launch, int], float],
    *,
    most_jobs: int,
) -> float | None:
    """When a search that is under way will end, as seconds of its running time; None where it will not by itself.

    Args:
        search: used up.
        now: seconds of its running time.
        left: seconds, of each trial in training.
        job_seconds: of a job that is launched from now on.
        values: (launch, epoch) → the objective after that epoch.
        most_jobs: None where more of them are needed.
    """
    clock = _Clock(search, job_seconds, values)
    for trial in search.running:
        job = trial.job
        launch = Launch(
            trial=trial.id,
            attempt=trial.attempt,
            slot=trial.slot or 0,
            start_epoch=job.start_epoch,
            stop_epoch=job.stop_epoch,
            values=job.values,
        )
        clock.launched(launch, now, left[trial.id])
    if not clock.run(most_jobs):
        return None
    return max((span.end for span in clock.spans), default=now)


class _Clock:
    """Ends jobs in the order of their ends, and tells the search."""

    def __init__(
        self, search: Search, job_seconds: Callable[[Launch], float], values: Callable[[Launch, int], float]
    ) -> None:
        self._search, self._job_seconds, self._values = search, job_seconds, values
        self._names = [objective.name for objective in search.oracle.objectives]
        #: (end, order of launching, start, what): the order makes equal ends fall as they were launched
        self._running: list[tuple[float, int, float, Launch]] = []
        self._launched = 0
        self._finished = False
        self.spans: list[Span] = []

    def run(self, most_jobs: float = math.inf) -> bool:
        """To the search's end; whether it came to that."""
        while self._running and not self._finished and len(self.spans) < most_jobs:
            end, _, start, launch = heapq.heappop(self._running)
            self.spans.append(Span(launch.slot, launch.trial, launch.start_epoch, launch.stop_epoch, start, end))
            self.take(self._ended(launch, end))
        return self._finished

    def take(self, event: SessionOpened | JobEnded) -> None:
        for command in self._search.handle(event):
            if isinstance(command, Launch):
                self.launched(command, event.at, self._job_seconds(command))
            elif isinstance(command, Finish):
                self._finished = True

    def launched(self, launch: Launch, now: float, seconds: float) -> None:
        heapq.heappush(self._running, (now + seconds, self._launched, now, launch))
        self._launched += 1

    def _ended(self, launch: Launch, end: float) -> JobEnded:
        epochs = range(launch.start_epoch + 1, launch.stop_epoch + 1)
        scores: list[float | None] = [self._values(launch, epoch) for epoch in epochs]
        return JobEnded(
            at=end,
            trial=launch.trial,
            attempt=launch.attempt,
            end=End.COMPLETED,
            epochs=launch.stop_epoch,
            scores=dict.fromkeys(self._names, scores),
        )


def _best(oracle: Oracle) -> Best | None:
    for trial_id in oracle.rank():
        trial = oracle.trials[trial_id]
        sign = -1.0 if oracle.objectives[0].direction == "max" else 1.0
        return Best(trial_id, trial.values, sign * trial.score, trial.epochs)
    return None
