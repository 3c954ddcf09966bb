"""Ctrl-C and SIGTERM before a search hears them itself, and after it has: an exit with 130, and no traceback.

Python's own answers are a traceback of whatever is being imported, and death by the signal. Light: it is the first
thing that is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from gpusched.errors import GpuschedError
from gpusched.printable import tell

INTERRUPTED = 130
_OURS = (signal.SIGINT, signal.SIGTERM)


#: Heard, and neither raised nor taken yet.
_kept: list[signal.Signals] = []


class Keeping:
    """Keeps an interrupt until somebody takes it, and raises it at its end otherwise; a second one is raised at once.

    In the middle of an import it may come out as another error, and anywhere it leaves things half made.
    """

    error: type[BaseException] = KeyboardInterrupt

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        self._before = _hear(self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        _kept.append(signal.Signals(number))
        if len(_kept) > 1:
            _kept.clear()
            raise self.error(INTERRUPTED)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kept() and kind is None:
            raise self.error(INTERRUPTED)


class Importing(Keeping):
    """While gpusched is imported, by its own command or by whoever uses it."""

    error = SystemExit

    def __enter__(self) -> None:
        if _is_command():  # Nothing has begun that would have to be ended.
            _hear(_exit(INTERRUPTED))
        else:
            super().__enter__()


def kept() -> list[signal.Signals]:
    """What has been heard; whoever asks has taken it."""
    found = list(_kept)
    _kept.clear()
    return found


def raise_interrupts() -> None:
    """From now on both raise KeyboardInterrupt, where this is the process of a command."""
    if _is_command():
        _hear(_interrupt)


def exit_with(code: int) -> None:
    """From now on nothing keeps a command's process from its exit."""
    if _is_command():
        _hear(_exit(code))


class Interruptible(Keeping):
    """Around search() in a caller's process: SIGTERM is an interrupt like Ctrl-C, from the first line on.

    What leaves a script uncaught is shown in one line, as the command line does; a caller may still catch it.
    """

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        ended: type[BaseException] | None = kind
        try:
            super().__exit__(kind, error, traceback)
        except KeyboardInterrupt:
            ended = KeyboardInterrupt
            raise
        finally:
            ours = ended is not None and issubclass(ended, (GpuschedError, KeyboardInterrupt))
            if ours and not hasattr(sys, "ps1") and sys.excepthook is sys.__excepthook__:
                sys.excepthook = _one_line


def _one_line(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):  # Its line has been said when it was heard.
        raise SystemExit(INTERRUPTED)
    if issubclass(kind, GpuschedError):
        tell(f"gpusched: {error}", sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def _is_command() -> bool:
    return os.path.basename("".join(sys.argv[:1])) == "gpusched" or "gpusched.cli" in sys.orig_argv[1:4]


def _hear(handler: Any) -> dict[signal.Signals, Any]:
    """Takes the place of Python's own handlers and of those here; returns what was there. Others' stay.

    Only a process's main thread hears signals.
    """
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return before
    for number in _OURS:
        was = signal.getsignal(number)
        if was in (signal.SIG_DFL, signal.default_int_handler) or getattr(was, "__module__", None) == __name__:
            before[number] = signal.signal(number, handler)
    return before


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _exit(code: int) -> Any:
    return lambda number, frame: os._exit(code)
