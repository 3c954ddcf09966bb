"""What came of a search as tables for a notebook. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpusched.ui import words
from gpusched.ui.notebook import html
from gpusched.ui.trials.ranking import Best

#: Rows at the beginning and at the end of a long table.
_ENDS = 5


def best_trials(found: Sequence[Best], objective: str) -> str:
    """Trials, the best first, a row each, with a column for each hyperparameter."""
    if not found:
        return html.line(html.faint("no trial has completed"))
    names = list(dict.fromkeys(name for best in found for name in best.values))
    scores = words.column([best.score for best in found])
    heads = ["", "trial", objective, "epoch", *names]
    rows = [
        [
            str(place),
            str(best.trial),
            html.bold(score),
            f"{best.epoch} of {best.budget}{'' if best.finished else ' so far'}",
            *(html.text(words.value(best.values[name])) if name in best.values else "" for name in names),
        ]
        for place, (best, score) in enumerate(zip(found, scores, strict=True), 1)
    ]
    return html.table(heads, rows, [True, True, True, False, *_numeric(names, [best.values for best in found])])


class Rows(list[dict[str, Any]]):
    """Rows with the same columns, of which a notebook shows the first and the last."""

    def _repr_html_(self) -> str:
        names = list(self[0]) if self else []
        ends = list(self) if len(self) <= 2 * _ENDS + 1 else [*self[:_ENDS], None, *self[-_ENDS:]]
        rows = [["…"] * len(names) if row is None else [_cell(row[name]) for name in names] for row in ends]
        told = f"{words.plural(len(self), 'row')}; pandas.DataFrame(…) takes them"
        return html.page(html.table(names, rows, _numeric(names, self)), html.line(html.faint(told)))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For IPython, which writes it into the notebook beside the table."""
        printer.text(f"<{words.plural(len(self), 'row')}; pandas.DataFrame(…) takes them>")


def _cell(value: Any) -> str:
    return "" if value is None else html.text(words.value(value))


def _numeric(names: Sequence[str], rows: Sequence[Any]) -> list[bool]:
    """Which columns hold nothing but numbers."""

    def number(value: Any) -> bool:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))

    return [all(number(row.get(name)) for row in rows) for name in names]
