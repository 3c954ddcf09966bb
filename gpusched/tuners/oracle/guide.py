"""Asks a user's own oracle trial by trial, and reminds one that was made anew of what it has decided before.

What it is told comes from the run directory, which has every end before it is told of one.
"""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

from gpusched.core.commands import Consult, Report
from gpusched.core.events import Advised, Heard
from gpusched.hyperparameters import HyperParameters
from gpusched.hyperparameters.conditions import plain
from gpusched.oracles import Custom
from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir
from gpusched.trials import Trial, TrialStatus, name_of
from gpusched.tuners.oracle import awaited
from gpusched.tuners.oracle.base import Oracle
from gpusched.tuners.results import Results
from gpusched.tuners.trials import TrialResult, trial_of

#: How often an oracle that waits for nothing is asked again.
_AGAIN_SECONDS = 0.5
#: What is known of any oracle by its trials.
_KNOWN = frozenset(
    (
        *("ongoing_trials", "hyperparameters", "start_order", "end_order", "run_times", "retry_queue", "seed"),
        *("tried_so_far", "id_to_hash", "told"),
    )
)


class OracleGuide:
    """An oracle, for the search in this folder."""

    def __init__(self, oracle: Oracle, folder: Path) -> None:
        self._oracle, self._folder = oracle, RunDir(folder)
        self._ended = threading.Event()
        self._ids: dict[int, str] = {}  #: the oracle's trials by the search's numbers
        self._workers: dict[int, str] = {}  #: of trials under way
        self._remembered: dict[str, Any] = {}
        self._one_by_one = False  #: it cannot be asked while a trial runs

    # ------------------------------------------------------------------ what a session asks

    def begin(self) -> None:
        """The oracle as it stood when the search was last worked on."""
        self._run = Run(self._folder)
        oracle = self._oracle
        oracle._view, oracle._keeps_files, oracle._name = None, False, name_of
        pure = self._pure()
        self._ids = dict(pure.names)
        self._remembered = dict(pure.state)
        oracle.update_space(self._space())
        if not set(self._ids.values()) <= set(oracle.trials):
            self._remind(pure)
        for number, name in self._ids.items():
            if (number, True) not in pure.history:
                worker = next((w for w, trial in oracle.ongoing_trials.items() if trial.trial_id == name), "")
                self._workers[number] = worker or self._free()
                oracle.ongoing_trials[self._workers[number]] = oracle.trials[name]
                oracle.tuner_ids.add(self._workers[number])
                awaited.begin(oracle.trials[name])

    def advise(self, consult: Consult) -> Advised | None:
        """What its create_trial gives to the next worker."""
        worker = self._free()
        while True:
            trial = self._asked(worker)
            if trial is None:
                return Advised(at=0, trial=consult.trial, status=TrialStatus.IDLE)
            if trial.status in (TrialStatus.RUNNING, TrialStatus.STOPPED) or not consult.patient:
                break
            if self._ended.wait(_AGAIN_SECONDS):
                return None
        values: dict[str, Any] = {}
        if trial.status == TrialStatus.RUNNING:
            self._ids[consult.trial], self._workers[consult.trial] = trial.trial_id, worker
            awaited.begin(trial)
            where = f"trial {trial.trial_id}"
            values = {str(name): plain(v, f"{where}: {name}") for name, v in trial.hyperparameters.values.items()}
        elif trial.status not in (TrialStatus.STOPPED, TrialStatus.IDLE):
            raise TypeError(f"create_trial returned a trial of status {trial.status!r}; give RUNNING, IDLE or STOPPED")
        name = trial.trial_id if values or trial.status == TrialStatus.RUNNING else ""
        return Advised(at=0, trial=consult.trial, status=trial.status, values=values, name=name, state=self._state())

    def hear(self, report: Report) -> Heard:
        """Its update_trial and end_trial, as a tuner calls them."""
        oracle, number = self._oracle, report.trial
        self._run.update()
        found = trial_of(self._run, number, self._space())
        trial = oracle.get_trial(self._ids[number])
        awaited.end(trial)
        trial.hyperparameters = found.hyperparameters
        if found.status == TrialStatus.COMPLETED and found.score is not None:
            reported = {name: found.metrics.get_last_value(name) for name in found.metrics.metrics}
            oracle.update_trial(trial.trial_id, reported, step=found.best_step or 0)
            trial.status = TrialStatus.COMPLETED
        else:
            trial.status, trial.message = TrialStatus.FAILED, found.message
        oracle.end_trial(trial)
        self._workers.pop(number, None)
        trial = oracle.get_trial(trial.trial_id)
        own = trial.status == TrialStatus.COMPLETED and trial.score is not None and trial.score != found.score
        score = float(trial.score) if own and trial.score is not None and math.isfinite(trial.score) else None
        step = None if trial.best_step is None else int(trial.best_step)
        return Heard(at=0, trial=number, score=score, step=step, state=self._state())

    def end(self) -> None:
        self._ended.set()

    def _asked(self, worker: str) -> Trial | None:
        """What its create_trial gives; None where it has to wait for the trials that are under way.

        Keras Tuner ends a trial before it asks for the next. An oracle that counts on that, and looks at a score that
        is not there yet, is put back to where it was, and asked when no trial runs, from then on always.
        """
        oracle = self._oracle
        if not self._workers:
            return oracle.create_trial(worker)
        if self._one_by_one:
            return None
        before = awaited.state_of(oracle)
        try:
            with awaited.watching():
                return oracle.create_trial(worker)
        except (awaited.NotYet, Exception):
            # Whatever failed may have failed for that reason; alone it will show.
            self._one_by_one = True
            vars(oracle).clear()
            vars(oracle).update(before)
            return None

    # ------------------------------------------------------------------ what it remembers

    def _pure(self) -> Custom:
        pure = self._run.search.oracle
        assert isinstance(pure, Custom)
        return pure

    def _space(self) -> HyperParameters:
        return Results(self._run).space

    def _free(self) -> str:
        taken = set(self._workers.values())
        return next(name for i in range(len(taken) + 1) if (name := f"tuner{i}") not in taken)

    def _state(self) -> dict[str, Any]:
        """What of its state its trials do not tell, and has changed since it was last noted."""
        state = {name: value for name, value in self._oracle.get_state().items() if name not in _KNOWN}
        try:
            state = json.loads(json.dumps(state))
        except (TypeError, ValueError) as error:
            raise TypeError(f"get_state: what it returns cannot be written as JSON ({error})") from error
        new = {name: value for name, value in state.items() if self._remembered.get(name, _KNOWN) != value}
        self._remembered.update(new)
        return new

    def _remind(self, pure: Custom) -> None:
        """Gives an oracle that was made anew its trials, in the order in which they were begun and ended."""
        oracle = self._oracle
        for number, ended in pure.history:
            name = self._ids[number]
            if not ended:
                hyperparameters = oracle.hyperparameters.copy()
                hyperparameters.values = dict(pure.values_of(number))
                oracle.trials[name] = Trial(hyperparameters, name)
                oracle.start_order.append(name)
            else:
                self._end(oracle.trials[name], trial_of(self._run, number, self._space()), pure.steps.get(number))
                oracle.end_order.append(name)
            oracle._record_values(oracle.trials[name])
            if isinstance(told := getattr(oracle, "_told", None), list):
                told.append(name)
        whole = {**Oracle.get_state(oracle), **oracle.get_state(), **pure.state}
        oracle.set_state(json.loads(json.dumps(whole)))

    @staticmethod
    def _end(trial: Trial, found: TrialResult, step: int | None) -> None:
        trial.hyperparameters, trial.status, trial.message = found.hyperparameters, found.status, found.message
        trial.score, trial.best_step, trial.metrics = found.score, step, found.metrics
