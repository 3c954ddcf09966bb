"""Values on which the best trials of a search agree, and the same search again with these fixed.

Knows what agreement is evidence and which folder the narrowed search has. Refuses to know how that is told to people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import Fixed, HyperParameter, HyperParameters
from gpusched.runtime.reader import Run
from gpusched.storage.lock import holder
from gpusched.storage.records import Narrowed, Older
from gpusched.storage.rundir import RunDir

#: A value that all the best share is named if so many as tried it would be that united by chance this seldom.
_CHANCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A value that the best finished trials share though others were tried."""

    name: str
    value: Any
    best: int  #: so many of the best trials were looked at, and all have it
    having: int  #: so many of all finished trials have it
    tried: int  #: finished trials that have this hyperparameter
    others: list[Any]  #: the other values that were tried
    chance: float  #: of such agreement if the value made no difference, 0 … 1

    @property
    def evidence(self) -> str:
        return (
            f"the {self.best} best trials all have it, as {self.having} of all {self.tried} do; "
            f"by chance: {100 * self.chance:.2g} %"
        )


def settled(ranked: Sequence[Mapping[str, Any]], space: Iterable[HyperParameter]) -> list[Settled]:
    """The hyperparameters on whose value the best trials agree. `ranked` are finished trials' values, best first."""
    names = dict.fromkeys(each.name for each in space)
    return [found for name in names if (found := _agreed(name, ranked)) is not None]


def _agreed(name: str, ranked: Sequence[Mapping[str, Any]]) -> Settled | None:
    """A value on which the best trials agree though others were tried.

    The best are the best tenth, at least five. That so many drawn from all finished trials had the value is the chance
    given (hypergeometric). Where the sampler came to prefer the value, more trials have it and the chance is larger,
    so such agreement is not taken for evidence twice.
    """
    count = max(5, len(ranked) // 10)
    if len(ranked) < 2 * count or any(name not in values for values in ranked[:count]):
        return None
    value = ranked[0][name]
    if any(values[name] != value for values in ranked[1:count]):
        return None
    tried = [values[name] for values in ranked if name in values]
    having = sum(other == value for other in tried)
    chance = math.comb(having, count) / math.comb(len(tried), count)
    if having == len(tried) or chance > _CHANCE:
        return None
    others = list(dict.fromkeys(other for other in tried if other != value))
    return Settled(name=name, value=value, best=count, having=having, tried=len(tried), others=others, chance=chance)


class Narrowing:
    """The search in `RUN-narrow`: that of RUN with what is settled there fixed.

    Where it exists already it is carried on with the values that were fixed when it began, whatever RUN has found
    since, unless it is to begin anew. Raises UsageError where there is nothing to narrow.
    """

    def __init__(self, older: RunDir, *, anew: bool = False) -> None:
        self.run = RunDir(older.path.with_name(f"{older.name}-narrow"))
        self.found: list[Settled] = []  #: the evidence; empty where the narrowed search is carried on
        if self.run.exists() and not anew:
            narrowed = self.run.read_search().narrowed
            if narrowed is None:
                raise UsageError(
                    f"{self.run.path}: is a search of its own, and --fix-settled would need that name; move it aside"
                )
            self.record = narrowed
            return
        if not older.exists():
            raise UsageError(f"{older.path}: there is no search to narrow yet; run it without --fix-settled first")
        pid = holder(older.lock)
        if pid is not None:
            raise UsageError(
                f"{older.path}: process {pid} runs this search; stop it first: `gpusched stop {older.path}`"
            )
        run = Run(older)
        oracle = run.search.oracle
        ranking = [trial for trial in oracle.rank() if math.isfinite(oracle.trials[trial].score)]
        self.found = settled([oracle.trials[trial].values for trial in ranking], oracle.space.hyperparameters)
        if not self.found:
            raise UsageError(
                f"{older.path}: nothing is settled by its {len(ranking)} finished trials, so there is nothing to fix; "
                "a larger budget (--max-trials, --iterations) may settle something"
            )
        fixed = {each.name: each.value for each in self.found}
        self.record = Narrowed(run=older.name, fixed=fixed, older=_older(run, ranking, fixed))

    def space(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The script's space with the settled hyperparameters fixed, as HyperParameters.get_config().

        What a trial of the older search discovered late is fixed from the start.
        Raises UsageError where nothing is left to search.
        """
        fixed = self.record.fixed
        wide = HyperParameters.from_config(dict(config))
        narrow: list[HyperParameter] = []
        for each in wide.space:
            if each.name in fixed and each.accepts(fixed[each.name]):
                narrow.append(Fixed(each.name, fixed[each.name], each.conditions))
            else:
                narrow.append(each)
        known = {each.name for each in narrow}
        narrow += [Fixed(name, value) for name, value in fixed.items() if name not in known]
        if all(isinstance(each, Fixed) for each in narrow):
            raise UsageError(
                f"{self.record.run}: all its hyperparameters are settled, nothing is left to search; "
                "`gpusched best -n 1` shows the values"
            )
        whole = HyperParameters()
        whole.merge(narrow)
        return whole.get_config()

    def lines(self) -> list[str]:
        """What is fixed and why, for people."""
        why = {each.name: f" ({each.evidence})" for each in self.found}
        lines = [f"{name} stays {value}{why.get(name, '')}" for name, value in self.record.fixed.items()]
        if self.found and self.record.older:
            best = self.record.older[0].trial
            lines.append(f"the first trial has the values of {self.record.run}'s trial {best}, the best with these")
        return lines


def _older(run: Run, ranking: Sequence[int], fixed: Mapping[str, Any]) -> list[Older]:
    """The older search's trials that have the fixed values, best first: where a model starts from."""
    oracle = run.search.oracle
    sign = -1.0 if oracle.objectives[0].direction == "max" else 1.0
    if len(oracle.objectives) > 1:
        return []  # A trial's curve holds the first objective alone.
    found = [oracle.trials[trial] for trial in ranking]
    return [
        Older(
            trial=trial.id,
            values=trial.values,
            scores=[sign * score if math.isfinite(score) else None for score in trial.curve],
        )
        for trial in found
        if all(trial.values.get(name, value) == value for name, value in fixed.items())
    ]
