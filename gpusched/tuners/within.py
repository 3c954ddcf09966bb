"""The oracle as a tuner's own run_trial and hooks see it in a trial's process.

What it is told of this trial becomes the trial's result. It decides nothing: that happens in another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.trial.tuning.trial import AnyTrial

if TYPE_CHECKING:
    from gpusched.tuners.results import Results


class TrialOracle:
    """An oracle for one trial."""

    def __init__(self, tuner: Any, trial: AnyTrial) -> None:
        self._tuner, self._trial = tuner, trial

    def update_trial(self, trial_id: int | str, metrics: Mapping[str, Any], step: int = 0) -> AnyTrial:
        """Reports metrics of this trial, in place of returning them."""
        trial = self._own(trial_id, "update_trial")
        trial.update(metrics, step)
        return trial

    def get_trial(self, trial_id: int | str) -> Any:
        """This trial, or another that has finished."""
        if int(trial_id) == self._trial.id:
            return self._trial
        return self._results().trial(int(trial_id))

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        return self._results().trials(num_trials)

    @property
    def objective(self) -> Any:
        return self._tuner.objective

    @property
    def hyperparameters(self) -> HyperParameters:
        return self._trial.hyperparameters

    def get_space(self) -> HyperParameters:
        return self._trial.hyperparameters.copy()

    def update_space(self, hyperparameters: HyperParameters) -> None:
        """What a trial asks for is told with its result: nothing is left to do."""

    def __getattr__(self, name: str) -> Any:
        """All else is the tuner's own oracle's, as the run tells it."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._tuner.own_oracle, name)

    def _own(self, trial_id: int | str, what: str) -> AnyTrial:
        if int(trial_id) != self._trial.id:
            raise UsageError(f"{what}: trial {trial_id} is not this process's, which trains {self._trial.trial_id}")
        return self._trial

    def _results(self) -> Results:
        from gpusched.tuners.results import Results

        return Results.open(str(self._trial.run))
