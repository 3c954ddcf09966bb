"""How much of what trials reached hangs on one hyperparameter, alone and together with the others.

Pure. A random forest learns scores from values; then a hyperparameter's values are shuffled among trials that the
forest has not seen (permutation importance: Breiman, Random Forests, Machine Learning 45, 2001). Half the rise
of the squared error, over the variance of the scores, is the total effect of Sobol (Jansen, Analysis of variance
designs for model output, 1999). Scores are compared by rank, so that one diverged trial does not decide, and at the
same epoch, so that longer training does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

#: Trials that must have a hyperparameter before anything is said of it.
_LEAST = 8
#: More trials than these cost seconds and change a share by less than its own error: so many are taken, evenly spread.
_MOST = 1_000
_TREES, _FOLDS, _SHUFFLES = 64, 5, 8


def comparable_epoch(lengths: Sequence[int]) -> int:
    """The latest epoch that at least half of the trials have reached; 0 where there is none."""
    ordered = sorted((length for length in lengths if length > 0), reverse=True)
    return ordered[math.ceil(len(ordered) / 2) - 1] if ordered else 0


def importance(values: Sequence[Mapping[str, Any]], scores: Sequence[float]) -> dict[str, float | None]:
    """The share of the scores' variance that is lost where a hyperparameter's value is not known, 0 … 1, largest first.

    `values` and `scores` are those of the same trials; lower scores are better. Shares of hyperparameters that
    work together overlap. None where too few trials say anything: fewer than 8 have the hyperparameter, all have the
    same value, or the forest predicts unseen trials no better than their mean.
    """
    names = list(dict.fromkeys(name for each in values for name in each))
    taken = np.linspace(0, len(values) - 1, min(len(values), _MOST)).astype(int)
    values, scores = [values[i] for i in taken], [scores[i] for i in taken]
    told = [name for name in names if _says_something(name, values)]
    found: dict[str, float | None] = dict.fromkeys(names)
    if told and len(set(scores)) > 1:
        table = np.column_stack([_codes([each.get(name) for each in values]) for name in told])
        found |= dict(zip(told, _shares(table, _ranks(scores)), strict=True))
    return dict(sorted(found.items(), key=lambda item: (item[1] is None, -(item[1] or 0.0), item[0])))


def _says_something(name: str, values: Sequence[Mapping[str, Any]]) -> bool:
    having = [each[name] for each in values if name in each]
    return len(having) >= _LEAST and len(set(having)) > 1


def _shares(table: Array, ranks: Array) -> list[float | None]:
    # Imported here: it takes a second, and only the report asks.
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    count, width = table.shape
    left, rises = 0.0, np.zeros(width)
    for seen, unseen in KFold(min(_FOLDS, count // 4), shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=0).fit(table[seen], ranks[seen])
        left += float(((forest.predict(table[unseen]) - ranks[unseen]) ** 2).sum())
        shuffled = permutation_importance(
            forest,
            table[unseen],
            ranks[unseen],
            scoring="neg_mean_squared_error",
            n_repeats=_SHUFFLES,
            random_state=0,
        )
        # A shuffle leaves each value in its place once in len(unseen) times.
        rises += shuffled.importances_mean * len(unseen) ** 2 / (len(unseen) - 1)
    whole = float(((ranks - ranks.mean()) ** 2).sum())
    if left >= whole:
        return [None] * width
    return [float(share) for share in np.clip(rises / (2 * whole), 0.0, 1.0)]


def _codes(values: list[Any]) -> Array:
    """Numbers by their order, other values by their names'; 0 where the hyperparameter is inactive."""
    there = {value for value in values if value is not None}
    numbers = all(isinstance(value, int | float) for value in there)
    places = {value: place for place, value in enumerate(sorted(there, key=None if numbers else str), 1)}
    return np.array([0 if value is None else places[value] for value in values], dtype=float)


def _ranks(scores: Sequence[float]) -> Array:
    """Equal scores share their mean rank; NaN and infinity rank last, together."""
    from scipy.stats import rankdata

    clean = np.array(scores, dtype=float)
    ranks: Array = rankdata(np.where(np.isfinite(clean), clean, np.inf)).astype(float)
    return ranks
