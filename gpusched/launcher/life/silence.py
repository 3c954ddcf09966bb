"""Forks that do nothing: what they have inherited may hold a lock that nobody gives back.

Some libraries do not survive a fork (GNU's OpenMP once it has computed, a thread's lock that was held): the fork then
waits for ever, using no processor. Silence counts only while nothing of the trial's session computes, and only until
its first epoch: what has trained once will not hang for that reason.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from gpusched.storage.identity import pids, stat_of

#: Of a core: a process that hangs in a lock uses nothing at all.
_IDLE_SHARE = 0.01
#: Looks at a fork in the time that it may be silent.
_LOOKS = 4


@dataclass(slots=True)
class Idle:
    """How long a session has used no processor. Times are those of a clock that runs while somebody watches, in s."""

    pid: int  #: which leads it
    active_at: float  #: when it last was seen to compute, or began
    _looked_at: float = field(init=False)
    _cpu: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._looked_at = self.active_at

    def lasts(self, now: float, patience: float) -> bool:
        """Whether it has done nothing for `patience` seconds."""
        passed = now - self._looked_at
        if passed < patience / _LOOKS:
            return False
        used = _session_seconds(self.pid)
        if used - self._cpu >= _IDLE_SHARE * passed:
            self.active_at = now
        self._cpu, self._looked_at = used, now
        return now - self.active_at >= patience


@dataclass(slots=True)
class Silence(Idle):
    """The same of a fork for a trial, until that has trained."""

    metrics: Path  #: where its trial reports epochs
    _before: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        Idle.__post_init__(self)
        self._before = stamp(self.metrics)

    @property
    def is_over(self) -> bool:
        """An epoch has been reported since it began."""
        return stamp(self.metrics) != self._before


def stamp(file: Path) -> tuple[int, int] | None:
    """What changes with every line that is written there; None where it is absent."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _session_seconds(leader: int) -> float:
    """CPU time of the processes in that session, children that have ended and were waited for included."""
    ticks = 0
    for pid in pids():
        with contextlib.suppress(OSError):
            fields = stat_of(pid)
            if leader in (pid, int(fields[3])):
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
