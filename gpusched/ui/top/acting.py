"""Whether an order would have any effect, and if not, why; asked before a key acts. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from gpusched.core.policy import Phase
from gpusched.core.search import Search
from gpusched.core.trial import FINAL, LOST, Trial, standing
from gpusched.errors import UsageError
from gpusched.runtime.startup.wishes import may_retry
from gpusched.storage.files import near
from gpusched.ui import words
from gpusched.ui.facts import Facts

#: What keys order, and what it is called.
ORDERS = {"stop_trial": "stop", "retry": "retry", "pause": "pause", "cap": "change"}


def refusal(search: Search, alive: bool, order: str, trial_id: int | None) -> str | None:
    """Why this order cannot be given now; None where it can. `alive` says that a scheduler works on the search."""
    trial = None if trial_id is None else search.trials.get(trial_id)
    if not alive:
        if order == "retry" and trial is not None and trial.state in LOST:
            return f"the search is not running: `gpusched retry {trial.id}` continues it, and trains this trial again"
        return f"the search is not running: nothing to {ORDERS[order]}; `gpusched status` says how to continue it"
    if order in ("stop_trial", "retry"):
        return "no trial is selected" if trial is None else _of_trial(search, order, trial)
    if order == "pause":
        return "the search is stopping already" if search.phase is Phase.STOPPING else None
    if any("cpu" in slot.devices for slot in search.slots.slots.values()) or not search.slots.slots:
        return "the cap counts trials on a GPU, and this search runs on CPU slots"
    return None


def instead(facts: Facts, run: Path) -> str:
    """What can be done with a search that has ended, of which keys can change nothing; empty for others."""
    if facts.phase is not Phase.CLOSED or facts.ending is None:
        return ""
    # Of one that was ended by failures its state says how they are tried again.
    if facts.trials_broken and facts.code in (0, 130):
        again = shlex.quote(near(run))
        return f"ended; `gpusched retry {again}` trains {words.plural(facts.trials_broken, 'failed trial')} again"
    return "ended; its trials can be looked at, and no key changes them"


def _of_trial(search: Search, order: str, trial: Trial) -> str | None:
    if order == "stop_trial" and trial.state in FINAL:
        state = standing(trial, search.oracle)
        return f"trial {trial.id}: it is {state}; only running and waiting trials can be stopped"
    if order == "retry":
        try:
            may_retry(trial.id, search)
        except UsageError as error:
            return str(error)
    return None


def cap(search: Search) -> int:
    """Trials at once on the GPU that has the most."""
    loads: dict[str, int] = {}
    for slot in search.slots.slots.values():
        for device in slot.devices:
            loads[device] = loads.get(device, 0) + 1
    return max(loads.values(), default=0)
