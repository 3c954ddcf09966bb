"""A tuner's own on_epoch_end and its siblings, called in the trial's process as Keras Tuner calls them."""

from __future__ import annotations

from typing import Any

import keras

from gpusched.trial.tuning.overriding import overridden

NAMES = ("on_batch_begin", "on_batch_end", "on_epoch_begin", "on_epoch_end")


def hooks(tuner: Any, trial: Any) -> list[Any]:
    """A callback that calls the hooks which the tuner overrides; none where it overrides none."""
    own = [name for name in NAMES if overridden(tuner, name)]
    return [_Hooks(tuner, trial, own)] if own else []


class _Hooks(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, tuner: Any, trial: Any, own: list[str]) -> None:
        super().__init__()
        self._tuner, self._trial, self._own = tuner, trial, own

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if "on_epoch_begin" in self._own:
            self._tuner.on_epoch_begin(self._trial, self.model, epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if "on_epoch_end" in self._own:
            self._tuner.on_epoch_end(self._trial, self.model, epoch, logs=logs)

    # Keras calls these by on_train_batch_begin and on_train_batch_end.
    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        if "on_batch_begin" in self._own:
            self._tuner.on_batch_begin(self._trial, self.model, batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        if "on_batch_end" in self._own:
            self._tuner.on_batch_end(self._trial, self.model, batch, logs)
