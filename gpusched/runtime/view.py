"""The seam between a scheduler and whoever watches it.

A view reads the search and never changes it; that nobody can see it any more is not the search's concern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gpusched.core.commands import AnyCommand
from gpusched.core.events import AnyEvent
from gpusched.core.search import Search
from gpusched.storage.rundir import RunDir

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


class View(Protocol):
    """What a scheduler tells those who watch it."""

    def message(self, text: str) -> None:
        """A notice for people, one line."""

    def started(self, run: RunDir) -> None:
        """The run directory is known, and locked by this process."""

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        """This happened, and these decisions followed; both are in the journal."""

    async def show(self, run: Run) -> None:
        """Draws the search until cancelled. Reads `run.search`, which changes meanwhile, and its files."""


@runtime_checkable
class CallsHooks(Protocol):
    """A view that wants to know which hooks the tuner has."""

    def hooks(self, names: list[str]) -> None:
        """These are the tuner's own; called once, before `started`."""


@runtime_checkable
class Notifies(Protocol):
    """A view that tells people who are elsewhere how the search has ended."""

    def notify(self, targets: list[str]) -> None:
        """Whom; called once, before anything of a run is touched. Raises UsageError for what cannot be used."""
