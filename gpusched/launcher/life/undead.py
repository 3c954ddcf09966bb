"""Processes that have been killed and do not end: stuck in the kernel, frozen, or another user's.

Nobody waits for them. They are killed again and again, and people are told of them once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gpusched.system.process.kernel import bury, state_of

#: A process whose memory is large takes its time to end.
PATIENCE_SECONDS = 5.0


@dataclass
class _Undead:
    whose: str
    ours_to_bury: bool
    since: float = field(default_factory=time.monotonic)
    told: bool = False


class Undead:
    """Those of one launcher. `tell` takes a line for people."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._all: dict[int, _Undead] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def pids(self) -> set[int]:
        return set(self._all)

    def expect(self, pid: int, whose: str) -> None:
        """A trial's own process has been killed; whoever reaps it says so by `forget`."""
        self._all.setdefault(pid, _Undead(whose, ours_to_bury=False))

    def add(self, pids: Iterable[int], whose: str) -> None:
        """These have not ended in time."""
        for pid in pids:
            self._all.setdefault(pid, _Undead(whose, ours_to_bury=True))

    def forget(self, pid: int) -> None:
        self._all.pop(pid, None)

    def look(self) -> None:
        """Takes leave of those that have ended, and tells of those that do not."""
        now = time.monotonic()
        for pid, each in list(self._all.items()):
            if each.ours_to_bury and bury(pid):
                del self._all[pid]
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            if not each.told and now - each.since >= PATIENCE_SECONDS:
                each.told = True
                self._tell(f"{each.whose}: {words(pid)} and holds what it has until it ends")


def words(pid: int) -> str:
    """What is known of a process that does not end."""
    return f"process {pid} cannot be ended ({state_of(pid)})"
