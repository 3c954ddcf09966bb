"""Oracles that train every trial in full: at random, by a model, or over a grid.

Each proposal is a function of the seed and of the trials so far: gpusched's own oracle is told them all, and asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpusched.hyperparameters import HyperParameters
from gpusched.objective import MultiObjective, Objective
from gpusched.oracles import BayesianOptimization, Job, RandomSearch
from gpusched.oracles import Oracle as PureOracle
from gpusched.trials import Trial, TrialStatus
from gpusched.tuners.oracle.base import Oracle

_NO_MORE: dict[str, Any] = {"status": TrialStatus.STOPPED, "values": None}
_LATER: dict[str, Any] = {"status": TrialStatus.IDLE, "values": None}


class RandomSearchOracle(Oracle):
    """Random values, no configuration twice.

    Args:
        max_trials: how many trials there are at most.

    The other arguments are Oracle's.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        super().__init__(
            objective,
            max_trials,
            hyperparameters,
            allow_new_entries,
            tune_new_entries,
            seed,
            max_retries_per_trial,
            max_consecutive_failed_trials,
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Values that no trial has had; STOPPED where all have been tried."""
        return proposal(RandomSearch(self.hyperparameters, objectives(self), max_trials=None, seed=self.seed), self)


class BayesianOptimizationOracle(Oracle):
    """A Gaussian process over the trials so far proposes the next.

    Args:
        max_trials: how many trials there are at most.
        num_initial_points: how many are drawn at random first; None: three for each hyperparameter.
        alpha: noise of the objective that the process reckons with, as a share of the scores' variance.
        beta: how much it explores: the larger, the more.

    The other arguments are Oracle's.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        super().__init__(
            objective,
            max_trials,
            hyperparameters,
            allow_new_entries,
            tune_new_entries,
            seed,
            max_retries_per_trial,
            max_consecutive_failed_trials,
        )
        self.num_initial_points = num_initial_points
        self.alpha, self.beta = alpha, beta

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Where the model hopes for most; STOPPED where all configurations have been tried."""
        space = self.hyperparameters
        pure = BayesianOptimization(
            space,
            objectives(self),
            max_trials=None,
            num_initial_points=self.num_initial_points or max(3 * len(space.space), 3),
            alpha=self.alpha,
            beta=self.beta,
            seed=self.seed,
        )
        return proposal(pure, self)

    def get_state(self) -> dict[str, Any]:
        own = {"num_initial_points": self.num_initial_points, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_state(), **own}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.num_initial_points, self.alpha, self.beta = (
            state["num_initial_points"],
            state["alpha"],
            state["beta"],
        )


class GridSearchOracle(Oracle):
    """Every configuration of the grid, or the first `max_trials`.

    The first trial has all defaults, and the last hyperparameter moves fastest. Hyperparameters that a trial comes upon
    are varied beside its other values once it has ended.

    Args:
        max_trials: how many trials there are at most; None: as many as the grid has.

    The other arguments are Oracle's.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        super().__init__(
            objective,
            max_trials,
            hyperparameters,
            allow_new_entries,
            tune_new_entries,
            seed,
            max_retries_per_trial,
            max_consecutive_failed_trials,
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next configuration of the grid; IDLE where a trial under way may still bring hyperparameters."""
        space = self.get_space()
        tried = [dict(trial.hyperparameters.values) for trial in self.trials.values()]
        if not tried:
            space.values = {}
            space.draw = lambda hyperparameter: hyperparameter.default
            space.ensure_active_values()
            return {"status": TrialStatus.RUNNING, "values": dict(space.values)}
        places = sorted(_place(space, values) for values in tried)
        for values in sorted(tried, key=lambda each: _place(space, each)):
            found = _next(space, values)
            if found is None:
                continue
            place, after = _place(space, found), [each for each in places if each > _place(space, values)]
            # One that lacks what was found since is the beginning of whatever has its values.
            if not after or (place < after[0][: len(place)] and place[: len(after[0])] != after[0]):
                return {"status": TrialStatus.RUNNING, "values": found}
        return dict(_LATER if self.ongoing_trials else _NO_MORE)


def _steps(hyperparameter: Any) -> list[Any]:
    """A hyperparameter's values as the grid goes through them: the default first."""
    return [hyperparameter.default, *(value for value in hyperparameter.values if value != hyperparameter.default)]


def _place(space: HyperParameters, values: Mapping[str, Any]) -> tuple[int, ...]:
    """Where a configuration stands on the grid: the number of each active value, as far as it has them."""
    found: list[int] = []
    active = space.copy()
    active.values = dict(values)
    seen: set[str] = set()
    for each in space.space:
        if each.name in seen or not active.is_active(each):
            continue
        if each.name not in values:
            break
        seen.add(each.name)
        steps = _steps(each)
        found.append(steps.index(values[each.name]) if values[each.name] in steps else len(steps))
    return tuple(found)


def _next(space: HyperParameters, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration after this one; None after the last, or where this one lacks a value."""
    hp = space.copy()
    hp.values = dict(values)
    hp.draw = lambda hyperparameter: hyperparameter.default
    active = [each for each in space.space if hp.is_active(each)]
    if any(each.name not in values for each in active):
        return None
    for each in reversed(active):
        steps = _steps(each)
        at = steps.index(values[each.name]) if values[each.name] in steps else len(steps)
        if at + 1 < len(steps):
            hp.values[each.name] = steps[at + 1]
            hp.ensure_active_values()
            return dict(hp.values)
        del hp.values[each.name]
    return None


# ---------------------------------------------------------------------------- gpusched's own oracles


def objectives(oracle: Oracle) -> Objective | list[Objective]:
    """As gpusched's own oracles take them; several count as the one that Keras Tuner makes of them."""
    if isinstance(oracle.objective, MultiObjective):
        return Objective(oracle.objective.name, oracle.objective.direction)
    return oracle.objective


def proposal(pure: PureOracle, oracle: Oracle) -> dict[str, Any]:
    """What a fresh oracle of gpusched's proposes once it has been told all trials so far."""
    names = {each.name for each in oracle.hyperparameters.space}
    jobs: list[tuple[Trial, Job]] = []
    seen: set[str] = set()
    for trial in oracle.trials.values():
        values = {name: value for name, value in trial.hyperparameters.values.items() if name in names}
        if (key := repr(sorted(values.items()))) in seen:
            continue  # Tried again: of so many configurations there is one less to try, not two.
        seen.add(key)
        pure.known[len(jobs)] = values
        job = pure.ask()
        if not isinstance(job, Job):
            return dict(_NO_MORE)
        jobs.append((trial, job))
    for trial, job in jobs:
        if trial.status == TrialStatus.COMPLETED:
            pure.tell(job, [_finite(trial.score)])
        elif trial.status in (TrialStatus.FAILED, TrialStatus.INVALID):
            pure.fail(job)
    answer = pure.ask()
    if not isinstance(answer, Job):
        return dict(_NO_MORE)
    return {"status": TrialStatus.RUNNING, "values": dict(answer.values)}


def _finite(score: Any) -> float | None:
    return float(score) if score is not None and math.isfinite(score) else None
