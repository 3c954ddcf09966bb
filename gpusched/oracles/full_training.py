"""Algorithms that train every trial in full: random search, grid search.

One bracket of one rung. Knows how many trials there are and where their values come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameter, HyperParameters
from gpusched.objective import Objective
from gpusched.oracles.brackets import MOST_EPOCHS
from gpusched.oracles.hyperband import Brackets
from gpusched.oracles.samplers import GridSampler, ModelSampler, RandomSampler, Sampler
from gpusched.oracles.types import Plan

#: Trials in a search that nothing else limits.
_MANY = 1_000_000_000
#: Share of quasi-random trials beside the model's, where each is trained in full: nothing of less training misleads it.
_EXPLORE = 0.1


class FullTraining(Brackets):
    """Every job is 0 … max_epochs; ``max_trials=None`` goes on until the configurations are used up, or for ever."""

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int,
        *,
        max_trials: int | None,
        seed: int,
        sampler: Sampler,
        initial: Iterable[Mapping[str, Any]],
    ) -> None:
        if not isinstance(max_epochs, int) or max_epochs < 1:
            raise UsageError(f"max_epochs: {max_epochs!r} is not a number of epochs; give an integer of at least 1")
        if max_epochs > MOST_EPOCHS:
            raise UsageError(f"max_epochs: more than {MOST_EPOCHS} cannot be planned")
        super().__init__(
            hyperparameters,
            objective,
            table=[(0, [(_MANY, max_epochs)])],
            iterations=1,
            max_epochs=max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=sampler,
            initial=initial,
        )

    def plan(self) -> Plan:
        plan = super().plan()
        return msgspec.structs.replace(plan, trials=None, epochs=None) if self._limit == _MANY else plan


class RandomSearch(FullTraining):
    """``max_trials`` configurations at random, each trained for ``max_epochs``."""

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int = 1,
        max_trials: int | None = 10,
        *,
        seed: int = 0,
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            hyperparameters,
            objective,
            max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=RandomSampler(),
            initial=initial,
        )


class GridSearch(FullTraining):
    """Every configuration of the grid, in the order of the space, the last hyperparameter moving fastest.

    Of each hyperparameter the default comes first, then the others. A range without step stands on the grid with its
    default and ten values, evenly spread in probability. Where `build` asks for a hyperparameter under some values only
    and does not say so by a condition, it is varied under these. All of this is as in Keras Tuner.
    """

    sampler: GridSampler

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int = 1,
        max_trials: int | None = None,
        *,
        seed: int = 0,
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            hyperparameters,
            objective,
            max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=GridSampler(),
            initial=initial,
        )

    def _most_distinct(self) -> int | None:
        return self.sampler.distinct()

    def extend(
        self,
        trial_id: int,
        hyperparameters: Iterable[HyperParameter | Mapping[str, Any]],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().extend(trial_id, hyperparameters, values)
        # Also where the space has not grown: this trial asks for what another had asked for.
        self._extended()


class BayesianOptimization(FullTraining):
    """Each trial trained in full; a Gaussian process over the earlier ones proposes the next.

    ``num_initial_points`` trials are quasi-random before the model is asked; left out, 4 more than half as many
    as there are hyperparameters, 10 at most. With ``beta``, proposals have the best confidence bound, so many standard
    deviations from the mean; without, they are best in one draw from the posterior. ``alpha`` is the variance of the
    noise of standardised scores; left out, it is fitted.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        max_epochs: int = 1,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        *,
        seed: int = 0,
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        start = min(4 + len(hyperparameters.space) // 2, 10) if num_initial_points is None else num_initial_points
        if not isinstance(start, int) or start < 1:
            raise UsageError(f"num_initial_points: {start!r} is not a number of trials; give an integer of at least 1")
        super().__init__(
            hyperparameters,
            objective,
            max_epochs,
            max_trials=max_trials,
            seed=seed,
            sampler=ModelSampler(start, explore=_EXPLORE, alpha=alpha, beta=beta),
            initial=initial,
        )
