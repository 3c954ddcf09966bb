"""What the end of a search means for the caller of `search()`: nothing, a warning, or an error.

As Keras Tuner has it: a FatalError reaches the caller as itself, failures in a row are a RuntimeError, and a search
whose trials have all failed, without so many in a row, only warns.
"""

from __future__ import annotations

import warnings

from gpusched.core.commands import Finish
from gpusched.core.outcome import Failure
from gpusched.core.search import Search
from gpusched.core.trial import TrialState
from gpusched.errors import SearchFailed, raised_again


def judge(finish: Finish, search: Search | None) -> None:
    """Raises KeyboardInterrupt, the FatalError of a trial, or SearchFailed; warns where no trial was completed."""
    if finish.code == 130:
        raise KeyboardInterrupt
    if not finish.code:
        return
    if search is None:
        raise SearchFailed(finish.reason)
    if search.ending is None and search.done:
        _nothing_completed(finish, search)
        return
    failure = _behind(finish, search)
    error = None if failure is None else raised_again(failure.classes, failure.message)
    raise SearchFailed(finish.reason) if error is None else error


def _behind(finish: Finish, search: Search) -> Failure | None:
    """The failure that ended the search by itself."""
    failures = [trial.failure for trial in search.trials.values() if trial.failure is not None]
    return next((each for each in failures if each.classes and each.message == finish.reason), None)


def _nothing_completed(finish: Finish, search: Search) -> None:
    trials = search.trials.values()
    if trials and all(trial.state is TrialState.OVERSIZE for trial in trials):
        raise SearchFailed(f"{finish.reason}: every model has more parameters than max_model_size")
    said = [f"trial {trial.id}: {trial.failure.brief}" for trial in trials if trial.failure is not None]
    warnings.warn(f"{finish.reason}{f' ({said[-1]})' if said else ''}", RuntimeWarning, stacklevel=6)
