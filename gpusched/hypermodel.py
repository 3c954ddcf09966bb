"""What builds and trains a model: a function `build(hp)`, or a HyperModel, which may train it its own way too.

Knows no framework: a model is whatever `build` returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters


class HyperModel:
    """Subclass it and say in `build` how a model is made of hyperparameters; in `fit`, if need be, how it is trained.

    Args:
        name: for people.
        tunable: False: what `build` asks for is not searched; defaults count, or values fixed beforehand.
    """

    def __init__(self, name: str | None = None, tunable: bool = True) -> None:
        self.name = name
        self.tunable = tunable

    def build(self, hp: HyperParameters) -> Any:
        """A compiled model for these hyperparameters."""
        raise NotImplementedError(f"{type(self).__name__} has no build(hp): say there how a model is made")

    def declare_hyperparameters(self, hp: HyperParameters) -> None:
        """Puts hyperparameters into the space before the first build; none unless overridden."""

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; `args` and `kwargs` are those of `search`, callbacks added.

        Returns a History, the objective as a float, a dict of metrics, or a list of these for several trainings.
        """
        return model.fit(*args, **kwargs)

    @property
    def own_fit(self) -> bool:
        """Whether the training is the subclass's own."""
        return type(self).fit is not HyperModel.fit


class DefaultHyperModel(HyperModel):
    """A HyperModel made of a function `build(hp)`."""

    def __init__(self, function: Callable[[HyperParameters], Any]) -> None:
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function

    def build(self, hp: HyperParameters) -> Any:
        return self.function(hp)


def build(hypermodel: HyperModel, hp: HyperParameters) -> Any:
    """The model, with `tunable` honoured."""
    # getattr: a subclass may forget to call our __init__.
    return hypermodel.build(hp if getattr(hypermodel, "tunable", True) else hp.copy())


def as_hypermodel(given: Any) -> HyperModel | None:
    """The HyperModel meant by a function, a HyperModel, a class of them, or anything with a `build` method."""
    if given is None or isinstance(given, HyperModel):
        return given
    if inspect.isclass(given) and hasattr(given, "build"):
        return as_hypermodel(given())
    if hasattr(given, "build") and callable(given.build):
        return _Alike(given)
    if callable(given):
        return DefaultHyperModel(given)
    raise UsageError(
        f"hypermodel: {given!r} ({type(given).__name__}) builds nothing; "
        "give a function build_model(hp) that returns a compiled model, or a HyperModel"
    )


class _Alike(HyperModel):
    """An object that has `build`, and perhaps `fit`, without being a HyperModel (Keras Tuner's own, for one)."""

    def __init__(self, like: Any) -> None:
        super().__init__(name=getattr(like, "name", None), tunable=getattr(like, "tunable", True))
        self.like = like

    def build(self, hp: HyperParameters) -> Any:
        return self.like.build(hp)

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        return self.like.fit(hp, model, *args, **kwargs) if self.own_fit else model.fit(*args, **kwargs)

    @property
    def own_fit(self) -> bool:
        return callable(getattr(self.like, "fit", None))
