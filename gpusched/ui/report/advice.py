"""What the figures of a search suggest to do next. Pure; every line names the figures it follows from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpusched.hyperparameters import HyperParameter
from gpusched.ui import words
from gpusched.ui.facts import Best, Facts

#: Of the best trials, this share at one end of a range says that the range is too narrow there.
_AT_THE_EDGE = 0.4
_EDGE = 0.05
_IDLE = 0.15
#: A value that all the best share is named if so many as tried it would be that united by chance this seldom.
_CHANCE = 0.05


def advice(
    facts: Facts, ranked: Sequence[Best], space: Sequence[HyperParameter], busy: float | None, slots: int
) -> list[str]:
    """Lines for people; `ranked` are the finished trials, best first, `busy` the share of slot time in use."""
    best = ranked[: max(4, len(ranked) // 10)]
    lines = [line for hyperparameter in space if (line := _edge(hyperparameter, best))]
    lines += settled(ranked, space)
    leader = facts.best
    if leader is not None and leader.finished and leader.budget > 3 and leader.epoch == leader.budget:
        lines.append(
            f"The best trial was still getting better at its last epoch, {leader.epoch}: a larger max_epochs may pay."
        )
    if leader is not None and leader.finished and leader.budget >= 9 and leader.epoch <= leader.budget // 3:
        lines.append(
            f"The best trial was at its best at epoch {leader.epoch} of {leader.budget}: "
            "a smaller max_epochs, or early stopping, would have found it sooner."
        )
    if busy is not None and slots > 1 and 1 - busy > _IDLE and facts.seconds > 60:
        lines.append(
            f"The {slots} slots were idle for {100 * (1 - busy):.0f} % of the time. "
            "More trials (max_trials, iterations) or fewer slots use them better."
        )
    if facts.trials_started and facts.trials_failed / facts.trials_started > 0.1:
        lines.append(
            f"{facts.trials_failed} of {facts.trials_started} trials were lost; their reasons are below. "
            "If one range of values is to blame, leave it out."
        )
    return lines


def _edge(hyperparameter: HyperParameter, best: Sequence[Best]) -> str | None:
    low, high = getattr(hyperparameter, "min_value", None), getattr(hyperparameter, "max_value", None)
    given: list[float] = [
        float(each.values[hyperparameter.name]) for each in best if _number(each.values, hyperparameter.name)
    ]
    if low is None or high is None or low == high or len(given) < 4:
        return None
    where = [hyperparameter.value_to_prob(value) for value in given]
    name = words.clean(hyperparameter.name)
    for side, bound, near in (
        ("lower", low, sum(p <= _EDGE for p in where)),
        ("upper", high, sum(p >= 1 - _EDGE for p in where)),
    ):
        if near / len(given) >= _AT_THE_EDGE:
            return (
                f"{near} of the {len(given)} best trials have {name} at its {side} end, {words.value(bound)}: "
                "a wider range may hold better ones."
            )
    return None


def settled(ranked: Sequence[Best], space: Sequence[HyperParameter]) -> list[str]:
    """A line for each hyperparameter on whose value the best of the finished trials agree."""
    return [line for name in dict.fromkeys(each.name for each in space) if (line := _agreed(name, ranked))]


def _agreed(name: str, ranked: Sequence[Best]) -> str | None:
    """A value on which the best trials agree though others were tried.

    The best are the best tenth, at least five. That so many drawn from all finished trials had the value is the chance
    given (hypergeometric). Where the sampler came to prefer the value, more trials have it and the chance is larger,
    so such agreement is not taken for evidence twice.
    """
    count = max(5, len(ranked) // 10)
    if len(ranked) < 2 * count or any(name not in each.values for each in ranked[:count]):
        return None
    value = ranked[0].values[name]
    if any(each.values[name] != value for each in ranked[1:count]):
        return None
    tried = [each.values[name] for each in ranked if name in each.values]
    having = sum(other == value for other in tried)
    chance = math.comb(having, count) / math.comb(len(tried), count)
    if having == len(tried) or chance > _CHANCE:
        return None
    others = dict.fromkeys(words.value(other) for other in tried if other != value)
    shown = ", ".join([*others][:3]) + (", …" if len(others) > 3 else "")
    return (
        f"The {count} best trials all have {words.clean(name)} = {words.value(value)}, "
        f"as {having} of all {len(tried)} do (by chance: {100 * chance:.2g} %). "
        f"It looks settled: stop, and drop the other values ({shown})."
    )


def _number(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    return isinstance(value, int | float) and not isinstance(value, bool)
