"""The tuners of Keras models, whose trials are trained by Keras's fit unless run_trial says otherwise."""

from __future__ import annotations

from typing import Any

from gpusched.hyperparameters import HyperParameters
from gpusched.trial.tuning.overriding import standard
from gpusched.tuners.attributes import Given
from gpusched.tuners.base import BaseTuner


class Tuner(BaseTuner):
    """Root of the tuners of Keras models. BaseTuner tells its arguments."""

    uses_keras = True

    @Given
    def max_model_size(self) -> int | None:
        return self.asked.max_model_size

    @Given
    def optimizer(self) -> Any:
        return self.asked.optimizer

    @Given
    def loss(self) -> Any:
        return self.asked.loss

    @Given
    def metrics(self) -> Any:
        return self.asked.metrics

    @Given
    def distribution_strategy(self) -> Any:
        return self.asked.distribution_strategy

    # ------------------------------------------------------------------ of Keras Tuner's, private, and yet overridden

    @standard
    def _try_build(self, hp: HyperParameters) -> Any:
        """What _build_hypermodel makes; the standard training calls it for each execution."""
        return self._build_hypermodel(hp)

    @standard
    def _build_and_fit_model(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """One execution of the standard training, called in the trial's process; returns what fit returned."""
        model = self._try_build(trial.hyperparameters)
        assert self.hypermodel is not None
        return self.hypermodel.fit(trial.hyperparameters, model, *args, **kwargs)


class MultiExecutionTuner(Tuner):
    """Tuner under its older name, of when only this one knew executions_per_trial."""
