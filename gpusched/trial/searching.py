"""How far a script has come, counted in calls of search(), and what this process is to do at one of them.

In the process that a user started, search() searches. In one that executes the script for a launcher or a trial, it
hands over what it was given, or trains; calls before that one belong to searches that have ended, and return.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from gpusched.trial.task import Task

#: Takes what search() was given. It does not return.
Arrive: TypeAlias = "Callable[[Task], NoReturn]"

_called = 0  #: how often search() has been called
_awaited: tuple[int, Arrive] | None = None  #: the call that this process waits for, and what it does there

_seconds = 0.0


def called() -> int:
    """How often this process has called search()."""
    return _called


def awaiting() -> bool:
    """Whether this process executes a script for a launcher or a trial, and no one sees what it prints."""
    return _awaited is not None


def meet(task: Task) -> bool:
    """Called by search(): True where the search is not to be run here, since it has been or is run elsewhere."""
    global _called
    _called += 1
    if _awaited is None:
        return False
    nth, arrive = _awaited
    if _called == nth:
        arrive(task)
    return True


@contextmanager
def running() -> Iterator[None]:
    """While the context lasts, a search runs that this process has begun."""
    global _seconds
    began = time.monotonic()
    try:
        yield
    finally:
        _seconds += time.monotonic() - began


def seconds() -> float:
    """How long searches have run that this process has begun."""
    return _seconds


def expect(nth: int, arrive: Arrive) -> None:
    """From now on, search() does nothing but call arrive(task) at its nth call, counted over the script from 1."""
    global _awaited
    _awaited = (nth, arrive)


@contextmanager
def from_the_start(nth: int, arrive: Arrive) -> Iterator[None]:
    """The same for a script that is executed from its first line while the context lasts."""
    global _called, _awaited
    before = (_called, _awaited)
    _called, _awaited = 0, (nth, arrive)
    try:
        yield
    finally:
        _called, _awaited = before
