"""What a tuner was asked for: attributes that tell it, unless a subclass has its own of that name, and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters


class Given(property):
    """A property in whose place stands what is assigned to it, be it before the tuner's own __init__."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tuner: Any, owner: type | None = None) -> Any:
        own = {} if tuner is None else vars(tuner)
        return own[self._name] if self._name in own else super().__get__(tuner, owner)

    def __set__(self, tuner: Any, value: Any) -> None:
        vars(tuner)[self._name] = value


def plain_values(given: HyperParameters | Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as JSON has it. Raises UsageError where it is none."""
    values = given.values if isinstance(given, HyperParameters) else given
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise UsageError(f"enqueue: {given!r} is no configuration; give a dict like {{'lr': 0.01, 'units': 64}}")
    return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # NumPy's numbers
    if not isinstance(value, bool | int | float | str):
        raise UsageError(f"enqueue: {name}={value!r} is no value of a hyperparameter; give a number, text or a bool")
    return value
