"""A tuner's own on_epoch_end and its siblings, called in the trial's process as Keras Tuner calls them."""

from __future__ import annotations

from typing import Any

import keras

NAMES = ("on_batch_begin", "on_batch_end", "on_epoch_begin", "on_epoch_end")


def hooks(tuner: Any, trial: Any) -> list[Any]:
    """A callback that calls the hooks which the tuner's class overrides; none where it overrides none."""
    methods = {name: getattr(type(tuner), name, None) for name in NAMES}
    own = [name for name, method in methods.items() if method is not None and not getattr(method, "standard", False)]
    return [_Hooks(tuner, trial, own)] if own else []


class _Hooks(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, tuner: Any, trial: Any, own: list[str]) -> None:
        super().__init__()
        self._tuner, self._trial, self._own = tuner, trial, own

    def _call(self, name: str, number: int, logs: Any) -> None:
        if name in self._own:
            getattr(self._tuner, name)(self._trial, self.model, number, logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._call("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._call("on_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call("on_batch_end", batch, logs)
