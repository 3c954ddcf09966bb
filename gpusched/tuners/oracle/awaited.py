"""Finds out whether an oracle looks at the score of a trial that still runs, where Keras Tuner's would have ended."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import Any

from gpusched.trials import Trial
from gpusched.tuners.oracle.kept import Kept

_asking = threading.local()


class NotYet(BaseException):
    """The score is not there yet. Not an Exception: no code of an oracle shall take it for one."""


class _Awaited(Trial):
    """A trial under way."""

    @property
    def score(self) -> float | None:
        if getattr(_asking, "now", False) and self.__dict__.get("score") is None:
            raise NotYet
        return self.__dict__.get("score")

    @score.setter
    def score(self, value: float | None) -> None:
        self.__dict__["score"] = value


def begin(trial: Trial) -> None:
    """From now on its score is awaited. A class of the user's own is left as it is."""
    if type(trial) is Trial:
        object.__setattr__(trial, "__class__", _Awaited)


def end(trial: Trial) -> None:
    """It has ended."""
    if isinstance(trial, _Awaited):
        object.__setattr__(trial, "__class__", Trial)


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """While it lasts, this thread's looking at a score that is awaited raises NotYet."""
    _asking.now = True
    try:
        yield
    finally:
        _asking.now = False


def state_of(oracle: Kept) -> dict[str, Any]:
    """All that an oracle holds, to put it back: copies, but for the trials themselves and what cannot be copied."""
    memo: dict[int, Any] = {id(trial): trial for trial in oracle.trials.values()}
    for shared in (oracle, oracle.hyperparameters):
        memo[id(shared)] = shared
    state: dict[str, Any] = {}
    for name, value in vars(oracle).items():
        try:
            state[name] = copy.deepcopy(value, memo)
        except Exception:
            state[name] = value
    return state
