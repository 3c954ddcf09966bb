"""ASHA (Li et al. 2020): successive halving without rungs of a fixed size.

A finished trial goes on as soon as it is among the best 1/η of its rung; a slot that finds nobody to promote
starts a new trial. Who is promoted depends on the order of the reports: the same calls give the same decisions,
another number of slots does not. Trials are numbered in the order in which they start.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.oracles.base import Oracle
from gpusched.oracles.brackets import BracketPlan, RungPlan, hyperband_table
from gpusched.oracles.pareto import pareto_order
from gpusched.oracles.samplers import make_sampler
from gpusched.oracles.seeded_values import uniform
from gpusched.oracles.types import Place, Plan, RungState, Trial

#: A rung promotes at most so many times its best 1/η where a model proposes trials that get better and better: without,
#: nearly each is among the best when it comes, most epochs go to promotions, and few trials are started.
_CAP = 1.3


class TopRung:
    """The finished trials of one rung, split into the best 1/η and the rest; O(log n) for each arrival."""

    __slots__ = ("_best", "_ready", "_rest", "closed", "failed", "finished", "members", "promoted", "queue", "top")

    def __init__(self) -> None:
        self.members: list[int] = []
        self.finished = 0
        self.failed = 0
        self.closed = False  #: nobody more will come, and whoever goes on has been promoted
        self.promoted: set[int] = set()
        self.queue: list[int] = []  #: promoted into this rung or given back to it, their job not handed out yet
        self.top: set[int] = set()
        self._best: list[tuple[float, int]] = []  # the top as a heap, worst first: (-score, -trial)
        self._rest: list[tuple[float, int]] = []  # best first
        self._ready: list[tuple[float, int]] = []  # those of the top that were not promoted, best first; some are gone

    def add(self, score: float, trial: int) -> None:
        """A trial has finished."""
        self.finished += 1
        if self._best and (-score, -trial) > self._best[0]:
            worst, last = heapq.heapreplace(self._best, (-score, -trial))
            self._enter(score, trial)
            self.top.discard(-last)
            score, trial = -worst, -last
        heapq.heappush(self._rest, (score, trial))

    def grow(self, size: int) -> None:
        """The top has ``size`` places from now on."""
        while len(self.top) < size and self._rest:
            score, trial = heapq.heappop(self._rest)
            heapq.heappush(self._best, (-score, -trial))
            self._enter(score, trial)

    def _enter(self, score: float, trial: int) -> None:
        self.top.add(trial)
        if trial not in self.promoted:
            heapq.heappush(self._ready, (score, trial))

    def pop(self) -> int | None:
        """The best trial of the top that was not promoted; it is now."""
        while self._ready:
            _, trial = heapq.heappop(self._ready)
            if trial in self.top and trial not in self.promoted:
                self.promoted.add(trial)
                return trial
        return None


class ASHA(Oracle):
    """Asynchronous successive halving of the promotion type: a paused trial goes on from its checkpoint.

    Args:
        hyperparameters: the space.
        objective: what to minimise or maximise; a list of several for a Pareto front.
        max_epochs: R, the epochs of a full training.
        factor: η: of each rung the best 1/η go on.
        max_trials: how many configurations are tried; None never ends.
        brackets: how many of Hyperband's brackets the trials are dealt to; 1 starts all in the lowest rung.
        seed: of all values.
        sampler: "random" or "model"; with a model a rung promotes at most 1.3 times its best 1/η.
        initial: configurations that the first trials get; what they leave out is drawn.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int = 100,
        factor: int = 3,
        *,
        max_trials: int | None = None,
        brackets: int = 1,
        seed: int = 0,
        sampler: str = "random",
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        table = hyperband_table(max_epochs, factor)
        if not isinstance(brackets, int) or not 1 <= brackets <= len(table):
            raise UsageError(
                f"brackets: {brackets!r} is not one of 1 … {len(table)}, which max_epochs and factor allow"
            )
        super().__init__(
            hyperparameters,
            objective,
            max_epochs=max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=make_sampler(sampler),
            initial=initial,
        )
        self.factor = factor
        self._capped = sampler == "model"
        self._table = table[:brackets]
        self._stops = [[stop for _, stop in rungs] for _, rungs in self._table]
        self._rungs = [[TopRung() for _ in stops] for stops in self._stops]
        self._bracket: dict[int, int] = {}
        self._started = 0
        self._limit = self._count_trials()

    def _count_trials(self) -> int | None:
        limits = [n for n in (self.max_trials, self.space.distinct()) if n is not None]
        return min(limits) + self.extra if limits else None

    def _recount(self) -> None:
        self._limit = self._count_trials()
        for rungs in self._rungs:
            for rung in rungs:
                rung.closed = False

    # ------------------------------------------------------------------ what views read

    def plan(self) -> Plan:
        """One open-ended bracket each; how many trials reach an upper rung is not known before."""
        plans = []
        for (s, _), stops in zip(self._table, self._stops, strict=True):
            starts = [0, *stops[:-1]]
            plans.append(BracketPlan(0, s, 0, tuple(map(RungPlan, [0] * len(stops), starts, stops))))
        return Plan(tuple(plans), self._limit, None)

    def rungs(self) -> list[RungState]:
        return [
            RungState(
                iteration=0,
                bracket=self._table[b][0],
                rung=r,
                start_epoch=self._stops[b][r - 1] if r else 0,
                stop_epoch=self._stops[b][r],
                size=len(rung.members),
                promotes=self._places(b, r),
                finished=rung.finished,
                failed=rung.failed,
                missing=0,
                promoted=len(rung.promoted),
                trials=tuple(rung.members),
            )
            for b, rungs in enumerate(self._rungs)
            for r, rung in enumerate(rungs)
        ]

    @property
    def staged(self) -> bool:
        return sum(map(len, self._rungs)) > 1

    def place(self, trial_id: int) -> Place:
        trial = self.trials.get(trial_id)
        return Place(0, self._table[self._bracket.get(trial_id, 0)][0], trial.rung if trial else 0, trial_id)

    # ------------------------------------------------------------------ the order of jobs

    def _pick(self) -> tuple[int, int, int] | None:
        for b, rungs in enumerate(self._rungs):
            for r in range(len(rungs) - 1, -1, -1):
                if rungs[r].queue:
                    return rungs[r].queue.pop(0), self._stops[b][r - 1] if r else 0, self._stops[b][r]
        if self._limit is None or self._started < self._limit:
            trial_id = self._started
            self._started += 1
            b = self._bracket[trial_id] = self._deal(trial_id)
            self._rungs[b][0].members.append(trial_id)
            return trial_id, 0, self._stops[b][0]
        return None

    def _deal(self, trial_id: int) -> int:
        """The bracket of a new trial: as many in each as Hyperband would start there."""
        if len(self._table) == 1:
            return 0
        weights = [rungs[0][0] for _, rungs in self._table]
        at = uniform(self.seed, trial_id, "bracket") * sum(weights)
        b = 0
        while at >= weights[b]:
            at -= weights[b]
            b += 1
        return b

    # ------------------------------------------------------------------ what came of them

    def _finished(self, trial: Trial) -> None:
        self._arrive(trial)
        self._last_chance()

    def _failed(self, trial: Trial) -> None:
        b = self._bracket[trial.id]
        self._rungs[b][trial.rung].failed += 1
        self._released.append(trial.id)
        if trial.rung + 1 < len(self._rungs[b]):
            self._promote(b, trial.rung)
        self._last_chance()

    def _again(self, trial: Trial) -> None:
        rungs = self._rungs[self._bracket[trial.id]]
        rungs[trial.rung].failed -= 1
        rungs[trial.rung].queue.append(trial.id)
        for rung in rungs[trial.rung :]:
            rung.closed = False

    def _extended(self) -> None:
        self.sampler.extended()
        self._recount()

    def set_max_trials(self, max_trials: int | None) -> None:
        super().set_max_trials(max_trials)
        self._recount()

    def _places(self, b: int, r: int) -> int:
        rung = self._rungs[b][r]
        if r + 1 == len(self._rungs[b]):
            return 0
        places = (rung.finished + rung.failed) // self.factor
        # With the last trial in, the best of a rung too small for that goes on: else nobody would be trained in full.
        return max(places, 1) if self._final(b, r) else places

    def _final(self, b: int, r: int) -> bool:
        """Whether nobody will come into this rung any more."""
        if self._limit is None or self._started < self._limit:
            return False
        rungs = self._rungs[b]
        return all(not rung.queue and rung.finished + rung.failed == len(rung.members) for rung in rungs[: r + 1])

    def _arrive(self, trial: Trial) -> None:
        b = self._bracket[trial.id]
        rung = self._rungs[b][trial.rung]
        if trial.rung + 1 == len(self._rungs[b]):
            rung.finished += 1
            self._released.append(trial.id)
            return
        # With several objectives there is no score to sort by: the place in the rung's order is found when promoting.
        rung.add(trial.score, trial.id)
        self._promote(b, trial.rung)

    def _promote(self, b: int, r: int) -> None:
        rung = self._rungs[b][r]
        rung.grow(self._places(b, r))
        while (trial_id := self._next_up(rung, self._places(b, r))) is not None:
            trial = self.trials[trial_id]
            trial.rung = r + 1
            above = self._rungs[b][r + 1]
            above.members.append(trial_id)
            if not trial.stopped:
                above.queue.append(trial_id)
                continue
            trial.budget = self._stops[b][r + 1]
            self._ranking = None
            self._arrive(trial)

    def _next_up(self, rung: TopRung, places: int) -> int | None:
        if self._capped and len(rung.promoted) >= _CAP * places:
            return None
        if len(self.objectives) == 1:
            return rung.pop()
        settled = [i for i in rung.members if self.trials[i].budget and not self.trials[i].running]
        order = pareto_order({i: self.trials[i].point for i in settled if not self.trials[i].failed})
        chosen = next((i for i in order[:places] if i not in rung.promoted), None)
        if chosen is not None:
            rung.promoted.add(chosen)
        return chosen

    def _last_chance(self) -> None:
        """Once no new trial comes, rungs become final one after the other, and those left in them useless."""
        if self._limit is None or self._started < self._limit:
            return
        for b, rungs in enumerate(self._rungs):
            for r in range(len(rungs) - 1):
                if rungs[r].closed:
                    continue
                if not self._final(b, r):
                    break
                rungs[r].closed = True
                self._promote(b, r)
                gone = self._useless.union(self._released)
                left = (i for i in rungs[r].members if i not in rungs[r].promoted and i not in gone)
                self._released.extend(left)
