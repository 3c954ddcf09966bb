"""Asks the user's own oracle what the search wants to know, in a thread of its own, one thing after the other.

The search goes on meanwhile: an answer is an event like any other. The oracle is in this process where the caller made
it, and in one of its own where the search was begun from the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from gpusched.core.commands import Consult, Report
from gpusched.core.events import Advised, AnyEvent, Heard, OracleFailed
from gpusched.errors import GpuschedError

#: What an oracle is given to come back from the call that it is in when the session ends.
_GRACE_SECONDS = 5.0


class Guide(Protocol):
    """The user's own oracle. Each method may take its time; all are called in one thread."""

    def begin(self) -> None:
        """Reminds it of what it has decided in earlier sessions."""

    def advise(self, consult: Consult) -> Advised | None:
        """Values for a trial; None where `end` was called while it waited."""

    def hear(self, report: Report) -> Heard:
        """Tells it a trial's end."""

    def end(self) -> None:
        """No answer is wanted any more. Called in another thread."""


class Guiding:
    """One session's conversation with a guide."""

    def __init__(self, guide: Guide, post: Callable[[AnyEvent], None]) -> None:
        self._guide, self._post = guide, post
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[Consult | Report | None] = queue.SimpleQueue()
        self.error: BaseException | None = None  #: what the oracle raised
        # Not to be waited for at the interpreter's end: whatever it is in is the user's code.
        self._thread = threading.Thread(target=self._work, name="gpusched oracle", daemon=True)
        self._thread.start()

    def ask(self, command: Consult | Report) -> None:
        """The answer will be posted."""
        self._asked.put(command)

    async def close(self) -> None:
        """Waits for the answer that the oracle is about, so long as that takes no time to speak of."""
        self._guide.end()
        self._asked.put(None)
        await asyncio.to_thread(self._thread.join, _GRACE_SECONDS)

    def _work(self) -> None:
        try:
            self._guide.begin()
            while (command := self._asked.get()) is not None:
                told = self._guide.advise(command) if isinstance(command, Consult) else self._guide.hear(command)
                if told is None:
                    return
                self._say(told)
        except BaseException as error:
            self.error = error
            said = " ".join(str(error).split())
            if not isinstance(error, GpuschedError):
                said = f"the oracle: {type(error).__name__}: {said}"
            self._say(OracleFailed(at=0, message=said))

    def _say(self, event: AnyEvent) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            self._loop.call_soon_threadsafe(self._post, event)
