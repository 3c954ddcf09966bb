"""Where the values of a new trial come from: the seam between an algorithm and its sampler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from gpusched.hyperparameters import HyperParameter
from gpusched.objective import Objective
from gpusched.oracles.samplers.sobol import DIMENSIONS, sobol
from gpusched.oracles.samplers.space import Space
from gpusched.oracles.seeded_values import late_value, uniform
from gpusched.oracles.types import Job, Plan, Trial

#: Draws of one trial that may collide with earlier ones before the unused configurations are listed.
_ATTEMPTS = 64


class SearchSoFar(Protocol):
    """What a sampler reads of the oracle that it serves."""

    seed: int
    space: Space
    max_epochs: int
    objectives: list[Objective]
    trials: dict[int, Trial]
    known: dict[int, dict[str, Any]]

    def plan(self) -> Plan: ...


class Sampler:
    """Quasi-random values, each a function of (seed, trial id, its full name); the base of cleverer samplers.

    In a space of few configurations nothing is proposed twice: trials are drawn in the order of their ids,
    whatever the order in which they start, so that each knows those before it.
    """

    def begin(self, oracle: SearchSoFar, initial: list[dict[str, Any]]) -> None:
        """Binds the sampler to its oracle; the first trials get the ``initial`` configurations."""
        self.oracle = oracle
        self.space: Space = oracle.space
        self.seed = oracle.seed
        for given in initial:
            self.space.check(given)
        self._queued: list[dict[str, Any]] = initial
        self.elsewhere: set[tuple[Any, ...]] = set()  #: keys of configurations that need not be tried
        self._seen: set[tuple[Any, ...]] | None = None if self._repeats_allowed() else set()
        self._drawn: dict[int, dict[str, Any]] = {}  # drawn before their trial was asked for
        self._next = 0
        self._unused: list[dict[str, Any]] | None = None

    def enqueue(self, given: Mapping[str, Any]) -> None:
        """The next trial to be drawn gets these values."""
        self.space.check(given)
        self._queued.append(dict(given))

    @property
    def queued(self) -> int:
        """How many configurations wait for a trial."""
        return len(self._queued)

    @property
    def drawn(self) -> int:
        """How many trials have values, those included that have not started yet."""
        return len(self.oracle.trials) if self._seen is None else self._next

    def beside(self, given: Mapping[str, Any]) -> bool:
        """Whether trying this takes no other configuration's place."""
        return False

    def draw(self, trial_id: int) -> dict[str, Any]:
        """The values of this trial, which has none yet."""
        if self._seen is None:
            return self._propose(trial_id)
        self._draw_up_to(trial_id)
        return self._drawn.pop(trial_id)

    def adopt(self, trial_id: int, values: dict[str, Any]) -> None:
        """This trial has values already, from a journal."""
        if self._seen is None:
            self._next_queued()
        else:
            self._drawn[trial_id] = values
            self._draw_up_to(trial_id)
            self._drawn.pop(trial_id)

    def told(self, trial: Trial, job: Job) -> None:
        """A job of this trial has ended."""

    def again(self, trial: Trial) -> None:
        """This trial, which failed, trains again."""

    def learn(self, older: list[Trial]) -> None:
        """Trials of an older search are known; their ids are negative."""

    def avoid(self, configurations: Iterable[Mapping[str, Any]]) -> None:
        """These are known from elsewhere."""
        self.elsewhere.update(self.space.key(values) for values in configurations)
        if self._seen is not None:
            self._seen |= self.elsewhere

    def extended(self) -> None:
        """The space has grown: who was distinct is so still, with the values that trials draw late."""
        self._unused = None
        self.elsewhere.clear()
        if self._seen is None:
            return
        if self._repeats_allowed():
            self._seen = None
            return
        trials = {**{t.id: t.values for t in self.oracle.trials.values()}, **self._drawn}
        self._seen = {self._key(i, values) for i, values in trials.items()}

    # ------------------------------------------------------------------

    def _repeats_allowed(self) -> bool:
        return self.space.continuous

    def _propose(self, trial_id: int, attempt: int = 0) -> dict[str, Any]:
        given = self._next_queued() if attempt == 0 else None
        return self.space.fill(given or {}, lambda i, h: self._value(trial_id, i, h, attempt))

    def _value(self, trial_id: int, i: int, hyperparameter: HyperParameter, attempt: int) -> Any:
        return hyperparameter.prob_to_value(self._prob(trial_id, i, hyperparameter, attempt))

    def _prob(self, trial_id: int, i: int, hyperparameter: HyperParameter, attempt: int = 0) -> float:
        """The trial's place in this dimension: a quasi-random point, or chance where that would repeat an earlier one.

        Who was discovered late has no dimension of its own: it must be drawn as trials draw it for themselves.
        """
        name = hyperparameter.full_name
        if attempt or i >= min(self.space.initial, DIMENSIONS):
            return uniform(self.seed, trial_id, name, attempt)
        return sobol(trial_id, i, int(uniform(self.seed, -1, name) * 2**32))

    def _next_queued(self) -> dict[str, Any] | None:
        return self._queued.pop(0) if self._queued else None

    def _draw_up_to(self, trial_id: int) -> None:
        assert self._seen is not None
        while self._next <= trial_id:
            i = self._next
            self._next += 1
            values = self._drawn.get(i) or self.oracle.known.get(i)
            if values is not None:
                self._next_queued()
            else:
                values = self._distinct(i)
            self._drawn[i] = values
            self._seen.add(self._key(i, values))

    def _distinct(self, trial_id: int) -> dict[str, Any]:
        assert self._seen is not None
        values: dict[str, Any] = {}
        wanted = self._queued[0] if self._queued else None
        for attempt in range(_ATTEMPTS):
            values = self._propose(trial_id, attempt)
            if self._key(trial_id, values) not in self._seen or values == wanted:  # Asked for in full: even again.
                return values
        if self.space.distinct() is None:
            return values
        if self._unused is None:
            self._unused = list(self.space.enumerate())
        self._unused = [values for values in self._unused if self.space.key(values) not in self._seen]
        if not self._unused:
            return values
        return self._unused[int(uniform(self.seed, trial_id, "", _ATTEMPTS) * len(self._unused))]

    def _key(self, trial_id: int, values: Mapping[str, Any]) -> tuple[Any, ...]:
        whole = self.space.fill(values, lambda i, h: late_value(self.seed, trial_id, h))
        return self.space.key(whole)


RandomSampler = Sampler
