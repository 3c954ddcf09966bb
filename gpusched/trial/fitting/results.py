"""What a training may return, turned into metrics by epoch.

The kinds are Keras Tuner's: a History, a dict of metrics, the objective as a number, or a list of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpusched.errors import FatalTypeError
from gpusched.objective import Objective
from gpusched.trial.record import number


def metrics_of(result: Any, objectives: Sequence[Objective], who: str) -> list[dict[str, Any]]:
    """One dict for each epoch of a History, else a single one.

    A list of results is several trainings of the same hyperparameters: their best values, averaged. Raises
    FatalTypeError for anything that is none of these, in the name of the function `who` that returned it.
    """
    if isinstance(result, list | tuple):
        if not result:
            raise FatalTypeError(f"{who} returned an empty list; return a History, a dict of metrics or the objective")
        return [_mean([_best(metrics_of(each, objectives, who), objectives[0]) for each in result])]
    history = getattr(result, "history", None)
    if isinstance(history, Mapping):
        rows: list[dict[str, Any]] = [{} for _ in range(max(map(len, history.values()), default=0))]
        for name, values in history.items():
            # With validation_freq the columns of validation are shorter: a value for the last epoch of each stride.
            stride = len(rows) // max(1, len(values))
            for i, value in enumerate(values):
                rows[(i + 1) * stride - 1][name] = value
        return rows
    if isinstance(result, Mapping):
        return [dict(result)]
    value = number(result)
    if value is not None:
        return [{objectives[0].name: value}]
    if result is None:
        raise FatalTypeError(f"{who} returned None; return the History, a dict of metrics or the objective as a number")
    raise FatalTypeError(
        f"{who} returned {type(result).__name__} ({result!r}); "
        "return a History, a dict of metrics, the objective as a number, or a list of these"
    )


def _best(epochs: list[dict[str, Any]], objective: Objective) -> dict[str, Any]:
    return min(epochs, key=lambda metrics: objective.rank(objective.of(metrics)), default={})


def _mean(results: list[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in results[0] if all(number(result.get(name)) is not None for result in results)]
    return {name: sum(float(result[name]) for result in results) / len(results) for name in names}
