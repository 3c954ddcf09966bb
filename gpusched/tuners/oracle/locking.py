"""One call at a time on an oracle, whichever thread it comes from."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

_M = TypeVar("_M", bound=Callable[..., Any])

#: Beside the oracles, which travel to other processes; a lock could not.
_locks: weakref.WeakKeyDictionary[Any, threading.RLock] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def synchronized(method: _M) -> _M:
    """Lets one thread at a time into an oracle's methods.

    A method may call others, and the same one of its base class, that are decorated as well. Different oracles do not
    wait for each other. An `end_trial` that is called in the style of Keras Tuner 1.2, with an id and a status, gets
    the trial.
    """

    @functools.wraps(method)
    def one_at_a_time(oracle: Any, *args: Any, **kwargs: Any) -> Any:
        if method.__name__ == "end_trial":
            args, kwargs = _with_trial(oracle, args, kwargs)
        with _making:
            lock = _locks.setdefault(oracle, threading.RLock())
        with lock:
            return method(oracle, *args, **kwargs)

    return one_at_a_time  # type: ignore[return-value]


def _with_trial(oracle: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of end_trial(trial), whichever way it was called."""
    trial_id = kwargs.get("trial_id", args[0] if args and isinstance(args[0], str) else None)
    if trial_id is None:
        return args, kwargs
    trial = oracle.get_trial(trial_id)
    trial.status = kwargs.get("status", args[1] if len(args) > 1 else "COMPLETED")
    return (trial,), {}
