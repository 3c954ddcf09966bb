"""Hyperparameters that take a number from a range: Int and Float.

The formulas are those of Keras Tuner 1.4 (its documentation of `Int` and `Float`), so that a seed draws the same
value. Three things differ: a value on a linear step has no more decimals than min_value and step (the third value of
`Float(0.1, 0.9, step=0.1)` is 0.3, Keras Tuner's is 0.30000000000000004), a range whose steps end on max_value
contains max_value whatever rounding says (Keras Tuner drops the 1.0 of `Float(0, 1, step=0.2)`, against its
documentation), and no value leaves its range by rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar, overload

from gpusched.errors import UsageError
from gpusched.hyperparameters.conditions import Parent, plain
from gpusched.hyperparameters.parameter import HyperParameter, index_to_prob, prob_to_index

SAMPLINGS = ("linear", "log", "reverse_log")

#: What somebody has typed has no more digits behind the point; 1/3 has.
_MOST_DECIMALS = 12
#: How far from a step, in steps, a value still counts as on it.
ROUNDING = 1e-8


@lru_cache(maxsize=1024)
def _decimals(low: float, step: float) -> int | None:
    """How many digits the values of that range have behind the point: 0.1 + 2 · 0.1 is 0.3. None: too many."""
    digits = max(-int(Decimal(repr(each)).as_tuple().exponent) for each in (float(low), float(step)))
    return max(digits, 0) if digits <= _MOST_DECIMALS else None


def _whole_steps(steps: float) -> int:
    return math.floor(steps * (1 + 4 * sys.float_info.epsilon) + ROUNDING)


def _real(value: Any) -> int | float | None:
    try:
        known = plain(value, "value")
    except UsageError:
        return None
    return None if isinstance(known, str) else known


N = TypeVar("N", int, float)


class Steps(Sequence[N], Generic[N]):
    """The values of a stepped range, computed when asked for: there may be millions."""

    def __init__(self, size: int, at: Callable[[int], N]) -> None:
        self._size = size
        self._at: Callable[[int], N] = at

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> N: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[N]: ...
    def __getitem__(self, index: int | slice) -> N | Sequence[N]:
        chosen = range(self._size)[index]
        return self._at(chosen) if isinstance(chosen, int) else [self._at(each) for each in chosen]

    def __iter__(self) -> Iterator[N]:
        return map(self._at, range(self._size))


class Numeric(HyperParameter):
    """What Int and Float share: bounds, step, sampling and the curve between probability and value."""

    min_value: float
    max_value: float
    step: float | None
    sampling: str

    def _check(self) -> None:
        if self.min_value > self.max_value:
            raise UsageError(f"{self.label}: min_value {self.min_value} is above max_value {self.max_value}")
        if self.sampling == "linear":
            if self.step is not None and self.step <= 0:
                raise UsageError(f"{self.label}: step {self.step} must be above 0")
            return
        if self.min_value <= 0:
            raise UsageError(
                f"{self.label}: min_value {self.min_value} must be above 0 with sampling={self.sampling!r}"
            )
        if self.step is not None and self.step <= 1:
            raise UsageError(
                f"{self.label}: step {self.step} must be above 1 with sampling={self.sampling!r}, where it multiplies"
            )

    def _sampling(self, sampling: str | None) -> str:
        known = "linear" if sampling is None else str(sampling).lower()
        if known not in SAMPLINGS:
            raise UsageError(f"{self.label}: sampling {sampling!r} is unknown, use one of {', '.join(SAMPLINGS)}")
        return known

    def _number(self, value: Any, what: str) -> int | float:
        known = plain(value, f"{self.label}: {what}")
        if isinstance(known, str):
            raise UsageError(f"{self.label}: {what} must be a number, not {value!r}")
        return known

    # The curve without steps, on [min_value, top].

    def _curve(self, prob: float, top: float) -> float:
        low = self.min_value
        match self.sampling:
            case "linear":
                return prob * (top - low) + low
            case "log":
                return low * math.pow(top / low, prob)
            case _:
                return top + low - low * math.pow(top / low, 1 - prob)

    def _curve_back(self, value: float, top: float) -> float:
        low = self.min_value
        if top == low:
            return 0.5
        value = min(max(value, low), top)
        match self.sampling:
            case "linear":
                return (value - low) / (top - low)
            case "log":
                return math.log(value / low) / math.log(top / low)
            case _:
                return 1.0 - math.log((top + low - value) / low) / math.log(top / low)

    # The grid.

    def _steps(self) -> int:
        assert self.step is not None
        if self.sampling == "linear":
            return _whole_steps((self.max_value - self.min_value) / self.step) + 1
        return _whole_steps(math.log(self.max_value / self.min_value, self.step)) + 1

    def _at(self, index: int) -> float:
        assert self.step is not None
        match self.sampling:
            case "linear":
                value = self.min_value + index * self.step
                if (digits := _decimals(self.min_value, self.step)) is not None:
                    value = round(value, digits)
            case "log":
                value = self.min_value * math.pow(self.step, index)
            case _:
                value = self.max_value + self.min_value - self.min_value * math.pow(self.step, index)
        return min(max(value, self.min_value), self.max_value)

    def _index(self, value: float) -> float:
        """Where `value` is on the grid; between two steps: the lower one if linear, else a fraction."""
        assert self.step is not None
        value = min(max(value, self.min_value), self.max_value)
        match self.sampling:
            case "linear":
                index: float = _whole_steps((value - self.min_value) / self.step)
            case "log":
                index = math.log(value / self.min_value, self.step)
            case _:
                index = math.log((self.max_value - value + self.min_value) / self.min_value, self.step)
        return min(max(index, 0), self._steps() - 1)

    def accepts(self, value: Any) -> bool:
        number = _real(value)
        if number is None or not self.min_value <= number <= self.max_value:
            return False
        return self.step is None or any(
            math.isclose(self._at(index), number, rel_tol=1e-9, abs_tol=ROUNDING * self.step)
            for index in self._beside(number)
        )

    def _beside(self, value: float) -> tuple[int, int]:
        """The steps on both sides of `value`."""
        lower = int(self._index(value))
        return lower, min(lower + 1, self._steps() - 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "min_value": self.min_value,
            "max_value": self.max_value,
            "step": self.step,
            "sampling": self.sampling,
        }


class Int(Numeric):
    """A whole number from `min_value` to `max_value`, both included.

    `step` is the distance between two values: added when sampling is linear (1 unless given), multiplied when it is
    logarithmic (any number in the range unless given). The default is `min_value`.
    """

    min_value: int
    max_value: int
    step: int | None

    def __init__(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = "linear",
        default: int | None = None,
        conditions: Parent | Iterable[Parent] | None = None,
    ) -> None:
        super().__init__(name, None, conditions)
        self.min_value = self._whole(min_value, "min_value")
        self.max_value = self._whole(max_value, "max_value")
        self.sampling = self._sampling(sampling)
        self.step = self._whole(step, "step") if step is not None else 1 if self.sampling == "linear" else None
        self._default = None if default is None else self._whole(default, "default")
        self._check()

    def _whole(self, value: Any, what: str) -> int:
        number = self._number(value, what)
        if int(number) != number:
            raise UsageError(f"{self.label}: {what} must be a whole number, not {value!r}")
        return int(number)

    @property
    def default(self) -> int:
        return self.min_value if self._default is None else self._default

    @property
    def values(self) -> Sequence[int]:
        if self.step is None:
            return tuple(dict.fromkeys(self.prob_to_value(i * 0.1 + 0.05) for i in range(10)))
        return self.support

    @property
    def support(self) -> Sequence[int]:
        if self.step is None or self.sampling == "linear":
            return range(self.min_value, self.max_value + 1, self.step or 1)
        return Steps(self._steps(), self._at)

    def prob_to_value(self, prob: float) -> int:
        if self.step is None:
            # One above the top, rounded down: max_value gets its share.
            return min(max(int(self._curve(prob, self.max_value + 1)), self.min_value), self.max_value)
        return self._at(prob_to_index(prob, self._steps()))

    def value_to_prob(self, value: Any) -> float:
        if self.step is None:
            return self._curve_back(min(max(value, self.min_value), self.max_value) + 0.5, self.max_value + 1)
        return index_to_prob(self._index(value), self._steps())

    def _at(self, index: int) -> int:
        assert self.step is not None
        if self.sampling == "linear":
            return self.min_value + index * self.step
        value: int = self.min_value * self.step**index
        return value if self.sampling == "log" else self.max_value + self.min_value - value

    def _steps(self) -> int:
        assert self.step is not None
        if self.sampling == "linear":
            return (self.max_value - self.min_value) // self.step + 1
        # Counted, since math.log(243, 3) is 4.99….
        steps, value = 1, self.min_value * self.step
        while value <= self.max_value:
            steps, value = steps + 1, value * self.step
        return steps

    def accepts(self, value: Any) -> bool:
        number = _real(value)
        return number is not None and int(number) == number and int(number) in self.support

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "default": self._default}

    def __repr__(self) -> str:
        return (
            f"Int(name: '{self.name}', min_value: {self.min_value}, max_value: {self.max_value}, step: {self.step}, "
            f"sampling: {self.sampling}, default: {self.default})"
        )


class Float(Numeric):
    """A number from `min_value` to `max_value`, both included.

    `step` is the distance between two values: added when sampling is linear, multiplied when it is logarithmic; any
    number of the range unless given. The default is `min_value`.
    """

    def __init__(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = "linear",
        default: float | None = None,
        conditions: Parent | Iterable[Parent] | None = None,
    ) -> None:
        super().__init__(name, None, conditions)
        self.min_value = float(self._number(min_value, "min_value"))
        self.max_value = float(self._number(max_value, "max_value"))
        self.sampling = self._sampling(sampling)
        self.step = None if step is None else float(self._number(step, "step"))
        self._default = None if default is None else float(self._number(default, "default"))
        self._check()

    @property
    def default(self) -> float:
        return self.min_value if self._default is None else self._default

    @property
    def values(self) -> Sequence[float]:
        if self.step is None:
            return tuple(dict.fromkeys(self.prob_to_value(i * 0.1 + 0.05) for i in range(10)))
        return Steps(self._steps(), self._at)

    @property
    def support(self) -> Sequence[float] | None:
        if self.min_value == self.max_value:
            return (self.min_value,)
        return None if self.step is None else self.values

    def prob_to_value(self, prob: float) -> float:
        if self.step is None:
            return min(max(self._curve(prob, self.max_value), self.min_value), self.max_value)
        return self._at(prob_to_index(prob, self._steps()))

    def value_to_prob(self, value: Any) -> float:
        if self.step is None:
            return self._curve_back(value, self.max_value)
        return index_to_prob(self._index(value), self._steps())

    def __repr__(self) -> str:
        return (
            f"Float(name: '{self.name}', min_value: '{self.min_value}', max_value: '{self.max_value}', "
            f"step: '{self.step}', sampling: '{self.sampling}', default: '{self.default}')"
        )
