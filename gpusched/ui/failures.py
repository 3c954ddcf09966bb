"""Why trials failed, in few lines: those that failed for the same reason stand together.

Pure: what is said, not where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from gpusched.core.trial import LOST, Trial, TrialState
from gpusched.ui import words

#: Groups that are shown; the others are counted.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that failed in the same way."""

    trials: list[int]
    reason: str  #: of the first of them

    @property
    def line(self) -> str:
        """`7 trials (0 to 5, 9): ValueError: no such layer (train.py:5)`."""
        one = (
            f"trial {self.trials[0]}" if len(self.trials) == 1 else f"{len(self.trials)} trials ({spans(self.trials)})"
        )
        return f"{one}: {self.reason}"


def reason(trial: Trial) -> str:
    """Why a trial failed or was stopped, in part of a line."""
    if trial.failure is not None:
        return words.clean(trial.failure.brief)
    if trial.keep_asked and trial.state not in LOST:
        return "stopped by hand, its score counts"
    return {TrialState.STOPPED: "stopped by hand", TrialState.OVERSIZE: "its model is larger than max_model_size"}.get(
        trial.state, "no reason known"
    )


def groups(trials: Iterable[Trial]) -> list[Group]:
    """Of trials that failed by an error, the largest group first. Messages that differ in numbers alone are one."""
    found: dict[tuple[str, str, str], Group] = {}
    for trial in sorted(trials, key=lambda trial: trial.id):
        if trial.state not in (TrialState.FAILED, TrialState.OVERSIZE):
            continue
        said = reason(trial)
        kind, where = (trial.failure.kind, trial.failure.where) if trial.failure is not None else ("", "")
        key = (kind, where, re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", said))
        found.setdefault(key, Group([], said)).trials.append(trial.id)
    return sorted(found.values(), key=lambda group: (-len(group.trials), group.trials[0]))


def lines(trials: Iterable[Trial], run: str = "") -> list[str]:
    """The groups, and what can be done about them; nothing where none failed. `run` names it in a command."""
    found = groups(trials)
    if not found:
        return []
    told = [f"failed: {group.line}" for group in found[:_SHOWN]]
    if len(found) > _SHOWN:
        left = sum(len(group.trials) for group in found[_SHOWN:])
        told.append(f"failed: {words.plural(left, 'more trial')}, for {len(found) - _SHOWN} other reasons")
    some = " ".join(word for word in ("logs", run, str(found[0].trials[0])) if word)
    again = " ".join(word for word in ("retry", run) if word)
    return [*told, f"`gpusched {some}` shows the whole error, `gpusched {again}` trains failed trials again"]


def spans(numbers: list[int]) -> str:
    """`0 to 5, 9, 11, …` of ascending numbers."""
    starts = [numbers[0], *(after for before, after in pairwise(numbers) if after != before + 1)]
    ends = [*(before for before, after in pairwise(numbers) if after != before + 1), numbers[-1]]
    parts = []
    for first, last in zip(starts, ends, strict=True):
        parts += (
            [str(first)] if first == last else [str(first), str(last)] if last == first + 1 else [f"{first} to {last}"]
        )
    return ", ".join(parts[:8]) + (", …" if len(parts) > 8 else "")
