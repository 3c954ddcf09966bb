"""Signals as people mean them: Ctrl-C stops gently and then at once, a lost terminal detaches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from gpusched.core.events import StopAsked
from gpusched.runtime.scheduler import Scheduler
from gpusched.runtime.view import View


@contextlib.contextmanager
def heed_signals(scheduler: Scheduler, view: View) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM stop the search, the second one at once; SIGHUP lets go of the terminal.

    Only a process's main thread hears signals: elsewhere (a notebook's loop in a thread) this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    asked = 0

    def stop(name: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            view.message(f"{name}: running trials stop at the end of their epoch; once more ends them at once")
        scheduler.post(StopAsked(at=0, now=asked > 1))

    handled = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
    before = {number: signal.getsignal(number) for number in (*handled, signal.SIGHUP)}
    for number, name in handled.items():
        loop.add_signal_handler(number, stop, name)
    if before[signal.SIGHUP] is not signal.SIG_IGN:  # nohup has said already that it is not to matter
        loop.add_signal_handler(signal.SIGHUP, _detach, scheduler)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _detach(scheduler: Scheduler) -> None:
    """The terminal is gone: what is still printed goes where a search in the background prints."""
    log = os.open(scheduler.run.dir.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
