"""Signals as people mean them: Ctrl-C stops gently and then at once, a lost terminal detaches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from gpusched.storage.files import open_own

#: Of the signals that stop a search.
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextlib.contextmanager
def heed_signals(heard: Callable[[str], None], detach: Callable[[], None]) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM call heard(name), in their handler, and SIGHUP calls detach().

    In their handler, since the loop may be stuck in a hook of the user's.
    Only a process's main thread hears signals: elsewhere (a loop of our own beside a notebook's) this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (*NAMES, signal.SIGHUP)}
    for number in NAMES:
        loop.add_signal_handler(number, _wake)
        signal.signal(number, lambda number, _: heard(NAMES[signal.Signals(number)]))
    if before[signal.SIGHUP] is not signal.SIG_IGN:  # nohup has said already that it is not to matter
        loop.add_signal_handler(signal.SIGHUP, detach)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _wake() -> None:
    """The loop has something to do."""


def redirect(log: Path | None) -> None:
    """What this process still prints goes to the log, or nowhere where there is none."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        into = os.dup(null) if log is None else open_own(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError:
        into = os.dup(null)
    os.dup2(null, 0)
    os.dup2(into, 1)
    os.dup2(into, 2)
    os.close(null)
    os.close(into)
