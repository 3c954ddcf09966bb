"""Hyperband trial by trial: a promoted configuration is a new trial that names the one it goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.oracles import Done, Hyperband, Job
from gpusched.trials import Trial, TrialStatus
from gpusched.tuners.oracle.base import Oracle
from gpusched.tuners.oracle.full import objectives
from gpusched.tuners.oracle.locking import synchronized

#: What a trial is told beside its values: it goes on from the trial `tuner/trial_id`, and trains from
#: `tuner/initial_epoch` to `tuner/epochs`.
_PREFIX = "tuner/"


class HyperbandOracle(Oracle):
    """Hyperband (Li et al., JMLR 18, 2018); in the values of each trial stand the epochs it is to be trained for.

    They are called `tuner/initial_epoch` and `tuner/epochs`; `tuner/trial_id` is there where a trial goes on from an
    earlier one. A tuner takes care of all that itself.

    Args:
        max_epochs: epochs of a full training.
        factor: one in so many trials of a rung is promoted.
        hyperband_iterations: how often all brackets are run; None never ends.

    The other arguments are Oracle's.
    """

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        super().__init__(
            objective,
            None,
            hyperparameters,
            allow_new_entries,
            tune_new_entries,
            seed,
            max_retries_per_trial,
            max_consecutive_failed_trials,
        )
        if factor < 2:
            raise UsageError(f"factor: {factor!r} is not possible; give an integer of at least 2")
        self.max_epochs, self.factor, self.hyperband_iterations = max_epochs, factor, hyperband_iterations
        #: What gpusched's own Hyperband was asked and told, in order: a trial's id, and once more when it has ended.
        self._told: list[str] = []

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next trial of a bracket; IDLE while its rung waits for others; STOPPED at the end."""
        pure, newest = self._so_far()
        answer = pure.ask()
        if not isinstance(answer, Job):
            return {"status": TrialStatus.STOPPED if isinstance(answer, Done) else TrialStatus.IDLE, "values": None}
        place = pure.place(answer.trial_id)
        values: dict[str, Any] = {
            "tuner/epochs": answer.stop_epoch,
            "tuner/initial_epoch": answer.start_epoch,
            "tuner/bracket": place.bracket,
            "tuner/round": place.rung,
        }
        if not answer.start_epoch:
            values = {**answer.values, **values}
        else:
            before = self.trials[newest[answer.trial_id]]
            values = {**before.hyperparameters.values, **values, "tuner/trial_id": before.trial_id}
        return {"status": TrialStatus.RUNNING, "values": values}

    def _so_far(self) -> tuple[Hyperband, dict[int, str]]:
        """gpusched's own Hyperband as it stands, and which trial was the newest of each of its own."""
        pure = Hyperband(
            self.hyperparameters,
            objectives(self),
            self.max_epochs,
            self.factor,
            self.hyperband_iterations,
            seed=self.seed,
        )
        jobs: dict[str, Job] = {}
        newest: dict[int, str] = {}
        for trial_id in self._told:
            trial, job = self.trials[trial_id], jobs.get(trial_id)
            if job is None:
                answer = pure.ask()
                if isinstance(answer, Job):
                    jobs[trial_id], newest[answer.trial_id] = answer, trial_id
            elif trial.status == TrialStatus.COMPLETED and trial.score is not None:
                pure.tell(job, [*[None] * (job.stop_epoch - job.start_epoch - 1), float(trial.score)])
            else:
                pure.fail(job)
        return pure, newest

    def _new_trial(self) -> Trial:
        trial = super()._new_trial()
        if trial.status == TrialStatus.RUNNING:
            self._told.append(trial.trial_id)
        return trial

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        """As any oracle's; its rung may be complete now."""
        super().end_trial(trial)
        if trial.trial_id in self.end_order:
            self._told.append(trial.trial_id)

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        """Trials of one configuration on several rungs are the same."""
        return super()._compute_values_hash(
            {name: value for name, value in values.items() if not name.startswith(_PREFIX)}
        )

    def get_state(self) -> dict[str, Any]:
        own = {
            "max_epochs": self.max_epochs,
            "factor": self.factor,
            "hyperband_iterations": self.hyperband_iterations,
            "told": self._told,
        }
        return {**super().get_state(), **own}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self.max_epochs, self.factor = state["max_epochs"], state["factor"]
        self.hyperband_iterations = state["hyperband_iterations"]
        self._told = list(state["told"])
