"""The table of trials, and its cursor: in the first row, or, once it has been moved, wherever its trial goes.

While a filter hides that trial the cursor is in the first row, and it returns when the trial does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.widgets import DataTable

from gpusched.ui.top.rows import Column, TrialRow

_STYLES = {"failed": "red", "stopped": "yellow", "running": "green", "eliminated": "bright_black"}


class TrialTable(DataTable[Text]):
    """Shows rows as they come; what has not changed is left alone."""

    # Of a row there is no begin or end to go to.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "First trial", show=False),
        Binding("end", "scroll_bottom", "Last trial", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="trials", cursor_type="row", zebra_stripes=True, fixed_columns=1)
        self.chosen: int | None = None  #: the trial under the cursor
        self._held: int | None = None  # the trial that somebody has chosen, shown now or not
        self._heads: list[tuple[Column, str]] = []
        self._shown: list[TrialRow] = []

    def show(self, columns: Sequence[Column], rows: Sequence[TrialRow], sorted_by: str, *, rising: bool) -> None:
        """These rows, in this order; the column that they are sorted by has an arrow."""
        heads = [(column, _head(column, sorted_by, rising)) for column in columns]
        ids = [row.trial for row in rows]
        before = [row.trial for row in self._shown]
        offset, seen = self.scroll_offset, self._cursor_is_seen()
        if heads != self._heads or set(before) - set(ids):
            self._fill(heads, rows)
        else:
            self._update(columns, rows)
            if ids[: len(before)] != before:
                places = {str(trial): place for place, trial in enumerate(ids)}
                self.sort("trial", key=lambda cell: places[cell.plain])
        self._heads, self._shown = heads, list(rows)
        if ids != before:
            self._place_cursor(ids, offset, seen)

    def _update(self, columns: Sequence[Column], rows: Sequence[TrialRow]) -> None:
        """Rows that are new come last; to fill the table anew takes a second of a thousand trials."""
        known = {row.trial: row for row in self._shown}
        for row in rows:
            old = known.get(row.trial)
            if old is None:
                self.add_row(*(_cell(row, column) for column in columns), key=str(row.trial))
            elif old != row:
                for column in columns:
                    if old.cell(column) != row.cell(column):
                        self.update_cell(str(row.trial), column.key, _cell(row, column), update_width=True)

    def _fill(self, heads: Sequence[tuple[Column, str]], rows: Sequence[TrialRow]) -> None:
        self.clear(columns=heads != self._heads)
        if heads != self._heads:
            for column, title in heads:
                self.add_column(Text(title, justify="right" if column.right else "left"), key=column.key)
        for row in rows:
            self.add_row(*(_cell(row, column) for column, _ in heads), key=str(row.trial))

    def _place_cursor(self, ids: list[int], offset: Offset, seen: bool) -> None:
        """In the first row, or on the trial that was chosen; what was in sight stays there."""
        if self._held is None or self._held not in ids:
            self.chosen = ids[0] if ids else None
            self.move_cursor(row=0, scroll=False)
            self.scroll_to(x=offset.x, y=0, animate=False)
            return
        seen, self.chosen = seen or self.chosen != self._held, self._held
        self.move_cursor(row=ids.index(self.chosen), scroll=False)
        self.scroll_to(x=offset.x, y=offset.y, animate=False)
        if seen:
            self.call_after_refresh(self._scroll_cursor_into_view)

    def _cursor_is_seen(self) -> bool:
        top, height = self.scroll_offset.y, max(1, self.size.height - self.header_height)
        return top <= self.cursor_row < top + height

    def hold(self, trial: int | None = None) -> None:
        """This trial, or else the one under the cursor, is as good as chosen: the cursor goes with it."""
        trial = self.chosen if trial is None else trial
        if trial is not None:
            self._held = trial

    @property
    def holds(self) -> bool:
        """Whether somebody has chosen a trial."""
        return self._held is not None

    def release(self) -> None:
        """Back to the first row, whatever trial comes to stand there."""
        self._held = None
        self._place_cursor([row.trial for row in self._shown], self.scroll_offset, False)

    def chosen_now(self, event: DataTable.RowHighlighted) -> int | None:
        """The trial that somebody has moved the cursor to; None where the cursor only went with its trial."""
        # Filling the table anew highlights rows in passing: what counts is where the cursor is by now.
        if event.row_key.value is None or not self.is_valid_coordinate(self.cursor_coordinate):
            return None
        if self.coordinate_to_cell_key(self.cursor_coordinate).row_key != event.row_key:
            return None
        trial = int(event.row_key.value)
        if trial == self.chosen:
            return None
        self.chosen = self._held = trial
        return trial


def _head(column: Column, sorted_by: str, rising: bool) -> str:
    return f"{column.title} {'▲' if rising else '▼'}" if column.key == sorted_by else column.title


def _cell(row: TrialRow, column: Column) -> Text:
    style = _STYLES.get(row.state, "") if column.key == "state" else ""
    return Text(row.cell(column), style=style, justify="right" if column.right else "left", no_wrap=True)
