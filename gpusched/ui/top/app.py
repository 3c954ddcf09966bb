"""`gpusched top`: devices, trials, a trial's curve, log and values, and keys that act on the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Group
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, RichLog, Static, TabbedContent, TabPane

from gpusched.core.policy import Phase
from gpusched.core.trial import TrialState, standing
from gpusched.errors import GpuschedError
from gpusched.storage.lock import holder
from gpusched.ui import words
from gpusched.ui.draw import Load, best, progress, slots
from gpusched.ui.facts import Facts, Observer, best_of
from gpusched.ui.logs.tail import LogFile
from gpusched.ui.order import order
from gpusched.ui.status import state
from gpusched.ui.top.chart import Curve, chart
from gpusched.ui.top.rows import ORDERS, TrialRow, trial_rows
from gpusched.ui.top.screens import Ask
from gpusched.ui.watch.meter import Meter

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

LOOK_SECONDS = 0.5
#: Every so many looks times and loads are shown anew, though nothing has happened.
_CLOCK_LOOKS = 4
#: Of a log, so many of the last lines are shown when a trial is selected.
LOG_LINES = 200
_COLUMNS = ("trial", "state", "epochs", "score", "time", "values")


class Top(App[None]):
    """Works on a running search it did not start, and read-only on one that has ended."""

    TITLE = "gpusched top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: auto; padding: 0 1; }
    #slots { height: auto; max-height: 30%; padding: 0 1; margin-top: 1; }
    #trials { height: 1fr; min-height: 5; margin-top: 1; }
    #about { height: 45%; min-height: 8; }
    RichLog, #curve, #values { height: 1fr; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("s", "sort", "Sort"),
        ("S", "turn", "Reverse"),
        ("x", "stop_trial", "Stop trial"),
        ("r", "retry", "Retry"),
        ("p", "pause", "Pause/resume"),
        ("plus", "cap(1)", "Cap +"),
        ("minus", "cap(-1)", "Cap −"),
        ("c", "tab('curve-tab')", "Curve"),
        ("l", "tab('log-tab')", "Log"),
        ("v", "tab('values-tab')", "Values"),
    ]

    def __init__(self, run: Run, *, look_seconds: float = LOOK_SECONDS) -> None:
        super().__init__()
        self.watched = run  # not `run`: that is the method of App that starts it
        self.look_seconds = look_seconds
        self.sorted_by = "trial"
        self.turned = False
        self.selected: int | None = None
        self._observer = Observer(run)
        self._meter = Meter()
        self._load: dict[int, Load] = {}
        self._looks = 0
        self._shown: tuple[object, ...] = ()  #: what decides the picture, as it was when last drawn
        self._rows: list[TrialRow] = []
        self._facts: Facts | None = None
        self._head = Static(id="head", markup=False)
        self._slots = Static(id="slots", markup=False)
        self._table: DataTable[Text] = DataTable(id="trials", cursor_type="row", zebra_stripes=True)
        self._tabs = TabbedContent(id="about")
        self._curve = Static(id="curve", markup=False)
        self._text = RichLog(id="log", markup=False, highlight=False, wrap=False, max_lines=5000)
        self._values = Static(id="values", markup=False)
        self._trial_log: LogFile | None = None

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._slots
        yield self._table
        with self._tabs:
            with TabPane("Curve", id="curve-tab"):
                yield self._curve
            with TabPane("Log", id="log-tab"):
                yield self._text
            with TabPane("Values", id="values-tab"):
                yield self._values
        yield Footer()

    async def on_mount(self) -> None:
        table = self._table
        for column in _COLUMNS:
            table.add_column(column, key=column)
        table.focus()
        await self.look()
        self.set_interval(self.look_seconds, self.look)

    def on_unmount(self) -> None:
        self._meter.close()

    # ------------------------------------------------------------------ looking

    async def look(self) -> None:
        """Takes in what has happened, and shows it."""
        if not self._head.is_attached:
            return  # closing
        self.watched.update()
        pid = holder(self.watched.dir.lock)
        self._looks += 1
        picture: tuple[object, ...] = (
            len(self.watched.events),
            pid,
            self.size,
            self.sorted_by,
            self.turned,
            self.selected,
        )
        picture += tuple(self._observer.curves.stamp(trial.id) for trial in self.watched.search.running)
        # A picture that is drawn anew costs a hundred times what it costs to see that nothing has changed.
        if picture == self._shown and (pid is None or self._looks % _CLOCK_LOOKS):
            if self.selected is not None:
                await self._show_log(self.selected)
            return
        self._shown = picture
        facts = self._observer.look(alive=pid is not None)
        if self._looks % _CLOCK_LOOKS <= 1:
            self._load = self._meter.sample(facts.running)
        width = self.size.width
        head = Text.assemble((words.clean(facts.name), "bold"), "  ", state(facts, self.watched, pid))
        left = f", about {words.duration(facts.seconds_left)} left" if facts.seconds_left is not None else ""
        head.append(f"  {words.duration(facts.seconds)}{left}")
        head.append(f"  sorted by {self.sorted_by}{' reversed' if self.turned else ''}", "bright_black")
        self._head.update(Group(head, progress(facts, width), best(facts, width)))
        self._slots.update(slots(facts, facts.rows, self._load, width) if pid is not None else "")
        self._facts = facts
        self._show_trials()
        await self._show_selected(facts)

    def _show_trials(self) -> None:
        running = {row.trial: row for row in self._facts.running if row.trial is not None} if self._facts else {}
        rows = trial_rows(self.watched.search, running, self.sorted_by, reverse=self.turned)
        table = self._table
        if [row.trial for row in rows] != [row.trial for row in self._rows]:
            scroll = table.scroll_offset
            table.clear()
            for row in rows:
                table.add_row(*map(Text, row.cells()), key=str(row.trial))
            ids = [row.trial for row in rows]
            if self.selected in ids:
                table.move_cursor(row=ids.index(self.selected), scroll=False)
                table.scroll_to(y=scroll.y, animate=False)
        else:
            for n, (old, new) in enumerate(zip(self._rows, rows, strict=True)):
                for column, (was, cell) in enumerate(zip(old.cells(), new.cells(), strict=True)):
                    if was != cell:
                        table.update_cell_at(Coordinate(n, column), Text(cell))
        self._rows = rows
        if self.selected is None and rows:
            self._select(rows[0].trial)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        table = event.data_table
        # Filling the table anew highlights rows in passing: what counts is where the cursor is by now.
        if event.row_key.value is None or not table.is_valid_coordinate(table.cursor_coordinate):
            return
        if table.coordinate_to_cell_key(table.cursor_coordinate).row_key == event.row_key:
            self._select(int(event.row_key.value))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        column = event.column_key.value
        if column in ORDERS:
            self.turned = not self.turned if column == self.sorted_by else False
            self.sorted_by = column
            self._show_trials()

    def _select(self, trial: int) -> None:
        if trial == self.selected:
            return
        self.selected = trial
        self._trial_log = None
        self.call_later(self.look)

    async def _show_selected(self, facts: Facts) -> None:
        trial = self.watched.search.trials.get(self.selected) if self.selected is not None else None
        if trial is None:
            return
        self._show_curve(trial.id, facts.objective)
        name_width = max((len(words.clean(name)) for name in trial.values), default=0)
        lines = [f"{words.clean(name):<{name_width}}  {words.value(value)}" for name, value in trial.values.items()]
        if trial.failure is not None:
            lines += ["", words.plain_lines(trial.failure.traceback or trial.failure.message)]
        state = standing(trial, self.watched.search.oracle)
        self._values.update(Text("\n".join([f"trial {trial.id}, {state}", "", *lines])))
        await self._show_log(trial.id)

    def _show_curve(self, trial: int, objective: str) -> None:
        curves = [Curve(f"trial {trial}", self._points(trial, objective), "cyan")]
        leader = best_of(self.watched.search.oracle)
        if leader is not None and leader.trial != trial:
            curves.append(Curve(f"best, trial {leader.trial}", self._points(leader.trial, objective), "green"))
        widget = self._curve
        size = widget.size
        widget.update(Group(*chart(curves, size.width - 2, size.height)))

    def _points(self, trial: int, objective: str) -> list[tuple[float, float | None]]:
        return [(line["epoch"], line.get(objective)) for line in self._observer.curves.of(trial)]

    async def _show_log(self, trial: int) -> None:
        widget = self._text
        if self._trial_log is None:
            widget.clear()
            self._trial_log = LogFile(self.watched.dir.trial(trial).log, colors=True)
            await self._trial_log.seek_to_last(LOG_LINES)
        log = self._trial_log
        async for lines in log.news():
            if log is not self._trial_log:  # another trial was selected meanwhile
                return
            for line in lines:
                widget.write(Text.from_ansi(line))

    # ------------------------------------------------------------------ acting

    def action_tab(self, tab: str) -> None:
        self._tabs.active = tab
        self.call_after_refresh(self._table.focus)

    def action_sort(self) -> None:
        self.sorted_by = ORDERS[(ORDERS.index(self.sorted_by) + 1) % len(ORDERS)]
        self.turned = False
        self.call_later(self.look)

    def action_turn(self) -> None:
        self.turned = not self.turned
        self.call_later(self.look)

    def action_stop_trial(self) -> None:
        trial = self.selected
        if trial is not None:
            self._ask(
                f"Stop trial {trial}? It counts as failed and is not promoted.",
                lambda: self._order("stop_trials", trials=[trial]),
            )

    def action_retry(self) -> None:
        trial = self.selected
        if trial is not None:
            running = self.watched.search.trials[trial].state is TrialState.RUNNING
            how = "It begins again from its newest checkpoint." if running else "The next new trial gets its values."
            self._ask(f"Try trial {trial} again? {how}", lambda: self._order("retry", trials=[trial]))

    def action_pause(self) -> None:
        self._order("resume" if self.watched.search.phase is Phase.PAUSED else "pause")

    def action_cap(self, step: int) -> None:
        loads: dict[str, int] = {}
        for slot in self.watched.search.slots.slots.values():
            for device in slot.devices:
                loads[device] = loads.get(device, 0) + 1
        if not loads or "cpu" in loads:
            self.notify("the cap counts trials on a GPU, and this search runs on CPU slots", severity="warning")
            return
        self._order("set", per_gpu=max(1, max(loads.values()) + step))

    def _ask(self, question: str, act: Callable[[], object]) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                act()

        self.push_screen(Ask(question), answered)

    @work(thread=True, group="orders")
    def _order(self, do: str, **details: Any) -> None:
        """Off the loop: a busy scheduler may take a moment to answer."""
        try:
            said, severity = order(self.watched.dir, do, **details), "information"
        except GpuschedError as error:
            said, severity = str(error), "warning"
        self.call_from_thread(self.notify, words.clean(said), severity=severity, markup=False)
