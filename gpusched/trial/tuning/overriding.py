"""Which methods of a tuner are its user's own.

This layer knows no tuners: a method of ours is one that is marked so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

#: Hooks that are called in the process of search(), each for the whole search or for a trial.
HOOKS = ("on_search_begin", "on_search_end", "pre_create_trial", "on_trial_begin", "on_trial_end")

_M = TypeVar("_M", bound=Callable[..., Any])


def standard(method: _M) -> _M:
    """Marks a method as ours."""
    method.standard = True  # type: ignore[attr-defined]
    return method


def overridden(tuner: Any, name: str) -> bool:
    """Whether the tuner has its own method of that name, by its class or put on the object."""
    method = getattr(tuner, name, None)
    return method is not None and not getattr(method, "standard", False)
