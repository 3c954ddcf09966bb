"""The copy of a script's process that is made right before a framework's runtime ends that it can be forked.

Its trials go on with the script from there, as the script's own process does, up to the search() that is meant. They
come to all that search() is given there, generators, datasets and strategies included, without importing anything.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from types import TracebackType
from typing import NoReturn

from gpusched.launcher import pins
from gpusched.launcher.children import leave
from gpusched.launcher.source import Ahead, GoOn
from gpusched.launcher.standby import answers, wakes
from gpusched.launcher.standby.copies import Copy, Launch
from gpusched.launcher.standby.forkable import unforkable
from gpusched.system.streams import show
from gpusched.trial import searching
from gpusched.trial.task import Task

_standby: Standby | None = None
_kept: list[GoOn] = []
_NOT_THERE = "executed again, the script does not come to its search() number {}"


#: What each trial may take from the copy on without a line about it.
_NOTED_SECONDS = 1.0


class Standby:
    """The copy, and when it was made."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.searches = searching.called()  #: how many the script had begun by then
        self._made = time.monotonic() - searching.seconds()

    @property
    def seconds(self) -> float:
        """How long the script has taken from there to here, searches left out: what each trial takes at its start."""
        return time.monotonic() - searching.seconds() - self._made

    def notice(self, what: str) -> str | None:
        """What that costs, for people, where it is worth a line. `what` says where the framework was started."""
        if (seconds := self.seconds) <= _NOTED_SECONDS:
            return None
        return f"{what}: each trial executes it again from there ({seconds:.1f} s each)"


def ready() -> Standby | None:
    """The copy that was made, where there is one that this process may use."""
    return _standby if _standby is not None and _standby.copy.usable else None


def make(launch: Launch) -> None:
    """Makes the copy, where this process can still be forked."""
    global _standby
    if threading.current_thread() is not threading.main_thread():
        return  # The fork would have no other thread, and this one ends with what it was started for.
    if ready() is not None or unforkable() is not None:
        return
    answers.record()
    try:
        copy = Copy.make(Ahead(), launch)
    except OSError:
        return  # search() finds another way, and says what it costs.
    except GoOn as going:
        _go_on(going)
        return
    _standby = Standby(copy)


def _go_on(going: GoOn) -> None:
    """In a trial: the script goes on to its search(), and ends there."""
    # Through its traceback the error keeps the launcher's objects, whose descriptors have been closed and may by now
    # be the script's: nobody is to close them again.
    _kept.append(going)
    wakes.watch(pins.again)
    answers.repeat(going.answers)

    def arrive(task: Task) -> NoReturn:
        atexit.unregister(ended)
        leave(going.arrive(task))

    def ended() -> NoReturn:
        going.fail(RuntimeError(_NOT_THERE.format(going.nth)))
        leave(1)

    def failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> NoReturn:
        sys.__excepthook__(kind, error, trace)
        going.fail(error)
        leave(1)

    sys.excepthook = failed
    atexit.register(ended)
    searching.expect(going.nth, arrive)


def arrived(task: Task) -> None:
    """Called where a launcher's process has executed the script; in a trial that goes on with it this is the end."""
    if _kept:
        leave(_kept[-1].arrive(task))


def gone_wrong(error: BaseException) -> None:
    """The same where the script has raised `error`."""
    if _kept:
        show(error)
        _kept[-1].fail(error)
        leave(1)
