"""How much of what trials reached is explained by one hyperparameter's value alone.

Pure. The measure is the correlation ratio, with the correction for small samples that is known as epsilon squared
(Kelley, An unbiased correlation ratio measure, PNAS 21, 1935): trials are put into groups of equal values, or
of neighbouring ones, and the variance between the groups is held against the whole. Scores are compared by
rank, so that one diverged trial does not decide, and at the same epoch, so that longer training does not.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

#: Groups of a number that takes many values; few enough that each holds several trials.
_GROUPS = 6


def comparable_epoch(lengths: Sequence[int]) -> int:
    """The latest epoch that at least half of the trials have reached; 0 where there is none."""
    ordered = sorted((length for length in lengths if length > 0), reverse=True)
    return ordered[math.ceil(len(ordered) / 2) - 1] if ordered else 0


def importance(values: Sequence[Mapping[str, Any]], scores: Sequence[float]) -> dict[str, float | None]:
    """The share of the scores' variance that each hyperparameter explains, 0 … 1, largest first.

    `values` and `scores` are those of the same trials. None where too few trials say anything (fewer than 8 have the
    hyperparameter, or all have the same value).
    """
    names = list(dict.fromkeys(name for each in values for name in each))
    found: dict[str, float | None] = {}
    for name in names:
        having = [(each[name], score) for each, score in zip(values, scores, strict=True) if name in each]
        found[name] = _share([value for value, _ in having], [score for _, score in having])
    return dict(sorted(found.items(), key=lambda item: (item[1] is None, -(item[1] or 0.0), item[0])))


def _share(values: list[Any], scores: list[float]) -> float | None:
    groups = _groups(values)
    count, kinds = len(values), len(set(groups))
    if count < 8 or kinds < 2 or kinds >= count:
        return None
    ranks = _ranks(np.array(scores, dtype=float))
    whole = float(((ranks - ranks.mean()) ** 2).sum())
    if whole == 0:
        return None
    inside = 0.0
    labels = np.array([hash(group) for group in groups])
    for label in np.unique(labels):
        members = ranks[labels == label]
        inside += float(((members - members.mean()) ** 2).sum())
    return max(0.0, 1.0 - (inside / (count - kinds)) / (whole / (count - 1)))


def _groups(values: list[Any]) -> list[Hashable]:
    distinct = set(values)
    if len(distinct) <= _GROUPS or not all(isinstance(value, int | float) for value in distinct):
        return list(values)
    edges = np.quantile(np.array(values, dtype=float), np.linspace(0, 1, _GROUPS + 1)[1:-1])
    return [int(np.searchsorted(edges, value, side="right")) for value in values]


def _ranks(scores: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Equal scores share their mean rank; NaN and infinity rank last, together."""
    clean = np.where(np.isfinite(scores), scores, np.inf)
    _, inverse, counts = np.unique(clean, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray[Any, np.dtype[np.float64]] = (ends - (counts - 1) / 2)[inverse]
    return ranks
