"""What the scheduler asks of a place where jobs run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from gpusched.core.events import JobEnded, JobStarted
from gpusched.storage.records import JobSpec

#: An engine's reports carry at=0: the scheduler stamps them.
Report: TypeAlias = Callable[[JobStarted | JobEnded], None]


class Engine(Protocol):
    """Starts jobs and tells how they end. Every launch ends in exactly one JobEnded report."""

    async def launch(self, spec: JobSpec) -> None:
        """Starts an attempt at a job; its start and end are reported later."""
        ...

    async def interrupt(self, trial: int, attempt: int, *, now: bool) -> None:
        """Asks a running attempt to checkpoint at the end of its epoch and stop; now: ends it at once."""
        ...

    async def acknowledge(self, trial: int, attempt: int) -> None:
        """The end of this attempt is in the journal."""
        ...

    async def adopt(self, jobs: list[JobSpec]) -> set[int]:
        """Looks for attempts of an earlier session. Returns the trials that still run, whose ends will be
        reported; the ends of the others are reported before this returns."""
        ...

    async def close(self) -> None:
        """Leaves no process behind."""
        ...
