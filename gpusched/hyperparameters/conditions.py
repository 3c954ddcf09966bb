"""When a hyperparameter counts: its parent has one of certain values.

Knows how a condition is written down and when it holds for a dict of values. Refuses to know what the
parent is, or whether it exists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gpusched.errors import UsageError

#: What a hyperparameter can be: a type that JSON keeps.
Value: TypeAlias = bool | int | float | str


class WrongType(UsageError, TypeError):
    """A value of a type that has no place here (Keras Tuner raises TypeError, so this is one as well)."""


def plain(value: Any, where: str) -> Value:
    """`value` as a Python bool, int, float or str: NumPy scalars become what they hold.

    Raises WrongType (a UsageError and a TypeError) for any other type, and UsageError for NaN and infinity, which JSON
    cannot hold. `where` begins the message.
    """
    if not isinstance(value, str | bool | int | float) or type(value).__module__ == "numpy":
        item = getattr(value, "item", None)
        if callable(item) and getattr(value, "ndim", 0) == 0:
            value = item()
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{where} must be finite, not {value}")
        return float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    raise WrongType(f"{where} must be an int, float, str or bool, not {value!r} of type {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Parent:
    """Holds while the hyperparameter called `name` has one of `values`."""

    name: str  #: the parent's name, its name scopes included
    values: tuple[Value, ...]

    def __init__(self, name: str, values: Value | Iterable[Value]) -> None:
        where = f"conditional_scope({str(name)!r}): parent_values"
        single = isinstance(values, str) or not isinstance(values, Iterable)
        given: list[Any] = [values] if single else list(values)  # type: ignore[arg-type]
        if not given:
            raise UsageError(f"{where} is empty: name at least one value of the parent")
        known = [plain(value, where) for value in given]
        if isinstance(known[0], str):
            known = [str(value) for value in known]
        elif any(isinstance(value, str) for value in known):
            raise WrongType(f"{where} {known} mix numbers and strings")
        object.__setattr__(self, "name", str(name))
        object.__setattr__(self, "values", tuple(known))

    def is_active(self, values: Mapping[str, Any]) -> bool:
        return self.name in values and values[self.name] in self.values

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "values": list(self.values)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Parent:
        return cls(config["name"], config["values"])

    def __str__(self) -> str:
        return f"{json.dumps(self.name, ensure_ascii=False)} in {json.dumps(list(self.values), ensure_ascii=False)}"


def all_active(conditions: Iterable[Parent], values: Mapping[str, Any]) -> bool:
    return all(condition.is_active(values) for condition in conditions)


def serialize(condition: Parent) -> dict[str, Any]:
    return {"class_name": "Parent", "config": condition.get_config()}


def deserialize(config: Parent | Mapping[str, Any]) -> Parent:
    if isinstance(config, Parent):
        return config
    if config.get("class_name") != "Parent":
        raise UsageError(f"condition {config.get('class_name')!r} is unknown: the only kind is 'Parent'")
    return Parent.from_config(config["config"])
