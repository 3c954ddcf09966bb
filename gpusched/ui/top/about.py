"""What there is to see of one trial: its curve against the best one's, its log, its values and why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import RichLog, Static, TabbedContent, TabPane, Tabs

from gpusched.core.trial import LOST, Standing, Trial, standing
from gpusched.ui import failures, words
from gpusched.ui.logs.tail import LogFile
from gpusched.ui.top.chart import Curve, chart
from gpusched.ui.trials.curves import Curves
from gpusched.ui.trials.ranking import best_of

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: Of the log, so many of the last lines are shown when a trial is selected.
LOG_LINES = 200


class About(Vertical):
    """One trial, in tabs."""

    def __init__(self, run: Run, curves: Curves) -> None:
        super().__init__(id="about")
        self._run, self._curves = run, curves
        self._tabs = TabbedContent()
        self._curve = Static(id="curve", markup=False)
        self._text = RichLog(id="log", markup=False, highlight=False, wrap=False, max_lines=5000)
        self._values = Static(id="values", markup=False)
        self._trial: int | None = None
        self._log: LogFile | None = None

    def compose(self) -> ComposeResult:
        with self._tabs:
            with TabPane("Curve (c)", id="curve-tab"):
                yield self._curve
            with TabPane("Log (l)", id="log-tab"):
                yield self._text
            with TabPane("Values (v)", id="values-tab"), VerticalScroll():
                yield self._values

    def on_mount(self) -> None:
        self.query_one(Tabs).can_focus = False  # Keys turn them: Tab goes to what is in them.

    def turn_to(self, tab: str) -> None:
        self._tabs.active = tab

    async def show(self, trial: Trial, objective: str) -> None:
        """The trial as it is now."""
        self._show_curve(trial, objective)
        self._show_values(trial)
        await self.show_log(trial.id)

    async def show_log(self, trial: int) -> None:
        """What the trial has printed since this was asked last; the log's end where it was another trial's."""
        widget = self._text
        if trial != self._trial:
            self._trial, self._log = trial, None
        if self._log is None:
            widget.clear()
            self._log = LogFile(self._run.dir.trial(trial).log, colors=True)
            await self._log.seek_to_last(LOG_LINES)
        log = self._log
        async for lines in log.news():
            if log is not self._log:  # another trial was selected meanwhile
                return
            for line in lines:
                widget.write(Text.from_ansi(line))

    def _show_values(self, trial: Trial) -> None:
        width = max((len(words.clean(name)) for name in trial.values), default=0)
        lines = [f"{words.clean(name):<{width}}  {words.value(value)}" for name, value in trial.values.items()]
        if trial.failure is not None:
            lines += ["", words.plain_lines(trial.failure.traceback or trial.failure.message)]
        self._values.update(Text("\n".join([self._state(trial), "", *lines])))

    def _state(self, trial: Trial) -> str:
        """With why it failed, and at which line of the user's."""
        told = standing(trial, self._run.search.oracle)
        state = f"trial {trial.id}, {told}"
        return f"{state}: {failures.reason(trial)}" if told in (Standing.FAILED, Standing.STOPPED) else state

    def _show_curve(self, trial: Trial, objective: str) -> None:
        curves = [Curve(f"trial {trial.id}", self._points(trial.id, objective), "cyan")]
        if trial.state in LOST and not curves[0].points:
            self._curve.update(Text(f"{self._state(trial)}\n\nv shows the whole error, l what the trial printed"))
            return
        leader = best_of(self._run.search, self._curves.of)
        if leader is not None and leader.trial != trial.id:
            curves.append(Curve(f"best, trial {leader.trial}", self._points(leader.trial, objective), "green"))
        size = self._curve.size
        self._curve.update(Group(*chart(curves, size.width - 2, size.height)))

    def _points(self, trial: int, objective: str) -> list[tuple[float, float | None]]:
        return [(line["epoch"], line.get(objective)) for line in self._curves.of(trial)]
