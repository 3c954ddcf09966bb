"""A search in the output of a notebook's cell: one panel that is drawn again in its place.

IPython's display messages do it: no widgets, which not every notebook has, and what is saved with the notebook is the
panel's last state, the best trials.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
import uuid
from collections import deque
from typing import TYPE_CHECKING, Protocol

from gpusched.core.commands import AnyCommand, Finish, Launch
from gpusched.core.events import AnyEvent, JobEnded, SessionClosed, SessionOpened
from gpusched.core.search import Search
from gpusched.printable import clean, tell
from gpusched.storage.files import near
from gpusched.storage.rundir import RunDir
from gpusched.system.notebook import shell
from gpusched.ui.facts import Observer
from gpusched.ui.notebook import html
from gpusched.ui.notebook.panel import panel, plain
from gpusched.ui.notebook.results import best_trials
from gpusched.ui.trials.curves import Curves
from gpusched.ui.trials.ranking import sorted_trials
from gpusched.ui.watch.live import worth_keeping
from gpusched.ui.watch.plain import Teller
from gpusched.ui.watch.tuner import Logs

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

log = logging.getLogger(__name__)

#: Each drawing is a message to every browser that has the notebook open.
DRAW_SECONDS = 1.0
#: So many of the newest notices, and lines of trials, are shown, and so many of the best trials at the end.
NOTICES, LOG_LINES, BEST = 8, 10, 10
_HINT = "Interrupting the kernel stops the search at the end of the running epochs; the same cell continues it."


class Display(Protocol):
    """Puts a bundle of MIME types into the cell's output; `update`: in the place of the one before."""

    def __call__(self, bundle: dict[str, str], *, update: bool) -> None: ...


def ipython() -> Display:
    """The output of the cell that is running now."""
    name = uuid.uuid4().hex

    def show(bundle: dict[str, str], *, update: bool) -> None:
        # As IPython's display(display_id=...) and update_display() do.
        shell().display_pub.publish(data=bundle, metadata={}, transient={"display_id": name}, update=update)

    return show


class CellTeller(Teller):
    """Names what one does in a notebook."""

    def started(self, run: RunDir) -> list[str]:
        self.look_at(run)
        here = near(run.path)
        return [f"results in {here}; `!gpusched logs {shlex.quote(here)}` shows what the trials print"]

    def ending(self, code: int) -> list[str]:
        if code == 130:
            return ["run the cell again to continue"]
        return ["tuner.results() has every epoch, `!gpusched report` makes a page of it all"] if code == 0 else []


class NotebookView:
    """A View of one panel.

    With `logs` the panel has the newest lines that trials print; with `printing` all of them are printed below it.
    """

    def __init__(self, display: Display, *, logs: bool = False, printing: bool = False) -> None:
        self._display = display
        self._teller = CellTeller()
        self._logs = Logs() if logs or printing else None
        self._printing = printing
        self._printed: deque[str] = deque(maxlen=LOG_LINES)
        self._first: list[str] = []  #: where the results are, and what the search is about to do
        self._notices: deque[str] = deque(maxlen=NOTICES)
        self._shown: str | None = None
        self._observer: Observer | None = None
        self._curves: Curves | None = None
        self._over = False

    def message(self, text: str) -> None:
        if self._over:
            tell(text, sys.stdout)
        self._notices.append(text)
        self._draw()

    def started(self, run: RunDir) -> None:
        if self._logs is not None:
            self._logs.run = run
        self._curves = Curves(run)
        self._first.extend(self._teller.started(run))
        self._draw()

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        if self._logs is not None:
            self._take_lines(self._logs.end(event.trial) if isinstance(event, JobEnded) else [])
            for command in commands:
                if isinstance(command, Launch):
                    self._logs.begin(command)
        if isinstance(event, SessionClosed):
            self._over = True
            self._end(event, search)
        elif isinstance(event, SessionOpened):
            self._first.extend(self._teller.lines(event, [], search))
            if any(isinstance(each, Finish) and each.code == 0 for each in commands):
                self._first.append("nothing is left to train: a larger budget continues it, overwrite=True starts anew")
        elif worth_keeping(event):
            self._notices.extend(self._teller.lines(event, [], search))

    async def show(self, run: Run) -> None:
        self._observer = Observer(run)
        while True:
            self._take_lines(self._logs.news() if self._logs is not None else [])
            self._draw()
            await asyncio.sleep(DRAW_SECONDS)

    def _take_lines(self, lines: list[str]) -> None:
        if not self._printing:
            self._printed.extend(lines)
        elif lines:
            tell("\n".join(lines), sys.stdout)

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> None:
        if self._over:
            return
        notices = [*self._first, *self._notices]
        if self._observer is None:
            self._put(html.page(*(html.line(html.faint(each)) for each in notices)), "\n".join(notices))
            return
        facts = self._observer.look()
        self._put(panel(facts, notices, list(self._printed), _HINT), plain(facts))

    def _end(self, event: SessionClosed, search: Search) -> None:
        """The last state, which is saved with the notebook."""
        told = self._teller.summary(search)
        ranked = sorted_trials(search, self._curves.of if self._curves is not None else lambda _: [])
        best = best_trials(ranked[:BEST], search.oracle.objectives[0].name)
        _, *more = self._teller.last(event, search)
        head = html.line(html.bold(f"search ended: {event.reason}"), html.text(told))
        rest = [html.line(html.faint(each)) for each in (*self._first, *self._notices, *more)]
        logs = html.block(self._printed) if self._printed else ""
        self._put(html.page(head, best, *rest, logs), told)

    def _put(self, page: str, text: str) -> None:
        if page == self._shown:
            return
        try:
            self._display({"text/html": page, "text/plain": clean(text)}, update=self._shown is not None)
        except Exception:  # That nobody can see it is not the search's concern.
            log.exception("the notebook shows nothing any more; the search goes on")
            self._over = True
        self._shown = page
