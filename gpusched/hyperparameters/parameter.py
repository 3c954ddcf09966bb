"""One hyperparameter: a name, the values it can take, and the conditions under which it counts.

Pure and immutable once made. Knows nothing of the space it is in, and nothing of who chooses its value.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from gpusched.hyperparameters.conditions import Parent, Value, deserialize, serialize


class HyperParameter:
    """Root of the five types; identified in a space by its name together with its conditions.

    Every type maps a cumulative probability in [0, 1) to a value and back, so that a random number, a quasi-random
    point or a model's proposal all draw in the same way.
    """

    def __init__(
        self,
        name: str,
        default: Any = None,
        conditions: Parent | Iterable[Parent] | None = None,
    ) -> None:
        self.name = str(name)
        self._default = default
        self.conditions: list[Parent] = [conditions] if isinstance(conditions, Parent) else list(conditions or ())

    @property
    def label(self) -> str:
        """How messages call it: `Int('units')`."""
        return f"{type(self).__name__}({self.name!r})"

    @property
    def full_name(self) -> str:
        """Name and conditions in one string, unique over a space and the same in every process and session.

        The bare name where there is no condition, else like `units if "model" in ["mlp"]`.
        """
        name = self.name
        if " if " in name or name.startswith('"'):  # else a name could pass for a condition
            name = json.dumps(name, ensure_ascii=False)
        return " if ".join([name, " and ".join(map(str, self.conditions))]) if self.conditions else name

    @property
    def default(self) -> Any:
        return self._default

    @property
    def values(self) -> Sequence[Value]:
        """The values a grid search tries, in a fixed order.

        All there are where there are finitely many steps or choices; ten, evenly spread in probability, of a
        range without step (Keras Tuner's rule).
        """
        raise NotImplementedError

    @property
    def support(self) -> Sequence[Value] | None:
        """Every distinct value, in a fixed order and lazily where there may be many; None where it is continuous."""
        return self.values

    @property
    def size(self) -> int | None:
        """How many distinct values there are; None where it is continuous."""
        support = self.support
        return None if support is None else len(support)

    def accepts(self, value: Any) -> bool:
        """Whether `value` is one of those this hyperparameter can take."""
        return self.support is not None and value in self.support

    def random_sample(self, seed: int | None = None) -> Value:
        """A value drawn with `random.Random(seed)`, hence the same one for the same seed."""
        return self.prob_to_value(random.Random(seed).random())

    def prob_to_value(self, prob: float) -> Value:
        """The value at the cumulative probability `prob` in [0, 1)."""
        raise NotImplementedError

    def value_to_prob(self, value: Any) -> float:
        """The cumulative probability in [0, 1] of `value`: of the middle of its share where values are discrete."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """A dict of JSON's types that `from_config` makes an equal hyperparameter of."""
        return {
            "name": self.name,
            "default": self.default,
            "conditions": [serialize(condition) for condition in self.conditions],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**{**config, "conditions": [deserialize(each) for each in config.get("conditions") or ()]})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HyperParameter):
            return NotImplemented
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.conditions)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name: '{self.name}', default: {self.default})"


def prob_to_index(prob: float, size: int) -> int:
    """The 0-based index, of `size` equally likely ones, at cumulative probability `prob`."""
    # Divided by 1/size rather than multiplied by size: where rounding decides, it decides as in Keras Tuner.
    return min(max(math.floor(prob / (1 / size)), 0), size - 1)


def index_to_prob(index: float, size: int) -> float:
    """The middle of the share of probability that belongs to `index`."""
    return (index + 0.5) * (1 / size)
