"""Hyperband (Li et al. 2018) without barriers, and every algorithm that is a row of brackets.

Knows which brackets there are, in which order their jobs go, and how trials are numbered: by iteration,
bracket in running order, and index, never by who started first. Several brackets are open at once; what
they decide depends on the scores reported and not on the order of the reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.oracles.base import Oracle
from gpusched.oracles.brackets import Bracket, BracketPlan, RungPlan, ceil_div, hyperband_table, shrunk
from gpusched.oracles.pareto import pareto_order
from gpusched.oracles.samplers import Sampler, make_sampler
from gpusched.oracles.types import Place, Plan, RungState, Trial

#: Full trainings left for each slot when the longest chains go first, and the brackets of long trainings before
#: those of short ones. Measured for 81/3 with trials of unequal speed (30 seeds): slots busy .95 on 4, .90 on 8,
#: where bracket order alone gives .93 and .85; first promotions come as early as with bracket order.
_TAIL = 2.5
#: A search so short that this share of it would be such a tail keeps bracket order among equal chains, and for longer:
#: the first bracket has the most promotions to wait for. 27/3 on 8 slots: busy .83, where _TAIL gives .78.
_SHORT, _SHORT_TAIL = 0.95, 1.5
#: Of several iterations, each bracket runs so many later than the one that cuts harder: early on most epochs go to
#: brackets that cut hard, in the long run as many to each. Regret on the learning curves of 24 tasks, for budgets of 20
#: and 50 full trainings: .248 and .176 without (0), .235 and .171 with 1.
_LAG = 1
#: Iterations beyond which a search is planned as one without end, as those mean it who ask for a million.
_FAR = 10_000


class Brackets(Oracle):
    """Runs a table of brackets ``iterations`` times over (None: without end).

    ``table`` has (s, [(trials, stop epoch) of each rung]) of each bracket in running order. ``max_trials``
    and the number of distinct configurations cut in the order of trial ids, before the start.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        *,
        table: Sequence[tuple[int, Sequence[tuple[int, int]]]],
        iterations: int | None,
        max_epochs: int,
        max_trials: int | None = None,
        seed: int = 0,
        sampler: Sampler | None = None,
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        if iterations is not None and (not isinstance(iterations, int) or iterations < 1):
            raise UsageError(f"iterations: {iterations!r} is not a number of iterations; give an integer of at least 1")
        super().__init__(
            hyperparameters,
            objective,
            max_epochs=max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=sampler,
            initial=initial,
        )
        self._table = table
        self._iterations = iterations
        self._offsets = [sum(rungs[0][0] for _, rungs in table[:b]) for b in range(len(table) + 1)]
        self._opened: dict[int, Bracket] = {}  # by number, in running order
        self._all_opened = False
        self._open: list[Bracket] = []  # those of them with work left
        self._limit = self._count_trials()
        self._epochs_planned = self._epochs_left = self._count_epochs(self._limit)

    # ------------------------------------------------------------------ the plan

    def _count_trials(self) -> int | None:
        """How many trials there can be; None without end."""
        planned = None if self._iterations is None else self._iterations * self._offsets[-1]
        limits = [n for n in (planned, self.max_trials, self._most_distinct()) if n is not None]
        return min(limits) + self.extra if limits else None

    def _most_distinct(self) -> int | None:
        distinct = self.space.distinct()
        return None if distinct is None else distinct - len(self.sampler.elsewhere)

    def _count_epochs(self, limit: int | None) -> float:
        """Planned epochs of the first ``limit`` trials."""
        if limit is None:
            return math.inf
        rounds, rest = divmod(limit, self._offsets[-1])
        whole = sum(_epochs(plan) for plan in self._plans(0, rest=self._offsets[-1]))
        return rounds * whole + sum(_epochs(plan) for plan in self._plans(rounds, rest=rest))

    def _plans(self, iteration: int, rest: int) -> Iterator[BracketPlan]:
        """The brackets of one iteration that has ``rest`` trials left to it."""
        for b in range(len(self._table)):
            there = min(rest - self._offsets[b], self._offsets[b + 1] - self._offsets[b])
            if there > 0:
                yield self._bracket_plan(iteration, b, there)

    def _bracket_plan(self, iteration: int, b: int, trials: int) -> BracketPlan:
        s, rungs = self._table[b]
        sizes = shrunk([n for n, _ in rungs], trials)
        stops = [stop for _, stop in rungs]
        first = iteration * self._offsets[-1] + self._offsets[b]
        plans = map(RungPlan, sizes, [0, *stops[:-1]], stops)
        return BracketPlan(iteration, s, first, tuple(plans))

    def _running_order(self) -> Iterator[int]:
        """The numbers of all brackets as a staircase: 0 of iteration 0; 1 of 0, 0 of 1; 2 of 0, 1 of 1, 0 of 2; …"""
        width = len(self._table)
        rounds = self._iterations
        if self._limit is not None:
            rounds = ceil_div(self._limit, self._offsets[-1])
        for step in count() if rounds is None else range(rounds + _LAG * (width - 1)):
            for b in reversed(range(width)):
                iteration = step - _LAG * b
                if iteration >= 0 and (rounds is None or iteration < rounds):
                    yield iteration * width + b

    def _planned(self, number: int) -> BracketPlan | None:
        """The bracket of this number, counted by iteration; None beyond the last."""
        iteration, b = divmod(number, len(self._table))
        trials = self._table[b][1][0][0]
        if self._limit is not None:
            trials = min(trials, self._limit - iteration * self._offsets[-1] - self._offsets[b])
        return self._bracket_plan(iteration, b, trials) if trials > 0 else None

    def plan(self) -> Plan:
        endless = self._limit is None or self._limit > _FAR * self._offsets[-1]
        plans = (self._planned(number) for number in count())
        some = islice(plans, len(self._table) if endless else None)
        brackets: list[BracketPlan] = []
        for plan in some:
            if plan is None:
                break
            brackets.append(plan)
        return Plan(tuple(brackets), None if endless else self._limit, None if endless else sum(map(_epochs, brackets)))

    def rungs(self) -> list[RungState]:
        return [
            RungState(
                iteration=bracket.plan.iteration,
                bracket=bracket.plan.bracket,
                rung=r,
                start_epoch=rung.start_epoch,
                stop_epoch=rung.stop_epoch,
                size=rung.size,
                promotes=rung.keep,
                finished=rung.finished,
                failed=rung.failed,
                missing=rung.missing,
                promoted=rung.promoted,
                trials=tuple(rung.members),
            )
            for bracket in self._opened.values()
            for r, rung in enumerate(bracket.rungs)
        ]

    @property
    def staged(self) -> bool:
        # Asked of every trial: more than two brackets are never looked at.
        return sum(len(bracket.rungs) for bracket in islice(self._opened.values(), 2)) > 1

    @property
    def several_iterations(self) -> bool:
        return self._limit is None or self._limit > self._offsets[-1]

    def place(self, trial_id: int) -> Place:
        iteration, rest = divmod(trial_id, self._offsets[-1])
        b = next(b for b in range(len(self._table)) if rest < self._offsets[b + 1])
        trial = self.trials.get(trial_id)
        return Place(iteration, self._table[b][0], trial.rung if trial else 0, rest - self._offsets[b])

    # ------------------------------------------------------------------ the order of jobs

    def _pick(self) -> tuple[int, int, int] | None:
        full = self.max_epochs * (self.slots if self.slots is not None else self._most_out)
        short = _TAIL * full > _SHORT * self._epochs_planned
        if self._epochs_left < (_SHORT_TAIL if short else _TAIL) * full:
            return self._pick_longest(last_first=not short)
        for bracket in self._open:
            r = bracket.next_rung()
            if r is not None:
                return self._take(bracket, r)
        if self._open_next():
            return self._take(self._open[-1], 0)
        return None

    def _pick_longest(self, *, last_first: bool) -> tuple[int, int, int] | None:
        """The job with the longest chain of epochs before it, so that no slot waits long for another at the end."""
        while self._open_next():
            pass
        least, found = self.max_epochs, None
        for bracket in reversed(self._open) if last_first else self._open:
            r = bracket.longest_rung()
            if r is not None and (start := bracket.rungs[r].start_epoch) < least:
                least, found = start, (bracket, r)
        return self._take(*found) if found else None

    def _open_next(self) -> bool:
        if self._all_opened:
            return False
        closed = (number for number in self._running_order() if number not in self._opened)
        number, plan = next(((n, plan) for n in closed if (plan := self._planned(n))), (0, None))
        if plan is None:
            self._all_opened = True
            return False
        rank = self._rank_points if len(self.objectives) > 1 else None
        bracket = Bracket(plan, self.scores, self._released, rank)
        self._opened[number] = bracket
        self._open.append(bracket)
        return True

    def _take(self, bracket: Bracket, r: int) -> tuple[int, int, int]:
        rung = bracket.rungs[r]
        self._epochs_left -= rung.stop_epoch - rung.start_epoch
        return bracket.take(r), rung.start_epoch, rung.stop_epoch

    # ------------------------------------------------------------------ what came of them

    def _bracket_of(self, trial_id: int) -> Bracket:
        iteration, rest = divmod(trial_id, self._offsets[-1])
        b = 0
        while rest >= self._offsets[b + 1]:
            b += 1
        return self._opened[iteration * len(self._table) + b]

    def _finished(self, trial: Trial) -> None:
        bracket = self._bracket_of(trial.id)
        bracket.finish(trial.id, trial.rung, stopped=trial.stopped)
        self._after(bracket)

    def _failed(self, trial: Trial) -> None:
        bracket = self._bracket_of(trial.id)
        bracket.fail(trial.id, trial.rung)
        self._after(bracket)

    def _again(self, trial: Trial) -> None:
        bracket = self._bracket_of(trial.id)
        bracket.give_back(trial.id, trial.rung)
        self._open = [each for each in self._opened.values() if not each.closed]
        self._after(bracket)

    def _after(self, bracket: Bracket) -> None:
        self._moved(bracket)
        self._epochs_left -= bracket.unfilled
        bracket.unfilled = 0
        if bracket.closed:
            self._open.remove(bracket)

    def _moved(self, bracket: Bracket) -> None:
        for trial_id, r in bracket.moved:
            trial = self.trials[trial_id]
            trial.rung = r
            if trial.stopped:
                trial.budget = bracket.rungs[r].stop_epoch
                self._ranking = None
        bracket.moved.clear()

    def _extended(self) -> None:
        self.sampler.extended()
        self._recount()

    def set_max_trials(self, max_trials: int | None) -> None:
        """Another budget, from now on. What was handed out stays; brackets that were cut grow, others shrink."""
        super().set_max_trials(max_trials)
        self._recount()

    def _recount(self) -> None:
        limit = self._count_trials()
        if limit == self._limit:
            return
        self._limit = limit
        self._epochs_planned = self._epochs_left = self._count_epochs(limit)
        for number, bracket in self._opened.items():
            plan = self._planned(number)
            planned = _epochs(plan) if plan else 0
            bracket.resize(plan or self._bracket_plan(*divmod(number, len(self._table)), 0))
            self._moved(bracket)
            self._epochs_left += sum(rung.epochs_left for rung in bracket.rungs) - planned
        self._open = [bracket for bracket in self._opened.values() if not bracket.closed]
        self._all_opened = False

    def _rank_points(self, trials: Iterable[int]) -> list[int]:
        return pareto_order({i: self.trials[i].point for i in trials})


def _epochs(plan: BracketPlan) -> int:
    return sum(rung.trials * (rung.stop_epoch - rung.start_epoch) for rung in plan.rungs)


class Hyperband(Brackets):
    """Hyperband with the bracket sizes of Keras Tuner.

    Args:
        hyperparameters: the space.
        objective: what to minimise or maximise; a list of several for a Pareto front.
        max_epochs: R, the epochs of a full training.
        factor: η, how hard a rung is cut.
        iterations: how often all brackets are run; None never ends.
        max_trials: cuts the search in the order of trial ids.
        seed: of all values.
        sampler: "random" or "model".
        initial: configurations that the first trials get; what they leave out is drawn.

    Source: Li et al., Hyperband, JMLR 18 (2018), Algorithm 1.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int = 100,
        factor: int = 3,
        iterations: int | None = 1,
        *,
        max_trials: int | None = None,
        seed: int = 0,
        sampler: str = "random",
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.factor = factor
        super().__init__(
            hyperparameters,
            objective,
            table=hyperband_table(max_epochs, factor),
            iterations=iterations,
            max_epochs=max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=make_sampler(sampler),
            initial=initial,
        )
