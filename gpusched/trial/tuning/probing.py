"""Asking a tuner's own run_trial for its hyperparameters, up to where it would train."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gpusched.hypermodel import HyperModel, build
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.trial.settings import Asked
from gpusched.trial.tuning.trial import AnyTrial
from gpusched.trial.tuning.tried import TRAINING, Tried, Untrained
from gpusched.trials import NO_TRIAL


class ProbingTrial(AnyTrial):
    """The trial that an overridden run_trial gets while its hyperparameters are looked for."""

    start_epoch = stop_epoch = 0

    def __init__(
        self, hp: HyperParameters, hypermodel: HyperModel | None, objectives: Iterable[Objective], run: Path
    ) -> None:
        super().__init__(NO_TRIAL, run, hp, objectives)
        self._hypermodel = hypermodel
        self.folder.mkdir(parents=True)

    def save_model(self, model: Any, step: int = 0) -> None:
        pass

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """What the standard run_trial does here."""
        if self._hypermodel is not None:
            model = build(self._hypermodel, self.hyperparameters)
            if self._hypermodel.own_fit:
                self._hypermodel.fit(self.hyperparameters, Untrained(model), *args, **{"callbacks": [], **kwargs})
        raise Tried


@contextlib.contextmanager
def untrained_models(asked: Asked) -> Iterator[None]:
    """While it lasts, no model of this process trains: what would, raises Tried.

    Keras's own class is changed for so long, since run_trial may make a model without the hypermodel; other models
    that the hypermodel builds are wrapped.
    """
    hypermodel = asked.hypermodel
    if hypermodel is not None:
        asked.hypermodel = _Wrapping(hypermodel)
    kind: Any = getattr(sys.modules.get("keras"), "Model", None)
    if kind is not None:
        for name in TRAINING:
            setattr(kind, name, _stop)
    try:
        yield
    finally:
        asked.hypermodel = hypermodel
        if kind is not None:
            for name in TRAINING:
                delattr(kind, name)


def _stop(*_: Any, **__: Any) -> Any:
    raise Tried


class _Wrapping(HyperModel):
    def __init__(self, hypermodel: HyperModel) -> None:
        super().__init__(getattr(hypermodel, "name", None), getattr(hypermodel, "tunable", True))
        self._hypermodel = hypermodel

    def build(self, hp: HyperParameters) -> Any:
        model = build(self._hypermodel, hp)
        kind = getattr(sys.modules.get("keras"), "Model", None)
        return model if kind is not None and isinstance(model, kind) else Untrained(model)

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        return self._hypermodel.fit(hp, model, *args, **kwargs)

    @property
    def own_fit(self) -> bool:
        return self._hypermodel.own_fit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hypermodel, name)
