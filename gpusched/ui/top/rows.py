"""The trials of a search as rows that can be sorted. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gpusched.core.search import Search
from gpusched.core.trial import Standing, Trial, standing
from gpusched.ui import words
from gpusched.ui.facts import Row, sign

#: What the rows can be sorted by, in the order in which a key steps through them.
ORDERS = ("trial", "score", "epochs", "state", "time")

_STATES = tuple(Standing)


@dataclass(frozen=True, slots=True)
class TrialRow:
    trial: int
    state: str
    epochs: int
    score: float | None  #: the objective's value; None where there is none
    rank: float  #: lower is better
    seconds: float
    values: str

    def cells(self) -> tuple[str, ...]:
        score = "" if self.score is None else words.score(self.score)
        return (str(self.trial), self.state, str(self.epochs), score, words.duration(self.seconds), self.values)


def trial_rows(search: Search, running: Mapping[int, Row], order: str, *, reverse: bool = False) -> list[TrialRow]:
    """Every trial that was started, in the order asked for; `running` are those in training, as they report."""
    rows = [_row(search, trial, running.get(trial.id)) for trial in search.trials.values()]
    keys = {
        "trial": lambda row: row.trial,
        "score": lambda row: (row.rank, row.trial),
        "epochs": lambda row: (-row.epochs, row.rank, row.trial),
        "state": lambda row: (_STATES.index(Standing(row.state)), row.trial),
        "time": lambda row: (-row.seconds, row.trial),
    }
    return sorted(rows, key=keys[order], reverse=reverse)


def _row(search: Search, trial: Trial, row: Row | None) -> TrialRow:
    seen = search.oracle.trials.get(trial.id)
    rank = seen.score if seen is not None else math.inf
    if row is not None and row.score is not None:
        rank = min(rank, sign(search.oracle) * row.score)
    started = trial.started_at if row is not None and trial.started_at is not None else search.at
    return TrialRow(
        trial=trial.id,
        state=standing(trial, search.oracle).value,
        epochs=max(trial.epochs, row.epoch) if row is not None else trial.epochs,
        score=sign(search.oracle) * rank if math.isfinite(rank) else None,
        rank=rank,
        seconds=trial.seconds + max(0.0, search.at - started),
        values=words.values(trial.values, 4),
    )
