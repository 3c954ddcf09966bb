"""A running search on a terminal: a block of lines that is redrawn, and notices that stay above it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.text import Text

from gpusched.core.commands import AnyCommand
from gpusched.core.events import (
    AnyEvent,
    JobEnded,
    JobStarted,
    SessionClosed,
    StopAsked,
)
from gpusched.core.outcome import End
from gpusched.core.search import Search
from gpusched.storage.rundir import RunDir
from gpusched.ui import words
from gpusched.ui.draw import Load, panel
from gpusched.ui.facts import Facts, Observer
from gpusched.ui.watch.meter import Meter
from gpusched.ui.watch.plain import Onlooker, Teller
from gpusched.ui.watch.terminal import Output, Painter

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: Four times a second looks alive; less often than that, metering: the driver is not free.
DRAW_SECONDS = 0.25
METER_SECONDS = 2.0


class Screen:
    """Draws one run again and again; the same for the process that works on it and for those that only look."""

    def __init__(self, output: Output, run: Run, hint: str = "", painter: Painter | None = None) -> None:
        self.painter = painter or Painter(output)
        self._output = output
        self._observer = Observer(run)
        self._hint = hint
        self._meter = Meter()
        self._metered_at = 0.0
        self._load: dict[int, Load] = {}

    def draw(self, *, alive: bool = True) -> Facts:
        facts = self._observer.look(alive=alive)
        now = time.monotonic()
        if now - self._metered_at >= METER_SECONDS:
            self._load, self._metered_at = self._meter.sample(facts.running), now
        width, height = self._output.size
        self.painter.draw(panel(facts, self._load, width, height, self._hint))
        return facts

    def close(self) -> None:
        self.painter.clear()
        self._meter.close()


class LiveView:
    """A View for a terminal."""

    def __init__(self, output: Output, teller: Teller | None = None) -> None:
        self._output = output
        self._painter = Painter(output)
        self._teller = teller or Teller()

    def message(self, text: str) -> None:
        self._painter.above(words.clean(text))

    def started(self, run: RunDir) -> None:
        self._above(self._teller.started(run))

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        whole = self._teller.whole
        lines = self._teller.lines(event, commands if whole else [], search)
        if whole or worth_keeping(event):
            lost = isinstance(event, JobEnded) and event.end not in (End.COMPLETED, End.INTERRUPTED)
            self._above(lines, style="yellow" if lost else "")
        if isinstance(event, SessionClosed):
            self._painter.clear()
            for line in self._teller.last(event, search):
                self._output.line(line)

    async def show(self, run: Run) -> None:
        screen = Screen(
            self._output, run, hint="Ctrl-C stops the search; it can be continued later", painter=self._painter
        )
        try:
            while not self._output.lost:
                self._above(self._teller.news())
                screen.draw()
                await asyncio.sleep(DRAW_SECONDS)
        finally:
            screen.close()
        await asyncio.Event().wait()

    def _above(self, lines: list[str], style: str = "") -> None:
        if lines:
            self._painter.above(Text("\n".join(map(words.clean, lines)), style=style))


def worth_keeping(event: AnyEvent) -> bool:
    """Whether an event stays on the screen: what went well is in the block already."""
    if isinstance(event, JobEnded):
        return event.end not in (End.COMPLETED, End.INTERRUPTED) or bool(event.warnings)
    # Ctrl-C is answered at once, by the process it was pressed in.
    return not (isinstance(event, JobStarted) or (isinstance(event, StopAsked) and event.reason == "interrupted"))


def follow(
    run: Run, output: Output, *, alive: Callable[[], bool], sleep: Callable[[float], None], hint: str
) -> int | None:
    """Shows a run that another process works on, until that ends. Returns its exit code; None: it ended without one."""
    painter = Painter(output)
    screen = Screen(output, run, hint=hint, painter=painter)
    teller = Onlooker(run)
    closed: SessionClosed | None = None
    try:
        while not output.lost:
            going = alive()
            for event in run.update():
                for line in teller.lines(event, [], run.search):
                    if worth_keeping(event):
                        painter.above(line)
                closed = event if isinstance(event, SessionClosed) else None
            if closed is not None or not going:
                break
            screen.draw()
            sleep(DRAW_SECONDS)
    finally:
        screen.close()
    if closed is not None:
        for line in teller.last(closed, run.search):
            output.line(line)
    return closed.code if closed else None
