"""What the figures of a search suggest to do next. Pure; every line names the figures it follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpusched.hyperparameters import HyperParameter
from gpusched.oracles.base import Oracle
from gpusched.runtime.startup.fix_settled import Settled, settled
from gpusched.ui import words
from gpusched.ui.facts import Facts
from gpusched.ui.report.idle import Use
from gpusched.ui.trials.ranking import Best

#: Of the best trials, this share at one end of a range says that the range is too narrow there.
_AT_THE_EDGE = 0.4
_EDGE = 0.05
_IDLE = 0.15


def advice(facts: Facts, ranked: Sequence[Best], oracle: Oracle, use: Use) -> list[str]:
    """Lines for people; `ranked` are the trials with a score, best first."""
    space = oracle.space.hyperparameters
    ranked = [best for best in ranked if best.finished]
    best = ranked[: max(4, len(ranked) // 10)]
    lines = [line for hyperparameter in space if (line := _edge(hyperparameter, best))]
    lines += agreed(ranked, space)
    leader = facts.best
    if leader is not None and leader.finished and leader.budget == oracle.max_epochs:
        lines += _length(leader)
    if use.busy is not None and use.most > 1 and 1 - use.busy > _IDLE and use.offered > 60 * use.most:
        lines.append(
            f"The slots were idle for {100 * (1 - use.busy):.0f} % of the time that they were there, pauses left out. "
            "More trials (max_trials, iterations) or fewer slots use them better."
        )
    if facts.trials_started and facts.trials_failed / facts.trials_started > 0.1:
        lines.append(
            f"{facts.trials_failed} of {facts.trials_started} trials failed or were stopped; their reasons are below. "
            "If one range of values is to blame, leave it out."
        )
    return lines


def _length(leader: Best) -> list[str]:
    """What the best trial, trained in full, says of the number of epochs."""
    if leader.budget > 3 and leader.epoch == leader.budget:
        return [
            f"The best trial was still getting better at its last epoch, {leader.epoch}: a larger max_epochs may pay."
        ]
    if leader.budget >= 9 and leader.epoch <= leader.budget // 3:
        return [
            f"The best trial was at its best at epoch {leader.epoch} of {leader.budget}: "
            "a smaller max_epochs, or early stopping, would have found it sooner."
        ]
    return []


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


def agreed(ranked: Sequence[Best], space: Sequence[HyperParameter]) -> list[str]:
    """A line for each hyperparameter on whose value the best of the finished trials agree."""
    return [_in_words(each) for each in settled([best.values for best in ranked], space)]


def _in_words(found: Settled) -> str:
    others = list(dict.fromkeys(map(words.value, found.others)))
    shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
    return (
        f"The {found.best} best trials all have {words.clean(found.name)} = {words.value(found.value)}, "
        f"as {found.having} of all {found.tried} do (by chance: {100 * found.chance:.2g} %). "
        f"It looks settled: stop, and drop the other values ({shown}), or run it with --fix-settled."
    )


def _number(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    return isinstance(value, int | float) and not isinstance(value, bool)
