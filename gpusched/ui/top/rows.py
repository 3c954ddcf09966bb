"""The trials of a search as rows with a column for each hyperparameter, sorted and filtered. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpusched.core.search import Search
from gpusched.core.trial import Standing, Trial, standing
from gpusched.ui import words
from gpusched.ui.facts import Row
from gpusched.ui.trials.ranking import Best

#: What the rows can be sorted by, in the order in which a key steps through them; then come the hyperparameters.
ORDERS = ("trial", "score", "epochs", "state", "time")

_STATES = tuple(Standing)


@dataclass(frozen=True, slots=True)
class Column:
    key: str  #: one of ORDERS; a hyperparameter's begins with "hp "
    title: str
    right: bool = False  #: whether its cells are aligned at the right

    @property
    def hyperparameter(self) -> str | None:
        return self.key.removeprefix("hp ") if self.key.startswith("hp ") else None


_FIXED = (
    Column("trial", "trial", right=True),
    Column("state", "state"),
    Column("epochs", "epochs", right=True),
    Column("score", "score", right=True),
    Column("time", "time", right=True),
)


@dataclass(frozen=True, slots=True)
class TrialRow:
    trial: int
    state: str
    epochs: int
    score: float | None  #: the objective's value; None where there is none
    rank: float  #: lower is better
    seconds: float
    values: Mapping[str, Any] = field(default_factory=dict)
    figure: str = ""  #: the score, written like the others below and above

    def cells(self, columns: Sequence[Column]) -> tuple[str, ...]:
        return tuple(map(self.cell, columns))

    def cell(self, column: Column) -> str:
        name = column.hyperparameter
        if name is not None:
            return words.value(self.values[name]) if name in self.values else ""
        match column.key:
            case "trial":
                return str(self.trial)
            case "state":
                return self.state
            case "epochs":
                return str(self.epochs)
            case "score":
                return self.figure
            case _:
                return words.duration(self.seconds)


def columns(search: Search, objective: str) -> list[Column]:
    """The score under the objective's name; hyperparameters in the order of the space, those of no trial left out."""
    used = {name for trial in search.trials.values() for name in trial.values}
    known = [hyperparameter.name for hyperparameter in search.oracle.space.hyperparameters]
    names = [name for name in dict.fromkeys([*known, *sorted(used)]) if name in used]
    fixed = [Column("score", words.clean(objective), right=True) if each.key == "score" else each for each in _FIXED]
    return [*fixed, *(Column(f"hp {name}", words.clean(name)) for name in names)]


def trial_rows(
    search: Search, ranked: Iterable[Best], running: Mapping[int, Row], now: float | None = None
) -> list[TrialRow]:
    """Every trial that was started.

    `ranked` are those with a score (ui.trials.ranking), `running` those that train: their time goes on until `now`,
    by the journal's clock; None: until its newest event.
    """
    now = search.at if now is None else now
    scores = {best.trial: best.score for best in ranked}
    figures = dict(zip(scores, words.column([*scores.values()]), strict=True))
    return [
        _row(search, trial, scores.get(trial.id), figures.get(trial.id, ""), running.get(trial.id), now)
        for trial in search.trials.values()
    ]


def ordered(rows: Sequence[TrialRow], order: str, *, reverse: bool = False) -> list[TrialRow]:
    """Sorted, the best, longest or smallest first; rows without such a figure come last, reversed or not."""
    keyed = [(_key(row, order), row) for row in rows]
    there = sorted(((key, row.trial, n) for n, (key, row) in enumerate(keyed) if key is not None), reverse=reverse)
    missing = sorted((row for key, row in keyed if key is None), key=lambda row: row.trial)
    return [*(keyed[n][1] for _, _, n in there), *missing]


def _key(row: TrialRow, order: str) -> Any:
    match order:
        case "trial":
            return row.trial
        case "score":
            return row.rank if math.isfinite(row.rank) else None
        case "epochs":
            return (-row.epochs, row.rank)
        case "state":
            return _STATES.index(Standing(row.state))
        case "time":
            return -row.seconds
    value = row.values.get(order.removeprefix("hp "))
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (1, 0, str(value))


def rising(order: str, direction: str, *, reverse: bool) -> bool:
    """Whether what is seen in the column grows downwards."""
    falls = order in ("epochs", "time") or (order == "score" and direction == "max")
    return falls == reverse


def _row(search: Search, trial: Trial, score: float | None, figure: str, row: Row | None, now: float) -> TrialRow:
    started = trial.started_at if row is not None and trial.started_at is not None else now
    return TrialRow(
        trial=trial.id,
        state=standing(trial, search.oracle).value,
        epochs=max(trial.epochs, row.epoch) if row is not None else trial.epochs,
        score=score,
        figure=figure,
        rank=search.oracle.objectives[0].rank(score),
        seconds=trial.seconds + max(0.0, now - started),
        values=trial.values,
    )
