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

#: Of a core: a process that hangs in a lock uses nothing at all.
_IDLE_SHARE = 0.01
#: Looks at a fork in the time that it may be silent.
_LOOKS = 4


@dataclass(slots=True)
class Silence:
    """Of one fork. Times are those of a clock that runs while somebody watches, in seconds."""

    pid: int
    metrics: Path  #: where its trial reports epochs
    active_at: float  #: when it last was seen to compute, or began
    looked_at: float = field(init=False)
    _cpu: float = field(init=False, default=0.0)
    _before: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.looked_at, self._before = self.active_at, stamp(self.metrics)

    def lasts(self, now: float, patience: float) -> bool:
        """Whether it has done nothing for `patience` seconds."""
        passed = now - self.looked_at
        if passed < patience / _LOOKS:
            return False
        used = _session_seconds(self.pid)
        if used - self._cpu >= _IDLE_SHARE * passed:
            self.active_at = now
        self._cpu, self.looked_at = used, now
        return now - self.active_at >= patience

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
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(f"/proc/{name}/stat").read_bytes()
                fields = stat[stat.rindex(b")") + 2 :].split()
                if int(fields[3]) == leader or int(name) == leader:
                    ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
