"""One class for each algorithm, with Keras Tuner 1.4's arguments in its order.

Each says which arguments are its own; what all share is `Tuner`'s.
"""

from __future__ import annotations

from typing import Any

from gpusched.hyperparameters import HyperParameters
from gpusched.tuners.tuner import Tuner


class Hyperband(Tuner):
    """Hyperband (Li et al., JMLR 18, 2018), its trials carried on from rung to rung with their full state.

    Args:
        hypermodel: a function build(hp) that returns a compiled model, or a HyperModel.
        objective: the name of a metric, an Objective, or a list of them.
        max_epochs: epochs of a full training.
        factor: one in so many trials of a rung is promoted.
        hyperband_iterations: how often all brackets are run; None never ends.
        seed: of all values drawn, at least 0. None: one is drawn, and kept with the run.
        hyperparameters: known beforehand; they beat what build asks for.
        tune_new_entries: False: what is not in `hyperparameters` keeps its default.
        allow_new_entries: False: asking for what is not in `hyperparameters` is an error.
        max_retries_per_trial: how often a trial that failed is started again.
        max_consecutive_failed_trials: after so many failed neighbours the search ends.
        sampler: "random", or "model" (values proposed by a model of those tried so far).
        **kwargs: what all tuners take, see Tuner.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            "hyperband",
            hypermodel,
            objective=objective,
            max_epochs=max_epochs,
            factor=factor,
            iterations=hyperband_iterations,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )


class ASHA(Tuner):
    """Asynchronous successive halving (Li et al., MLSys 2020): one bracket without waiting, `max_trials` wide.

    Args:
        max_epochs: epochs of a full training.
        factor: one in so many trials of a rung is promoted.
        max_trials: how many are started.

    The other arguments are Hyperband's.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            "asha",
            hypermodel,
            objective=objective,
            max_epochs=max_epochs,
            factor=factor,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )


class RandomSearch(Tuner):
    """`max_trials` configurations at random, no two alike, each trained in full."""

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int = 10,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            "random",
            hypermodel,
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )


class GridSearch(Tuner):
    """Every configuration of the grid, or the first `max_trials` of them, each trained in full.

    The last hyperparameter moves fastest. A range without step stands on the grid with ten values.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            "grid",
            hypermodel,
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )


class BayesianOptimization(Tuner):
    """A Gaussian process over the values tried so far proposes the next ones, each trained in full.

    Args:
        num_initial_points: how many are drawn at random first; None: three for each hyperparameter.
        alpha: noise of the objective that the process reckons with.
        beta: how much it explores: the larger, the more.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            "bayesian",
            hypermodel,
            objective=objective,
            max_trials=max_trials,
            num_initial_points=num_initial_points,
            alpha=alpha,
            beta=beta,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )
