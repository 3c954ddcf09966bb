"""Several objectives at once: who is beaten by nobody, and an order for the rest.

Pure. Points are tuples of the same length, lower is better in each place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Point = tuple[float, ...]


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is at least as good everywhere and better somewhere."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def front(points: Mapping[int, Point]) -> list[int]:
    """The ids of those beaten by nobody, in the order of ids."""
    # By the first place: nobody is beaten by one that comes later.
    found: list[int] = []
    for i in sorted(points, key=lambda i: points[i]):
        if not any(dominates(points[j], points[i]) for j in found):
            found.append(i)
    return sorted(found)


def fronts(points: Mapping[int, Point]) -> list[list[int]]:
    """The ids by Pareto front, the undominated first."""
    left = dict(points)
    found = []
    while left:
        found.append(front(left))
        for i in found[-1]:
            del left[i]
    return found


def pareto_order(points: Mapping[int, Point]) -> list[int]:
    """The ids, best first: by front, and within one the loneliest first (NSGA-II's crowding, Deb et al. 2002).

    A point without numbers comes last. Ties go to the lower id, so the order depends on the points alone.
    """
    whole = {i: p for i, p in points.items() if p and all(map(math.isfinite, p))}
    order = []
    for tier in fronts(whole):
        lonely = _crowding([whole[i] for i in tier])
        order += [i for _, i in sorted(zip((-x for x in lonely), tier, strict=True))]
    return order + sorted(set(points) - set(whole))


def _crowding(points: Sequence[Point]) -> list[float]:
    distance = [0.0] * len(points)
    for k in range(len(points[0])):
        by = sorted(range(len(points)), key=lambda i: (points[i][k], i))
        span = points[by[-1]][k] - points[by[0]][k]
        distance[by[0]] = distance[by[-1]] = math.inf
        for before, i, after in zip(by, by[1:], by[2:], strict=False):
            distance[i] += (points[after][k] - points[before][k]) / span if span else 0.0
    return distance
