"""The tuners of Keras models, whose trials are trained by Keras's fit unless run_trial says otherwise."""

from __future__ import annotations

from typing import Any

from gpusched.tuners.base import BaseTuner


class Tuner(BaseTuner):
    """Root of the tuners of Keras models. BaseTuner tells its arguments."""

    uses_keras = True

    @property
    def max_model_size(self) -> int | None:
        return self.asked.max_model_size

    @property
    def optimizer(self) -> Any:
        return self.asked.optimizer

    @property
    def loss(self) -> Any:
        return self.asked.loss

    @property
    def metrics(self) -> Any:
        return self.asked.metrics

    @property
    def distribution_strategy(self) -> Any:
        return self.asked.distribution_strategy


class MultiExecutionTuner(Tuner):
    """Tuner under its older name, of when only this one knew executions_per_trial."""
