"""Whether an order would have any effect, and if not, why; asked before a key acts. Pure."""

from __future__ import annotations

from gpusched.core.policy import Phase
from gpusched.core.search import Search
from gpusched.core.trial import FINAL, LOST, TrialState, standing

#: What keys order, and what it is called.
ORDERS = {"stop_trial": "stop", "retry": "retry", "pause": "pause", "cap": "change"}


def refusal(search: Search, alive: bool, order: str, trial_id: int | None) -> str | None:
    """Why this order cannot be given now; None where it can. `alive` says that a scheduler works on the search."""
    if not alive:
        return f"the search is not running: nothing to {ORDERS[order]}; `gpusched status` says how to continue it"
    if order in ("stop_trial", "retry"):
        return _of_trial(search, order, trial_id)
    if order == "pause":
        return "the search is stopping already" if search.phase is Phase.STOPPING else None
    if any("cpu" in slot.devices for slot in search.slots.slots.values()) or not search.slots.slots:
        return "the cap counts trials on a GPU, and this search runs on CPU slots"
    return None


def _of_trial(search: Search, order: str, trial_id: int | None) -> str | None:
    trial = None if trial_id is None else search.trials.get(trial_id)
    if trial is None:
        return "no trial is selected"
    state = standing(trial, search.oracle)
    if order == "stop_trial" and trial.state in FINAL:
        return f"trial {trial.id} is {state}: only running and waiting trials can be stopped"
    if order == "retry" and trial.state is not TrialState.RUNNING and trial.state not in LOST:
        return f"trial {trial.id} is {state}: only running, failed and stopped trials are tried again"
    return None


def cap(search: Search) -> int:
    """Trials at once on the GPU that has the most."""
    loads: dict[str, int] = {}
    for slot in search.slots.slots.values():
        for device in slot.devices:
            loads[device] = loads.get(device, 0) + 1
    return max(loads.values(), default=0)
