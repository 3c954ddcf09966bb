"""The real scheduler's decisions on a virtual clock: no processes, no waiting.

Drives the same state machine that a real search drives, so what it shows of slots, promotions and
makespan is what a real search with such durations does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gpusched.core.commands import AnyCommand, Finish, Launch
from gpusched.core.events import JobEnded, SessionOpened, SlotInfo
from gpusched.core.outcome import End
from gpusched.core.search import Policy, Search
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
    """The trial that a search would call its best: trained furthest, and best among those."""

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
    return _Clock(oracle, slots, epoch_seconds, values, startup_seconds).run()


class _Clock:
    def __init__(
        self,
        oracle: Oracle,
        slots: int,
        epoch_seconds: Callable[[int, dict[str, Any]], float],
        values: Callable[[int, dict[str, Any], int], float],
        startup_seconds: float,
    ) -> None:
        self._search = Search(oracle, Policy())
        self._slots = slots
        self._epoch_seconds, self._values, self._startup = epoch_seconds, values, startup_seconds
        self._names = [objective.name for objective in oracle.objectives]
        #: (end, order of launching, start, what): the order makes equal ends fall as they were launched
        self._running: list[tuple[float, int, float, Launch]] = []
        self._launched = 0
        self._spans: list[Span] = []

    def run(self) -> Simulation:
        infos = [SlotInfo(index=i, devices=("cpu",)) for i in range(self._slots)]
        opened = SessionOpened(at=0.0, wall=0.0, pid=0, slots=infos, max_trials=self._search.oracle.max_trials)
        finish = self._do(self._search.handle(opened), 0.0)
        while finish is None:
            end, _, start, launch = heapq.heappop(self._running)
            span = Span(launch.slot, launch.trial, launch.start_epoch, launch.stop_epoch, start, end)
            self._spans.append(span)
            finish = self._do(self._search.handle(self._ended(launch, end)), end)
        makespan = max((span.end for span in self._spans), default=0.0)
        used = sum(span.end - span.start for span in self._spans)
        busy = used / (makespan * self._slots) if makespan else 1.0
        return Simulation(makespan, busy, self._spans, self._best(), len(self._spans))

    def _do(self, commands: list[AnyCommand], now: float) -> Finish | None:
        finish = None
        for command in commands:
            if isinstance(command, Launch):
                epochs = command.stop_epoch - command.start_epoch
                seconds = self._startup + epochs * self._epoch_seconds(command.trial, command.values)
                heapq.heappush(self._running, (now + seconds, self._launched, now, command))
                self._launched += 1
            elif isinstance(command, Finish):
                finish = command
        return finish

    def _ended(self, launch: Launch, end: float) -> JobEnded:
        epochs = range(launch.start_epoch + 1, launch.stop_epoch + 1)
        scores: list[float | None] = [self._values(launch.trial, launch.values, epoch) for epoch in epochs]
        return JobEnded(
            at=end,
            trial=launch.trial,
            attempt=launch.attempt,
            end=End.COMPLETED,
            epochs=launch.stop_epoch,
            scores=dict.fromkeys(self._names, scores),
        )

    def _best(self) -> Best | None:
        oracle = self._search.oracle
        for trial_id in oracle.rank():
            trial = oracle.trials[trial_id]
            sign = -1.0 if oracle.objectives[0].direction == "max" else 1.0
            return Best(trial_id, trial.values, sign * trial.score, trial.epochs)
        return None
