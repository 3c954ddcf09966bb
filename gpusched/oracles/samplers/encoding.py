"""Configurations as points: what a model learns from, and where it looks.

A configuration is a row of probabilities, one for each hyperparameter; its embedding is what distances are measured
in: values without an order apart from each other, what is inactive always in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gpusched.hyperparameters import Choice, Fixed, HyperParameter
from gpusched.oracles.samplers.gp import Array
from gpusched.oracles.samplers.space import Space

#: Up to so many values of a hyperparameter are told apart exactly; more are as good as a continuous range.
_FEW = 64
#: Between two values without an order, as a share of the distance between the ends of a range.
_APART = 0.7


class Codec:
    """Between values, probabilities and embeddings, for the space as it is when the codec is made."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.hyperparameters: list[HyperParameter] = [h for h in space.hyperparameters if not isinstance(h, Fixed)]
        self._columns = {id(h): k for k, h in enumerate(self.hyperparameters)}
        self._grids: list[list[Any] | None] = [_grid(h) for h in self.hyperparameters]
        self._conditions = [self._compile(k) for k in range(len(self.hyperparameters))]
        #: whether a hyperparameter's values have no order
        self.unordered = np.array([_unordered(h) for h in self.hyperparameters], bool)

    def _compile(self, k: int) -> list[list[tuple[int, list[int]]]]:
        """Of each condition: the columns that may be its parent, with the indices of the values that open it."""
        found = []
        for condition in self.hyperparameters[k].conditions:
            parents = []
            for j, parent in enumerate(self.hyperparameters[:k]):
                grid = self._grids[j]
                if parent.name == condition.name and grid is not None:
                    parents.append((j, [i for i, v in enumerate(grid) if condition.is_active({parent.name: v})]))
            found.append(parents)
        return found

    def probs(self, values: Mapping[str, Any]) -> Array:
        """(h,) probabilities of a configuration; a half where it has no value."""
        row = np.full(len(self.hyperparameters), 0.5)
        for k, h in enumerate(self.hyperparameters):
            if h.name in values and self._space.is_active(h, values) and h.accepts(values[h.name]):
                row[k] = h.value_to_prob(values[h.name])
        return row

    def values(self, probs: Array) -> dict[str, Any]:
        """The configuration at these probabilities."""

        def value(i: int, h: HyperParameter) -> Any:
            k = self._columns.get(id(h))
            return h.prob_to_value(0.5 if k is None else min(max(float(probs[k]), 0.0), 1.0 - 1e-12))

        return self._space.fill({}, value)

    def embed(self, probs: Array) -> Array:
        """(n, h) probabilities as (n, d) points."""
        n = len(probs)
        index = [
            np.minimum((probs[:, k] * len(grid or ())).astype(int), len(grid or ()) - 1)
            for k, grid in enumerate(self._grids)
        ]
        active: list[Any] = []
        columns: list[Array] = []
        for k in range(len(self.hyperparameters)):
            on = np.ones(n, bool)
            for parents in self._conditions[k]:
                held = np.zeros(n, bool)
                for j, opening in parents:
                    held |= active[j] & np.isin(index[j], opening)
                if parents:
                    on &= held
            active.append(on)
            grid, at = self._grids[k], index[k]
            if grid is None:
                columns.append(np.where(on, probs[:, k], 0.5))
            elif self.unordered[k]:
                columns += [np.where(on & (at == i), _APART, 0.0) for i in range(len(grid))]
            else:
                columns.append(np.where(on, (at + 0.5) / len(grid), 0.5))
        return np.stack(columns, 1) if columns else np.zeros((n, 1))


def _unordered(hyperparameter: HyperParameter) -> bool:
    return isinstance(hyperparameter, Choice) and not hyperparameter.ordered and len(hyperparameter.values) > 2


def _grid(hyperparameter: HyperParameter) -> list[Any] | None:
    """The values of equal probability, where they are few."""
    if hyperparameter.size is None:
        return None
    values = hyperparameter.values
    if getattr(hyperparameter, "step", 1) is None or len(values) > _FEW:
        return None
    # The order of probabilities, not of the grid search.
    return [hyperparameter.prob_to_value((i + 0.5) / len(values)) for i in range(len(values))]
