"""A view among views that remembers how the search ended, and tells the targets that were asked for."""

from __future__ import annotations

from gpusched.core.commands import AnyCommand
from gpusched.core.events import AnyEvent, SessionClosed
from gpusched.core.search import Search
from gpusched.runtime.reader import Run
from gpusched.runtime.view import CallsHooks, View
from gpusched.storage.rundir import RunDir
from gpusched.ui.notify.targets import News, NotSent, Target, public, target
from gpusched.ui.watch.plain import Teller


class Notifying:
    """`view`, and the news at the end."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._targets: dict[str, Target] = {}
        self._run: RunDir | None = None
        self._closed: SessionClosed | None = None
        self._teller = Teller()
        self._summary = ""

    # ------------------------------------------------------------------ what a view is told

    def notify(self, targets: list[str]) -> None:
        """Raises UsageError for one that cannot be used."""
        self._targets = {text: target(text) for text in targets}

    def hooks(self, names: list[str]) -> None:
        if isinstance(self._view, CallsHooks):
            self._view.hooks(names)

    def message(self, text: str) -> None:
        self._view.message(text)

    def started(self, run: RunDir) -> None:
        self._run = run
        self._teller.look_at(run)
        self._view.started(run)

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        if self._targets and isinstance(event, SessionClosed):
            self._closed, self._summary = event, self._teller.summary(search)
        self._view.event(event, commands, search)

    async def show(self, run: Run) -> None:
        await self._view.show(run)

    # ------------------------------------------------------------------ the end

    def ended(self, error: BaseException | None) -> None:
        """Sends the news; `error` is what ended the search, if one did. What cannot be sent is said, and no more."""
        news = self._news(error)
        for text, each in self._targets.items():
            try:
                each.send(news)
            except NotSent as why:
                self._view.message(f"notify {public(text)}: not sent, {why}")

    def _news(self, error: BaseException | None) -> News:
        name = self._run.name if self._run is not None else "gpusched"
        where = str(self._run.path) if self._run is not None else ""
        closed = self._closed
        if closed is not None:
            return News(title=f"{name}: {closed.reason}", text=self._summary, run=where, code=closed.code)
        interrupted = isinstance(error, KeyboardInterrupt)
        text = "interrupted" if interrupted else str(error or "") or type(error).__name__
        return News(title=f"{name}: the search ended by an error", text=text, run=where, code=130 if interrupted else 1)
