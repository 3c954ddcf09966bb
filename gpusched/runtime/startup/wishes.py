"""What people want of a search beside its own course, asked of it when it goes on: failed trials trained again, and
configurations of their own.

Knows which events that makes. Refuses to know who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from gpusched.core.events import AnyEvent, TrialsGivenBack
from gpusched.core.policy import Phase
from gpusched.core.search import Search
from gpusched.core.trial import LOST, TrialState, standing
from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameter
from gpusched.oracles.custom import Custom
from gpusched.printable import clean
from gpusched.runtime.reader import Run
from gpusched.runtime.startup.typed import checked, typed
from gpusched.storage.journal import Journal
from gpusched.storage.lock import RunLock
from gpusched.storage.rundir import RunDir


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a session begins with."""

    retry: list[int] | Literal["failed"] = []  #: trials that are to train again
    tried: list[str] = []  #: configurations as text, see gpusched.runtime.startup.typed
    enqueued: list[dict[str, Any]] = []  #: configurations of the script's own

    def configurations(self, space: Sequence[HyperParameter]) -> list[dict[str, Any]]:
        """All that are to be tried. Raises UsageError for a name or value that the space does not have."""
        found = [checked(each, space, "enqueue") for each in self.enqueued]
        return found + [typed(text, space) for text in self.tried]

    def added(self, search: Search) -> tuple[list[dict[str, Any]], list[str]]:
        """Those that the search was not asked for in an earlier session, and lines about those that it was.

        A search is continued by the same command, and a script calls enqueue() every time: each is meant once.
        """
        wanted = self.configurations(search.oracle.space.hyperparameters)
        if wanted and isinstance(search.oracle, Custom):
            search.oracle.add(wanted[0])  # It says why not.
        before, new, lines = list(search.added), [], []
        for number, values in enumerate(wanted):
            if values not in before:
                new.append(values)
                continue
            before.remove(values)
            if number >= len(self.enqueued):
                lines.append(f"{_words(values)} has been added to this search before: not again")
        return new, lines

    def events(self, search: Search) -> list[AnyEvent]:
        """To be handled before the session opens. Raises UsageError for what cannot be."""
        lost = failed(search) if self.retry == "failed" else [*self.retry]
        for trial in lost:
            may_retry(trial, search)
        return [TrialsGivenBack(at=0, trials=lost)] if lost else []


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{clean(name)}={clean(str(value))}" for name, value in values.items())


def failed(search: Search) -> list[int]:
    """Trials that failed by an error, not those that were stopped."""
    return sorted(trial.id for trial in search.trials.values() if trial.state in LOST - {TrialState.STOPPED})


def may_retry(trial_id: int, search: Search) -> None:
    """Raises UsageError where trying this trial again means nothing."""
    trial = search.trials.get(trial_id)
    if trial is None:
        raise UsageError(f"trial {trial_id}: there is no such trial yet")
    if trial.state is TrialState.RUNNING:
        return
    if trial.state not in LOST:
        state = standing(trial, search.oracle)
        raise UsageError(f"trial {trial_id}: it is {state}; only running, failed and stopped trials are tried again")
    if isinstance(search.oracle, Custom):
        raise UsageError(
            f"trial {trial_id}: the script's own oracle decides what is tried; it knows that this one failed"
        )


def note(run: RunDir, trials: Iterable[int]) -> None:
    """Writes into the journal of a search that nobody works on that these are to train again when it goes on."""
    lock = RunLock(run.lock)
    try:
        search = Run(run).search
        if search.phase is not Phase.CLOSED:
            raise UsageError(f"{run.path}: its scheduler was killed; continue the search first, then retry its trials")
        journal = Journal(run.journal)
        try:
            journal.append([TrialsGivenBack(at=search.at, trials=[*trials])])
        finally:
            journal.close()
    finally:
        lock.release()
