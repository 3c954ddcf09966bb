"""Stand-ins for the training, while user code is asked for its hyperparameters."""

from __future__ import annotations

from typing import Any

#: What a model does with data.
TRAINING = frozenset(
    ("fit", "train_on_batch", "train_step", "evaluate", "predict", "test_on_batch", "predict_on_batch", "score")
)


class Tried(BaseException):
    """Raised where training would begin."""


class Untrained:
    """A model of which everything can be asked but training, evaluation and prediction."""

    def __init__(self, model: Any) -> None:
        self.__dict__["_model"] = model

    def __getattr__(self, name: str) -> Any:
        if name in TRAINING:
            return self._stop
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)

    def _stop(self, *_: Any, **__: Any) -> Any:
        raise Tried

    __call__ = _stop
