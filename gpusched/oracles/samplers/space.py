"""The space of configurations: which hyperparameters are active, how many configurations there are.

Pure. Parents stand before their children; a name is decided by its first active hyperparameter,
so one name under two conditions is two hyperparameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameter, HyperParameters


class Space:
    """Hyperparameters in order; those beyond ``initial`` were discovered during the search."""

    def __init__(self, hyperparameters: HyperParameters) -> None:
        self.hyperparameters: list[HyperParameter] = list(hyperparameters.space)
        self.initial = len(self.hyperparameters)
        self._names = {h.full_name for h in self.hyperparameters}

    def extend(self, hyperparameters: Iterable[HyperParameter]) -> bool:
        """Adds what is new; whether anything was."""
        added = [h for h in hyperparameters if h.full_name not in self._names]
        self._names.update(h.full_name for h in added)
        self.hyperparameters += added
        return bool(added)

    @staticmethod
    def is_active(hyperparameter: HyperParameter, values: Mapping[str, Any]) -> bool:
        return all(condition.is_active(values) for condition in hyperparameter.conditions)

    def fill(self, given: Mapping[str, Any], value: Callable[[int, HyperParameter], Any]) -> dict[str, Any]:
        """A whole configuration: what is given where it is active, and ``value(i, hyperparameter)`` for the rest."""
        values: dict[str, Any] = {}
        for i, hyperparameter in enumerate(self.hyperparameters):
            name = hyperparameter.name
            if name in values or (hyperparameter.conditions and not self.is_active(hyperparameter, values)):
                continue
            values[name] = given[name] if name in given else value(i, hyperparameter)
        return values

    def check(self, given: Mapping[str, Any]) -> None:
        """Refuses a configuration whose names or values are not of this space."""
        by_name: dict[str, list[HyperParameter]] = {}
        for h in self.hyperparameters:
            by_name.setdefault(h.name, []).append(h)
        for name, value in given.items():
            if name not in by_name:
                raise UsageError(f"initial: {name!r} is not a hyperparameter; there are {', '.join(by_name) or 'none'}")
            if not any(h.accepts(value) for h in by_name[name]):
                raise UsageError(f"initial: {name}={value!r} is outside of {by_name[name][0]!r}")

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether every name and value is of this space."""
        try:
            self.check(values)
        except UsageError:
            return False
        return True

    @property
    def continuous(self) -> bool:
        """Whether two draws can be taken never to be equal."""
        return any(h.size is None and not h.conditions for h in self.hyperparameters)

    def key(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """What tells two configurations apart."""
        return tuple((name, values[name]) for name in sorted(values))

    def distinct(self, *, grid: bool = False) -> int | None:
        """How many configurations there are, on the grid or in all; None when they have no end."""
        if self.continuous and not grid:
            return None
        space, count = self.hyperparameters, len(self.hyperparameters)
        needed: list[set[str]] = [set() for _ in range(count + 1)]  # the names that hyperparameters i… look at
        for i in range(count - 1, -1, -1):
            needed[i] = needed[i + 1] | {c.name for c in space[i].conditions} | {space[i].name}
        states: dict[tuple[tuple[str, Any], ...], tuple[dict[str, Any], int]] = {(): ({}, 1)}
        for i, hyperparameter in enumerate(space):
            parent = any(c.name == hyperparameter.name for h in space[i + 1 :] for c in h.conditions)
            after: dict[tuple[tuple[str, Any], ...], tuple[dict[str, Any], int]] = {}
            for values, ways in states.values():
                options: list[tuple[dict[str, Any], int]] = [(values, ways)]
                if hyperparameter.name not in values and self.is_active(hyperparameter, values):
                    size = _grid_size(hyperparameter) if grid else hyperparameter.size
                    if size is None:
                        return None
                    if parent:
                        some = _choices(hyperparameter, grid)
                        options = [({**values, hyperparameter.name: v}, ways) for v in some]
                    else:
                        options = [({**values, hyperparameter.name: None}, ways * size)]
                for chosen, n in options:
                    kept = {name: v for name, v in chosen.items() if name in needed[i + 1]}
                    state = tuple(sorted(kept.items(), key=repr))
                    after[state] = (kept, n + after[state][1]) if state in after else (kept, n)
            states = after
        return sum(ways for _, ways in states.values())

    def enumerate(self, *, grid: bool = False) -> Iterator[dict[str, Any]]:
        """Every configuration, on the grid or in all, the last hyperparameter moving fastest."""

        def walk(i: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
            while i < len(self.hyperparameters):
                hyperparameter = self.hyperparameters[i]
                i += 1
                if hyperparameter.name not in values and self.is_active(hyperparameter, values):
                    for value in _choices(hyperparameter, grid):
                        yield from walk(i, {**values, hyperparameter.name: value})
                    return
            yield values

        return walk(0, {})


def _choices(hyperparameter: HyperParameter, grid: bool) -> Iterator[Any]:
    """Every value; on the grid the default stands before the others, as in Keras Tuner."""
    if not grid:
        yield from hyperparameter.support or ()
        return
    default = hyperparameter.default
    if hyperparameter.accepts(default):
        yield default
    yield from (value for value in hyperparameter.values if value != default)


def _grid_size(hyperparameter: HyperParameter) -> int:
    values, default = hyperparameter.values, hyperparameter.default
    return len(values) + (default not in values and hyperparameter.accepts(default))
