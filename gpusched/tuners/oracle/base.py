"""An oracle as Keras Tuner's users know it: trials are created, updated and ended, one by one.

It may be used alone, subclassed, or given to a tuner. Knows what is to be remembered of trials, when one is tried
again, and how all this is written down. Refuses to know which values come next: subclasses say so in `populate_space`.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import MultiObjective, create_objective
from gpusched.trials import Trial, TrialStatus
from gpusched.tuners.oracle.kept import Kept, Misuse, UnknownTrial
from gpusched.tuners.oracle.locking import synchronized


class Oracle(Kept):
    """Decides which values are tried; the base of all, with Keras Tuner 1.4's methods and arguments.

    Override `populate_space`, and what else is to be different: `score_trial`, `create_trial`, `update_trial`,
    `end_trial`, `get_state` and `set_state`.

    Args:
        objective: the name of a metric, an Objective, or a list of them; None: what run_trial or fit returns.
        max_trials: how many there are at most; None: as many as `populate_space` has.
        hyperparameters: known beforehand.
        allow_new_entries: False: asking for what is not in `hyperparameters` is an error.
        tune_new_entries: False: what is not in `hyperparameters` keeps its default.
        seed: of what is drawn; None: one is drawn.
        max_retries_per_trial: how often a trial that was ended as INVALID is handed out again.
        max_consecutive_failed_trials: `end_trial` raises RuntimeError after so many.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        for name, allowed in (("tune_new_entries", tune_new_entries), ("allow_new_entries", allow_new_entries)):
            if hyperparameters is None and not allowed:
                raise UsageError(f"{type(self).__name__}: {name}=False needs hyperparameters=, the space to search")
        self._view: Any = None  #: what a tuner has found out, where this is a tuner's
        self._keeps_files = True
        self._name: Callable[[int], str] | None = None  #: ids of new trials; None: counted
        self.objective = create_objective(objective)
        self.max_trials = max_trials
        self.hyperparameters = HyperParameters() if hyperparameters is None else hyperparameters
        self.allow_new_entries = allow_new_entries
        self.tune_new_entries = tune_new_entries
        self.trials = {}
        self.ongoing_trials = {}
        self.start_order = []
        self.end_order = []
        self.tuner_ids: set[str] = set()
        self._run_times: dict[str, int] = defaultdict(int)
        self._retry_queue: list[str] = []
        self._given_seed = seed
        self.seed = secrets.randbelow(2**31) if seed is None else seed
        self._seed_state = self.seed
        self._tried_so_far: set[str] = set()
        self._id_to_hash: dict[str, str | None] = {}
        self._max_collisions = 20
        self.directory: Any = None
        self.project_name: str | None = None
        self.max_retries_per_trial = max_retries_per_trial
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        #: Of several workers, all report here.
        self.multi_worker, self.should_report = False, True
        self._verbose: Any = 1

    @property
    def verbose(self) -> Any:
        return self._verbose

    @verbose.setter
    def verbose(self, value: Any) -> None:
        self._verbose = 1 if value == "auto" else value

    # ------------------------------------------------------------------ what subclasses decide

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The values of a new trial: {"status": "RUNNING", "values": {...}}.

        "IDLE" in place of "RUNNING": ask again once a trial has ended. "STOPPED": there will be no more.
        """
        raise NotImplementedError(f"{type(self).__name__}: define populate_space(trial_id)")

    def score_trial(self, trial: Trial) -> None:
        """Sets the score and the best step of a completed trial: those of the best value of the objective."""
        name = self.objective.name
        if isinstance(self.objective, MultiObjective) and not trial.metrics.exists(name):
            latest = {each.name: trial.metrics.get_last_value(each.name) for each in self.objective}
            trial.score = self.objective.get_value(latest)
            return
        trial.score = trial.metrics.get_best_value(name)
        trial.best_step = trial.metrics.get_best_step(name)

    def _populate_space(self, trial_id: str) -> dict[str, Any]:
        warnings.warn("_populate_space is called populate_space now", DeprecationWarning, stacklevel=2)
        return self.populate_space(trial_id)

    def _score_trial(self, trial: Trial) -> None:
        warnings.warn("_score_trial is called score_trial now", DeprecationWarning, stacklevel=2)
        self.score_trial(trial)

    # ------------------------------------------------------------------ the life of a trial

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for this worker: the one it has, one to be tried again, or a new one.

        Its status is RUNNING; IDLE where the oracle waits for others to end; STOPPED where there is nothing left.
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        self.tuner_ids.add(tuner_id)
        if self._retry_queue:
            trial = self.trials[self._retry_queue.pop()]
            trial.status = TrialStatus.RUNNING
            self.ongoing_trials[tuner_id] = trial
            self.save()
            return trial
        trial = self._new_trial()
        if trial.status == TrialStatus.RUNNING:
            self._record_values(trial)
            self.ongoing_trials[tuner_id] = self.trials[trial.trial_id] = trial
            self.start_order.append(trial.trial_id)
            self._save_trial(trial)
            self.save()
        elif trial.status == TrialStatus.STOPPED:
            self.tuner_ids.discard(tuner_id)
        return trial

    def _new_trial(self) -> Trial:
        number = len(self.trials)
        trial_id = self._name(number) if self._name is not None else f"{number:0{len(str(self.max_trials))}d}"
        if self.max_trials and number >= self.max_trials:
            answer: Mapping[str, Any] = {"status": TrialStatus.STOPPED}
        else:
            answer = self.populate_space(trial_id)
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(answer.get("values") or {})
        return Trial(hyperparameters, trial_id, answer["status"])

    @synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> Trial:
        """Takes in metrics of a trial at a step. Raises ValueError where the objective is not among them."""
        trial = self.get_trial(trial_id)
        several = isinstance(self.objective, MultiObjective)
        objectives = list(self.objective) if isinstance(self.objective, MultiObjective) else [self.objective]
        absent = [each.name for each in objectives if each.name not in metrics]
        if absent:
            raise UsageError(
                f"trial {trial_id}: the objective {', '.join(absent)} is not among its metrics "
                f"({', '.join(metrics) or 'none'}); report it, or name another objective"
            )
        reported = dict(metrics)
        if several and self.objective.name not in reported:
            reported[self.objective.name] = self.objective.get_value(reported)
        directions = {each.name: each.direction for each in (self.objective, *objectives)}
        for name, value in reported.items():
            if not trial.metrics.exists(name):
                trial.metrics.register(name, directions.get(name))
            trial.metrics.update(name, value, step)
        self._save_trial(trial)
        return trial

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        """The trial has ended as its status says: COMPLETED, FAILED, or INVALID, which may be tried again.

        Raises RuntimeError after too many failures in a row.
        """
        known = self.get_trial(trial.trial_id)
        known.hyperparameters, known.status, known.message = trial.hyperparameters, trial.status, trial.message
        self.update_space(known.hyperparameters)
        if known.status == TrialStatus.COMPLETED:
            self.score_trial(known)
            if known.score is None or math.isnan(known.score):
                known.status = TrialStatus.INVALID
        self._record_values(known)
        self._run_times[known.trial_id] += 1
        if not self._to_be_retried(known):
            self.end_order.append(known.trial_id)
            self._check_failures(known)
        self._save_trial(known)
        for tuner_id, ongoing in list(self.ongoing_trials.items()):
            if ongoing.trial_id == known.trial_id:
                del self.ongoing_trials[tuner_id]
        self.save()

    def _to_be_retried(self, trial: Trial) -> bool:
        if trial.status != TrialStatus.INVALID:
            return False
        if self._run_times[trial.trial_id] > self.max_retries_per_trial:
            trial.status = TrialStatus.FAILED
            return False
        self._retry_queue.append(trial.trial_id)
        return True

    def _check_failures(self, newest: Trial) -> None:
        row = 0
        for trial_id in reversed(self.end_order):
            if self.trials[trial_id].status != TrialStatus.FAILED:
                break
            row += 1
        if row >= self.max_consecutive_failed_trials:
            raise Misuse(
                f"{row} trials in a row failed; trial {newest.trial_id}: {newest.message or 'no reason known'}"
            )

    # ------------------------------------------------------------------ what is known

    def get_space(self) -> HyperParameters:
        """A copy of all hyperparameters that are known."""
        return self.hyperparameters.copy()

    def update_space(self, hyperparameters: HyperParameters) -> None:
        """Takes in the hyperparameters that are new. Raises RuntimeError where none may be."""
        known = self.hyperparameters
        new = [each for each in hyperparameters.space if known.find(each.name, each.conditions) is None]
        if new and not self.allow_new_entries:
            raise Misuse(
                f"{', '.join(each.label for each in new)}: not among the given hyperparameters, and "
                "allow_new_entries is False; add it there or allow new entries"
            )
        if self.tune_new_entries:
            known.merge(new)

    def get_trial(self, trial_id: str) -> Trial:
        """The trial of this id. Raises KeyError where there is none."""
        trials = self.trials
        if trial_id not in trials:
            raise UnknownTrial(f"trial {trial_id!r}: there is none; there are {', '.join(trials) or 'none yet'}")
        return trials[trial_id]

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """Completed trials, the best score first; where there are fewer than asked for, the others follow."""
        trials = list(self.trials.values())
        sign = -1.0 if self.objective.direction == "max" else 1.0
        done = [each for each in trials if each.status == TrialStatus.COMPLETED and each.score is not None]
        done.sort(key=lambda each: sign * (each.score or 0.0))
        if len(done) < num_trials:
            done += [each for each in trials if each.status != TrialStatus.COMPLETED]
        return done[:num_trials]

    def remaining_trials(self) -> int | None:
        """Trials that were not created yet; None where nobody says how many there are."""
        return max(0, self.max_trials - len(self.trials)) if self.max_trials else None
