"""The configurations of the grid, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpusched.oracles.samplers.base import Sampler


class GridSampler(Sampler):
    """The next configuration of the grid that no trial has had; where the space grows, the grid begins anew."""

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
            return self.space.fill(given, lambda i, h: h.default)
        if self._grid is None:
            self._grid = self.space.enumerate(grid=True)
        last: dict[str, Any] = {}
        for values in self._grid:
            if self.space.key(values) not in self._seen:
                return values
            last = values
        return last
