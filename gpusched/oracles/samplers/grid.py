"""The configurations of the grid, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpusched.oracles.samplers.base import Sampler

#: Configurations of a grid that are looked at one by one to count those that are left.
_COUNTED = 20_000


class GridSampler(Sampler):
    """The next configuration of the grid that no trial has had; where the space grows, the grid begins anew.

    A trial without the hyperparameters that others came upon has shown that under its values they are not asked for:
    it stands for all configurations that have its values. So does one in training, until it asks for them.
    """

    _grid: Iterator[dict[str, Any]] | None = None

    def _repeats_allowed(self) -> bool:
        return False

    def extended(self) -> None:
        self._grid = None
        super().extended()

    def _distinct(self, trial_id: int) -> dict[str, Any]:
        assert self._seen is not None
        given = self._next_queued()
        if given is not None:
            return self._filled(given)
        if self._grid is None:
            self._grid = self._left(self._seen)
        found = next(self._grid, None)
        return self._filled({}) if found is None else found

    def beside(self, given: Mapping[str, Any]) -> bool:
        """What is not of the grid, or has been tried, comes on top of it."""
        key = self.space.key(self._filled(given))
        return key in (self._seen or ()) or all(key != self.space.key(each) for each in self.space.enumerate(grid=True))

    def _filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self.space.fill(given, lambda i, h: h.default)

    def distinct(self) -> int | None:
        """How many trials the grid has: those there were, and those that are left."""
        whole = self.space.distinct(grid=True)
        if self._seen is None or whole is None or whole > _COUNTED or not (self.elsewhere or self._partial()):
            return whole
        return len(self.oracle.trials) + sum(1 for _ in self._left(self._seen))

    def _left(self, seen: set[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
        partial = self._partial()
        for values in self.space.enumerate(grid=True):
            if self.space.key(values) not in seen and not any(known <= values.items() for known in partial):
                yield values

    def _partial(self) -> list[Any]:
        """The values of each trial that lacks a hyperparameter which counts under them."""
        if len(self.space.hyperparameters) == self.space.initial:
            return []
        trials = [trial.values for trial in self.oracle.trials.values()]
        return [each.items() for each in trials if len(self.space.fill(each, lambda i, h: None)) > len(each)]
