"""`gpusched top`: devices, trials, a trial's curve, log and values, and keys that act on the search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Group, RenderableType
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key, Resize
from textual.widgets import DataTable, Footer, Input, Static

from gpusched.core.policy import Phase
from gpusched.core.trial import TrialState
from gpusched.errors import GpuschedError
from gpusched.storage.lock import holder
from gpusched.ui import words
from gpusched.ui.draw import Load, best, progress, slots
from gpusched.ui.facts import Facts, Observer
from gpusched.ui.order import order
from gpusched.ui.status import state
from gpusched.ui.top import acting
from gpusched.ui.top.about import About
from gpusched.ui.top.filtering import filtered
from gpusched.ui.top.rows import ORDERS, Column, columns, ordered, rising, trial_rows
from gpusched.ui.top.screens import Ask, Help
from gpusched.ui.top.table import TrialTable
from gpusched.ui.trials.ranking import rule, sorted_trials
from gpusched.ui.watch.meter import Meter

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

LOOK_SECONDS = 0.5
#: Every so many looks times and loads are shown anew, though nothing has happened.
_CLOCK_LOOKS = 4
#: Terminals with fewer lines show no devices, or nothing of the chosen trial either.
LOW, FLAT = 20, 14


class Top(App[None]):
    """Works on a running search it did not start, and read-only on one that has ended."""

    TITLE = "gpusched top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { overflow: hidden; }
    #head { height: auto; max-height: 5; padding: 0 1; }
    #slots { height: auto; padding: 0 1; margin-top: 1; }
    #shown { height: 1; padding: 0 1; color: $text-warning; }
    #filter { height: 1; padding: 0 1; border: none; display: none; }
    .typing #filter { display: block; }
    .typing #shown { display: none; }
    #trials { height: 1fr; min-height: 4; scrollbar-size-horizontal: 0; }
    #about { height: 40%; min-height: 8; }
    .low #slots, .flat #about { display: none; }
    RichLog, #curve { height: 1fr; padding: 0 1; }
    #values { height: auto; padding: 0 1; }
    TabPane { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("question_mark", "help", "Help"),
        ("q", "quit", "Quit"),
        ("slash", "filter", "Filter"),
        ("s", "sort", "Sort"),
        ("x", "stop_trial", "Stop trial"),
        ("r", "retry", "Retry"),
        ("p", "pause", "Pause/resume"),
        Binding("S", "turn", "Reverse", show=False),
        Binding("less_than_sign", "next_column(-1)", "Sort by the column before", show=False),
        Binding("greater_than_sign", "next_column(1)", "Sort by the next column", show=False),
        Binding("plus", "cap(1)", "Cap +", show=False),
        Binding("minus", "cap(-1)", "Cap −", show=False),
        Binding("c", "tab('curve-tab')", "Curve", show=False),
        Binding("l", "tab('log-tab')", "Log", show=False),
        Binding("v", "tab('values-tab')", "Values", show=False),
        Binding("escape", "show_all", "All trials", show=False),
    ]

    def __init__(self, run: Run, *, look_seconds: float = LOOK_SECONDS) -> None:
        super().__init__()
        self.watched = run  # not `run`: that is the method of App that starts it
        self.look_seconds = look_seconds
        self.sorted_by = "trial"
        self.turned = False
        self.filter = ""
        self._observer = Observer(run)
        self._meter = Meter()
        self._load: dict[int, Load] = {}
        self._looks = 0
        self._shown: tuple[object, ...] = ()  #: what decides the picture, as it was when last drawn
        self._facts: Facts | None = None
        self._pid: int | None = None  #: of the scheduler
        self._columns: list[Column] = []
        self._idle: tuple[bool, set[str]] | None = None  #: no scheduler; orders whose keys can do nothing now
        self._head = Static(id="head", markup=False)
        self._slots = Static(id="slots", markup=False)
        self._typed = Input(id="filter", placeholder="failed   12   adam   lr<0.01   (Enter keeps it, Esc shows all)")
        self._how_many = Static(id="shown", markup=False)
        self._table = TrialTable()
        self._about = About(run, self._observer.curves)

    @property
    def selected(self) -> int | None:
        """The trial under the cursor."""
        return self._table.chosen

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._slots
        yield self._typed
        yield self._how_many
        yield self._table
        yield self._about
        yield Footer()

    async def on_mount(self) -> None:
        self._table.focus()
        await self.look()
        self.set_interval(self.look_seconds, self.look)

    def on_unmount(self) -> None:
        self._meter.close()

    def on_resize(self, event: Resize) -> None:
        page = self.screen_stack[0]  # a question may stand above it
        page.set_class(event.size.height < LOW, "low")
        page.set_class(event.size.height < FLAT, "flat")
        self.call_after_refresh(self.look)

    # ------------------------------------------------------------------ looking

    async def look(self) -> None:
        """Takes in what has happened, and shows it."""
        if not self._head.is_attached:
            return  # closing
        self.watched.update()
        self._pid = pid = holder(self.watched.dir.lock)
        self._looks += 1
        picture: tuple[object, ...] = (len(self.watched.events), pid, self.size, self._about.size, self.selected)
        picture += (self.sorted_by, self.turned, self.filter)
        picture += tuple(self._observer.curves.stamp(trial.id) for trial in self.watched.search.running)
        # A picture that is drawn anew costs a hundred times what it costs to see that nothing has changed.
        if picture == self._shown and (pid is None or self._looks % _CLOCK_LOOKS):
            if self.selected is not None:
                await self._about.show_log(self.selected)
            return
        self._shown = picture
        facts = self._facts = self._observer.look(alive=pid is not None)
        if self._looks % _CLOCK_LOOKS <= 1:
            self._load = self._meter.sample(facts.running)
        self._head.update(self._headline(facts))
        self._slots.update(self._devices(facts) if pid is not None else "")
        self._show_trials(facts)
        self._dim_keys()
        if self.selected is not None:
            await self._about.show(self.watched.search.trials[self.selected], facts.objective)

    def _headline(self, facts: Facts) -> RenderableType:
        width = self.size.width - 2
        known = self._pid is not None and facts.seconds_left is not None
        left = f", about {words.duration(facts.seconds_left)} left" if known else ""
        head = Text.assemble((words.clean(facts.name), "bold"), "  ", state(facts, self.watched, self._pid))
        lines = [progress(facts, width), best(facts, width)]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        if self._pid is None and (instead := acting.instead(facts, self.watched.dir.path)):
            lines.append(Text(instead, style="yellow"))
        return Group(head.append(f"  {words.duration(facts.seconds)}{left}"), *lines)

    def _devices(self, facts: Facts) -> RenderableType:
        """The slots: on low terminals the first few, those at work before those that are idle."""
        room = max(2, self.size.height // 4 - 3)
        rows = [*facts.running, *(row for row in facts.rows if row.trial is None)]
        table = slots(facts, rows[:room], self._load, self.size.width - 2)
        if len(rows) <= room:
            return table
        return Group(table, Text(f"and {words.plural(len(rows) - room, 'more slot')}", style="bright_black"))

    def _show_trials(self, facts: Facts) -> None:
        running = {row.trial: row for row in facts.running if row.trial is not None}
        self._columns = columns(self.watched.search, facts.objective)
        ranked = sorted_trials(self.watched.search, self._observer.curves.of)
        rows = trial_rows(self.watched.search, ranked, running, facts.now)
        shown = filtered(ordered(rows, self.sorted_by, reverse=self.turned), self._columns, self.filter)
        way = rising(self.sorted_by, facts.direction, reverse=self.turned)
        self._table.show(self._columns, shown, self.sorted_by, rising=way)
        told = (
            f"{self.filter}: {len(shown)} of {words.plural(len(rows), 'trial')}; Esc shows all" if self.filter else ""
        )
        self._how_many.update(words.clean(told))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if self._table.chosen_now(event) is not None:
            self.call_later(self.look)

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        column = str(event.column_key.value)
        self._sort(column, turned=not self.turned if column == self.sorted_by else False)

    # ------------------------------------------------------------------ choosing what is shown

    def _sort(self, column: str, *, turned: bool = False) -> None:
        self.sorted_by, self.turned = column, turned
        self._table.release()
        self.call_later(self.look)

    def action_sort(self) -> None:
        now = ORDERS.index(self.sorted_by) if self.sorted_by in ORDERS else -1
        self._sort(ORDERS[(now + 1) % len(ORDERS)])

    def action_turn(self) -> None:
        self._sort(self.sorted_by, turned=not self.turned)

    def action_next_column(self, step: int) -> None:
        keys = [column.key for column in self._columns]
        now = keys.index(self.sorted_by) if self.sorted_by in keys else 0
        self._sort(keys[(now + step) % len(keys)])

    def action_filter(self) -> None:
        self.screen.add_class("typing")
        self._typed.focus()

    def action_show_all(self) -> None:
        if self.filter and not self._table.holds:
            self._table.hold()  # Who has looked for a trial does not want to lose it among the others.
        self._typed.value = self.filter = ""
        self._leave_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.filter = event.value
        self.call_later(self.look)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        word = event.value.strip()
        if word.isdecimal() and int(word) in self.watched.search.trials:
            self._table.hold(int(word))  # Who names a trial has chosen it.
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.screen.remove_class("typing")
        self._table.focus()
        self.call_later(self.look)

    def action_tab(self, tab: str) -> None:
        self._table.hold()  # Who reads on does not want another trial's.
        self._about.turn_to(tab)
        self.call_after_refresh(self._table.focus)

    def action_help(self) -> None:
        self.push_screen(Help(rule(self.watched.search.oracle)))

    # ------------------------------------------------------------------ acting

    def _refusal(self, action: str) -> str | None:
        alive = self._pid is not None
        return acting.refusal(self.watched.search, alive, action, self.selected) if action in acting.ORDERS else None

    def _dim_keys(self) -> None:
        """The footer is made anew, which one sees, only where a key has come to act or to act no more."""
        idle = self._pid is None, {action for action in acting.ORDERS if self._refusal(action) is not None}
        if idle != self._idle:
            self._idle = idle
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that can do nothing now are shown dimmed; of a search that is not running, none of them is shown."""
        if self._refusal(action) is None:
            return True
        return False if self._pid is None else None

    def on_key(self, event: Key) -> None:
        """They say why."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if (why := self._refusal(binding.action.partition("(")[0])) is not None:
                self.notify(why, severity="warning", markup=False)

    def action_stop_trial(self) -> None:
        trial = self.selected
        answers = {"y": "yes, it counts as failed", "k": "yes, at the end of its epoch, and keep its score"}

        def stop(answer: str | None) -> None:
            if answer in answers:
                self._order("stop_trials", trials=[trial], keep=answer == "k")

        self.push_screen(Ask(f"Stop trial {trial}?", answers), stop)

    def action_retry(self) -> None:
        trial = self.selected
        assert trial is not None
        running = self.watched.search.trials[trial].state is TrialState.RUNNING
        how = "yes, from its newest checkpoint" if running else "yes, as soon as a slot is free"

        def retry(answer: str | None) -> None:
            if answer == "y":
                self._order("retry", trials=[trial])

        self.push_screen(Ask(f"Train trial {trial} again?", {"y": how}), retry)

    def action_pause(self) -> None:
        self._order("resume" if self.watched.search.phase is Phase.PAUSED else "pause")

    def action_cap(self, step: int) -> None:
        self._order("set", per_gpu=max(1, acting.cap(self.watched.search) + step))

    @work(thread=True, group="orders")
    def _order(self, do: str, **details: Any) -> None:
        """Off the loop: a busy scheduler may take a moment to answer."""
        try:
            said, severity = order(self.watched.dir, do, **details), "information"
        except GpuschedError as error:
            said, severity = str(error), "warning"
        self.call_from_thread(self.notify, words.clean(said), severity=severity, markup=False)
