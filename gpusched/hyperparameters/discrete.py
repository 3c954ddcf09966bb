"""Hyperparameters that take one of a few listed values: Choice, Boolean, Fixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters.conditions import Parent, Value, WrongType, plain
from gpusched.hyperparameters.parameter import HyperParameter, index_to_prob, prob_to_index


class Choice(HyperParameter):
    """One of `values`: all ints, all floats, all strings or all bools.

    `ordered` says that near values behave alike; it is true for numbers unless said otherwise, and never for strings.
    The default is the first value.
    """

    def __init__(
        self,
        name: str,
        values: Iterable[Value],
        ordered: bool | None = None,
        default: Value | None = None,
        conditions: Parent | Iterable[Parent] | None = None,
    ) -> None:
        super().__init__(name, default, conditions)
        given = list(values)
        if not given:
            raise UsageError(f"{self.label}: values is empty, give at least one")
        known = [plain(value, f"{self.label}: values") for value in given]
        if len({type(value) for value in known}) > 1:
            raise WrongType(f"{self.label}: values {known} are of several types, give them all one type")
        self._values = known
        if default is not None:
            self._default = self._as_listed(default)
        numeric = not isinstance(known[0], str)
        if ordered and not numeric:
            raise UsageError(f"{self.label}: ordered is True, but the values are strings: leave ordered out")
        self.ordered = numeric if ordered is None else bool(ordered)

    def _as_listed(self, default: Value) -> Value:
        value = plain(default, f"{self.label}: default")
        if isinstance(self._values[0], str):
            value = str(value)
        if value not in self._values:
            raise UsageError(f"{self.label}: default {value!r} is not one of the values {self._values}")
        return self._values[self._values.index(value)]

    @property
    def default(self) -> Value:
        return self._values[0] if self._default is None else self._default

    @property
    def values(self) -> Sequence[Value]:
        return list(self._values)

    @property
    def support(self) -> Sequence[Value]:
        # A value listed twice is twice as likely, but one value.
        return list(dict.fromkeys(self._values))

    def prob_to_value(self, prob: float) -> Value:
        return self._values[prob_to_index(prob, len(self._values))]

    def value_to_prob(self, value: Any) -> float:
        if value not in self._values:
            raise UsageError(f"{self.label}: {value!r} is not one of the values {self._values}")
        return index_to_prob(self._values.index(value), len(self._values))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "values": list(self._values), "ordered": self.ordered}

    def __repr__(self) -> str:
        return f"Choice(name: '{self.name}', values: {self._values}, ordered: {self.ordered}, default: {self.default})"


class Boolean(HyperParameter):
    """True or False; the default is False."""

    def __init__(
        self,
        name: str,
        default: bool = False,
        conditions: Parent | Iterable[Parent] | None = None,
    ) -> None:
        super().__init__(name, default, conditions)
        if (
            plain(False if default is None else default, f"{self.label}: default") not in (True, False)
            or default is None
        ):
            raise UsageError(f"{self.label}: default must be True or False, not {default!r}")
        self._default = bool(default)

    @property
    def values(self) -> Sequence[bool]:
        return (True, False)

    def prob_to_value(self, prob: float) -> bool:
        return bool(prob >= 0.5)

    def value_to_prob(self, value: Any) -> float:
        return 0.75 if value else 0.25

    def __repr__(self) -> str:
        return f'Boolean(name: "{self.name}", default: {self.default})'


class Fixed(HyperParameter):
    """A value that is not tuned, kept beside those that are: an int, float, str or bool."""

    def __init__(
        self,
        name: str,
        value: Value,
        conditions: Parent | Iterable[Parent] | None = None,
    ) -> None:
        super().__init__(name, None, conditions)
        self.value = plain(value, f"{self.label}: value")
        self._default = self.value

    @property
    def values(self) -> Sequence[Value]:
        return (self.value,)

    def prob_to_value(self, prob: float) -> Value:
        return self.value

    def value_to_prob(self, value: Any) -> float:
        return 0.5

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["default"]
        return {**config, "value": self.value}

    def __repr__(self) -> str:
        return f"Fixed(name: {self.name}, value: {self.value})"
