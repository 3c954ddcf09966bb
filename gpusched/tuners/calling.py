"""Calls a tuner's own hooks of trials while its search runs, in the process of search().

A view among views: it is told what has happened, once it is in the journal. What starts next has been started by then,
so that a hook which takes its time leaves no slot idle but those of trials that end meanwhile.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpusched.core.commands import AnyCommand, Launch, Release
from gpusched.core.events import AnyEvent, JobEnded, TrialsGivenBack
from gpusched.core.search import Search
from gpusched.core.trial import FINAL, TrialState
from gpusched.hyperparameters import HyperParameters, serialize
from gpusched.runtime.view import View
from gpusched.storage.metrics import read_metrics
from gpusched.storage.rundir import RunDir
from gpusched.trial.job import RETURN_METRICS
from gpusched.trial.tuning.left import bring_back, file_of
from gpusched.trial.tuning.overriding import overridden
from gpusched.tuners.trials import TrialResult, trial_of

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run


@contextlib.contextmanager
def calling(tuner: Any, view: View) -> Iterator[View]:
    """A view for a search that calls the tuner's hooks, on_search_begin and on_search_end included."""
    calls = Calling(tuner, view)
    calls.begin()
    yield calls
    calls.end()


class Calling:
    """`view`, and the tuner's hooks beside it."""

    def __init__(self, tuner: Any, view: View) -> None:
        self._tuner, self._view = tuner, view
        self._run: RunDir | None = None
        self._search: Search | None = None
        self._ended: set[int] = set()
        self._warned = False

    # ------------------------------------------------------------------ the search

    def begin(self) -> None:
        self._call("on_search_begin")

    def end(self) -> None:
        """The search has ended without an error: trials that wait for nothing any more are over."""
        search = self._search
        if search is not None:
            left = [trial.id for trial in search.trials.values() if trial.state is TrialState.PAUSED]
            self._over([i for i in left if search.done])
        self._call("on_search_end")

    # ------------------------------------------------------------------ what a view is told

    def message(self, text: str) -> None:
        self._view.message(text)

    def started(self, run: RunDir) -> None:
        self._run = run
        self._view.started(run)
        if own := uncalled(self._tuner):
            self._view.message(
                f"{type(self._tuner).__name__} overrides {', '.join(own)}, which {'is' if len(own) == 1 else 'are'} "
                "Keras Tuner's own business and not called here; override run_trial, load_model or the on_ methods"
            )

    async def show(self, run: Run) -> None:
        await self._view.show(run)

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        self._search = search
        self._view.event(event, commands, search)
        if isinstance(event, TrialsGivenBack):
            self._ended.difference_update(event.trials)
        if isinstance(event, JobEnded):
            self._warn(event)
            if self._run is not None:
                bring_back(self._tuner, file_of(self._run.trial(event.trial).path, event.attempt))
            released = [trial for each in commands if isinstance(each, Release) for trial in each.trials]
            over = [i for i in dict.fromkeys([event.trial, *released]) if i in search.trials]
            self._over([i for i in over if search.trials[i].state in FINAL])
        for each in commands:
            # Later attempts, and jobs after a promotion, are the same trial.
            if isinstance(each, Launch) and each.attempt == 1:
                self._call("pre_create_trial")
                self._call("on_trial_begin", each.trial)

    def _warn(self, event: JobEnded) -> None:
        if RETURN_METRICS in event.warnings and not self._warned:
            self._warned = True
            warnings.warn(RETURN_METRICS, DeprecationWarning, stacklevel=2)

    # ------------------------------------------------------------------ the hooks

    def _over(self, trials: list[int]) -> None:
        for trial in trials:
            if trial not in self._ended:
                self._ended.add(trial)
                self._call("on_trial_end", trial)

    def _call(self, name: str, trial: int | None = None) -> None:
        if overridden(self._tuner, name):
            getattr(self._tuner, name)(*(() if trial is None else (self._trial(trial),)))

    def _trial(self, trial_id: int) -> TrialResult:
        assert self._search is not None
        assert self._run is not None
        space = [serialize(each) for each in self._search.oracle.space.hyperparameters]
        hp = HyperParameters.from_config({"space": space, "values": {}})
        return trial_of(_Live(self._search, self._run), trial_id, hp)


#: Private methods of Keras Tuner's tuners, and those of older releases, that are not called here.
_UNCALLED = (
    *("_activate_all_conditions", "_build_model", "_configure_tensorboard_dir", "_deepcopy_callbacks"),
    *(
        "_filter_metrics",
        "_get_build_config_fname",
        "_get_checkpoint_fname",
        "_get_tensorboard_dir",
        "_get_tuner_fname",
    ),
    *("_inject_callbacks", "_override_compile_args", "_populate_initial_space", "_run_and_update_trial"),
    *("_try_run_and_update_trial", "on_execution_begin", "on_execution_end"),
)


def uncalled(tuner: Any) -> list[str]:
    """Methods of a tuner's subclass that look like overriding one of Keras Tuner's, and do nothing here."""
    return [name for name in _UNCALLED if callable(getattr(tuner, name, None))]


class _Live:
    """A search that is running, for trial_of."""

    def __init__(self, search: Search, run: RunDir) -> None:
        self.search, self._run = search, run

    def metrics(self, trial: int) -> list[dict[str, Any]]:
        return read_metrics(self._run.trial(trial).metrics)
