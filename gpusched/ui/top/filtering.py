"""What one types to see some trials only: `failed`, `12`, `optimizer=adam`, `lr<0.01 score>0.9`. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gpusched.ui.top.rows import Column, TrialRow

_COMPARED = re.compile(r"(?P<name>[^<>=!]+)(?P<how><=|>=|!=|<|>|=)(?P<value>.*)")
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One word: a column, how its cells are compared and with what; or something that any cell is to contain."""

    text: str
    name: str = ""
    how: str = ""

    def holds(self, row: TrialRow, columns: Sequence[Column]) -> bool:
        if not self.how:
            return self._anywhere(row, columns)
        return any(self._compare(_content(row, column), row.cell(column)) for column in _named(self.name, columns))

    def _anywhere(self, row: TrialRow, columns: Sequence[Column]) -> bool:
        if self.text.isdecimal():
            return int(self.text) == row.trial
        return any(self.text in row.cell(column).lower() for column in columns)

    def _compare(self, content: Any, cell: str) -> bool:
        if content is None or content == "":
            return False
        try:
            number = float(self.text)
        except ValueError:
            number = None
        known = isinstance(content, int | float) and not isinstance(content, bool)
        if self.how in _ORDERS:
            return number is not None and known and _ORDERS[self.how](content, number)
        # What is seen is what one types: a value counts as it is and as its cell shows it.
        same = self.text in (str(content).lower(), cell.lower()) or (known and number == content)
        return same == (self.how == "=")


def parse(text: str) -> list[Condition]:
    """The conditions, all of which are to hold; a comparison that has no value yet, while one types, is none."""
    found = []
    for word in text.lower().split():
        match = _COMPARED.fullmatch(word)
        if match is None:
            found.append(Condition(word))
        elif match["value"]:
            found.append(Condition(match["value"], match["name"], match["how"]))
    return found


def filtered(rows: Iterable[TrialRow], columns: Sequence[Column], text: str) -> list[TrialRow]:
    """The rows for which all words of the text hold, in the same order."""
    conditions = parse(text)
    return [row for row in rows if all(condition.holds(row, columns) for condition in conditions)]


def _named(name: str, columns: Sequence[Column]) -> list[Column]:
    """The column of that name, be it "score" for the objective's; else those whose names begin with it, or have it."""
    exact = [column for column in columns if name in (column.key, column.title.lower())]
    beginning = [column for column in columns if column.title.lower().startswith(name)]
    return exact or beginning or [column for column in columns if name in column.title.lower()]


def _content(row: TrialRow, column: Column) -> Any:
    name = column.hyperparameter
    if name is not None:
        return row.values.get(name)
    return {"trial": row.trial, "state": row.state, "epochs": row.epochs, "score": row.score, "time": row.seconds}[
        column.key
    ]
