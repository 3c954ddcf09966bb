"""Signs of life of a trial: its epochs, and what the kernel shows of its process.

Two ways to hang. A trial that reports no epoch for longer than the user allows is one. The other needs no leave:
a process that is stopped, or stuck inside the kernel (where a broken GPU's driver keeps it), uses no time of any
processor while others' wait is only a wait. A process that merely sleeps may have its reasons, and is let be. What
counts is time in which somebody watched: whatever stops the watch may have stopped the trial.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from gpusched.launcher.life.silence import stamp
from gpusched.storage.identity import stat_of

#: How long a process may be stopped or stuck in the kernel.
SILENT_SECONDS = 120.0

#: Of proc(5): stopped by a signal, and uninterruptible sleep. Being traced ("t") is somebody's debugger.
_STUCK = "TD"


@dataclass(slots=True)
class _Seen:
    progress_at: float
    first: tuple[int, int] | None
    stamp: tuple[int, int] | None
    ticks: int = -1
    moved_at: float = 0.0


class Signs:
    """What has been seen of each attempt."""

    def __init__(self, timeout: float | None, silent: float = SILENT_SECONDS, proc: Path = Path("/proc")) -> None:
        self._timeout, self._silent, self._proc = timeout, silent, proc
        self._seen: dict[Hashable, _Seen] = {}

    def look(self, key: Hashable, pid: int | None, metrics: Path, now: float) -> str | None:
        """None, or why the attempt `key` counts as hanging; to be asked again and again, `now` in seconds watched."""
        newest = stamp(metrics)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(progress_at=now, first=newest, stamp=newest, moved_at=now)
        if newest != seen.stamp:
            seen.progress_at, seen.stamp = now, newest
        if self._timeout is not None and now - seen.progress_at >= self._timeout:
            return f"no epoch for {self._timeout:g} s (--trial-timeout)"
        state, ticks = self._process(pid)
        if state not in _STUCK or ticks != seen.ticks:
            seen.moved_at, seen.ticks = now, ticks
        elif now - seen.moved_at >= self._silent:
            word = "stopped" if state == "T" else "stuck in the kernel"
            return f"no sign of life for {self._silent:g} s: its process is {word}"
        return None

    def trained(self, key: Hashable) -> bool:
        """Whether an epoch has been reported while it was looked at."""
        seen = self._seen.get(key)
        return seen is not None and seen.stamp != seen.first

    def forget(self, keep: set[Hashable]) -> None:
        for key in self._seen.keys() - keep:
            del self._seen[key]

    def _process(self, pid: int | None) -> tuple[str, int]:
        """Its state and the processor time it has used; a process that is gone is on its way to be told of."""
        try:
            fields = stat_of(pid, self._proc)
            return fields[0].decode(), int(fields[11]) + int(fields[12])
        except (OSError, ValueError, IndexError):
            return "?", -1
