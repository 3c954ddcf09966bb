"""Finds the whole search space by asking a build function, as often as its conditions need.

Keras Tuner's idea: every conditional scope should be active once, since what is behind it may open further ones.
Calls the user's code and nothing else; in which process is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters.conditions import Parent, all_active
from gpusched.hyperparameters.parameter import HyperParameter
from gpusched.hyperparameters.space import HyperParameters

Scope = tuple[Parent, ...]  #: the conditions from the outermost scope to the innermost


def explore(
    build: Callable[[HyperParameters], Any], hp: HyperParameters | None = None, limit: int = 1000
) -> HyperParameters:
    """The space of `build`: that of `hp`, which stays as it is, and all that `build` asks for besides.

    The first call sees `hp`'s values and defaults; each further one makes the first scope active that never was, all
    else as it was when that scope was met. A scope that no value of its parents can open is left alone. What `build`
    raises is passed on. Raises UsageError when `limit` calls were not enough.
    """
    found = HyperParameters() if hp is None else hp.copy()
    found.draw = _default
    found.ensure_active_values()
    settled: set[Scope] = set()  #: active once, or tried
    closed: dict[Scope, dict[str, Any]] = {}  #: never active nor tried, with the values under which it was met
    values: dict[str, Any] | None = found.values
    for _ in range(limit):
        if values is None:
            break
        start = found.copy()
        start.values = dict(values)
        start.on_scope = _recorder(start, settled, closed)
        build(start)
        found.merge(start.discovered, overwrite=False)
        values = _next(found, settled, closed)
    if values is not None:
        raise UsageError(
            f"the search space is still growing after {limit} calls of the build function, whose newest hyperparameter "
            f"is {found.space[-1].label}: are there names or conditions that change from call to call?"
        )
    found.draw = None if hp is None else hp.draw
    return found


def _recorder(
    hp: HyperParameters, settled: set[Scope], closed: dict[Scope, dict[str, Any]]
) -> Callable[[Scope, bool], None]:
    def record(scope: Scope, active: bool) -> None:
        if active:
            settled.add(scope)
            closed.pop(scope, None)
        elif scope not in settled:
            closed.setdefault(scope, dict(hp.values))

    return record


def _next(found: HyperParameters, settled: set[Scope], closed: dict[Scope, dict[str, Any]]) -> dict[str, Any] | None:
    """Values that open a scope which never was open; None when there is none left."""
    while closed:
        scope = next(iter(closed))
        settled.add(scope)
        hp = found.copy()
        hp.values = {**closed.pop(scope), **_opening(found, scope)}
        hp.ensure_active_values()
        if all_active(scope, hp.values):
            return hp.values
    return None


def _opening(found: HyperParameters, scope: Scope) -> dict[str, Any]:
    """For each parent the first value that opens the scope, of those it can take at all."""
    chosen = {}
    for condition in scope:
        parents = [each for each in found.space if each.name == condition.name]
        for value in condition.values:
            if any(parent.accepts(value) for parent in parents):
                chosen[condition.name] = value
                break
    return chosen


def _default(hyperparameter: HyperParameter) -> Any:
    return hyperparameter.default
