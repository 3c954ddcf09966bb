"""What trials have reported so far, for everything that looks at a search again and again. Reads only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gpusched.storage.metrics import read_metrics
from gpusched.storage.rundir import RunDir

#: The epochs of a trial, one dict each, as `Run.metrics` gives them.
Reported: TypeAlias = Callable[[int], list[dict[str, Any]]]


class Curves:
    """The epochs that trials have reported, read again only where a file has changed."""

    def __init__(self, run: RunDir, read: Reported | None = None) -> None:
        """`read` gives a trial's epochs; left out, they are read from its file."""
        self._run = run
        self._read = read or (lambda trial: read_metrics(run.trial(trial).metrics))
        self._known: dict[int, tuple[tuple[int, int], list[dict[str, Any]]]] = {}

    def stamp(self, trial: int) -> tuple[int, int] | None:
        """What changes whenever an epoch is reported: time and size of the file; None where there is none."""
        try:
            stat = self._run.trial(trial).metrics.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def of(self, trial: int) -> list[dict[str, Any]]:
        stamp = self.stamp(trial)
        if stamp is None:
            return []
        known = self._known.get(trial)
        if known is None or known[0] != stamp:
            known = self._known[trial] = (stamp, self._read(trial))
        return known[1]

    def changed_at(self, trial: int) -> float | None:
        """When the newest epoch was reported, on the wall clock."""
        known = self._known.get(trial)
        return known[0][0] / 1e9 if known else None

    def forget(self, keep: set[int]) -> None:
        """Drops what nobody looks at any more, so that a long search does not fill the memory."""
        for trial in self._known.keys() - keep:
            del self._known[trial]
