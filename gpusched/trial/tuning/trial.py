"""The trial that a tuner's run_trial and hooks are given where it trains, and the one that this process trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.storage.rundir import RunDir
from gpusched.trial.record import number
from gpusched.trial.tuning.folds import Slots
from gpusched.trials import Trial, name_of

if TYPE_CHECKING:
    from gpusched.trial.job import Job

_current: AnyTrial | None = None


def current() -> AnyTrial | None:
    """The trial that this process trains by a tuner, or tries; None where there is none."""
    return _current


class AnyTrial(Trial, ABC):
    """What a tuner's methods find in this process while one of them is run for a trial.

    Attributes:
        id, trial_id: as a number, and as text.
        hyperparameters: what build is called with.
        metrics: what was reported by oracle.update_trial.
        run: the run directory.
        folder: a folder of the trial's own, in it.
    """

    def __init__(
        self, trial: int, run: Path, hyperparameters: HyperParameters, objectives: Iterable[Objective]
    ) -> None:
        super().__init__(hyperparameters, name_of(trial))
        self._directions = {each.name: each.direction for each in objectives}
        self.id, self.run = trial, run
        self.folder = RunDir(run).trial(trial).path

    def __enter__(self) -> Self:
        global _current
        _current = self
        return self

    def __exit__(self, *_: object) -> None:
        global _current
        _current = None

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.hyperparameters.values)

    @abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """The standard training."""

    def update(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Metrics that are reported instead of being returned; several of one step are averaged."""
        for name, value in metrics.items():
            known = number(value)
            if known is None:
                continue
            if not self.metrics.exists(name):
                self.metrics.register(name, self._directions.get(name))
            self.metrics.update(name, known, int(step))

    @abstractmethod
    def save_model(self, model: Any, step: int = 0) -> None:
        """Keeps the weights that get_best_models loads."""


class TunerTrial(AnyTrial):
    """A trial in training.

    Attributes:
        start_epoch, stop_epoch: the epochs of this job.
        slots: where parts of the trial may be trained beside it.
        updates: what oracle.update_trial was told of it, by step.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job.spec.trial, Path(job.spec.run), job.space.hp, job.task.asked.objectives)
        self._job = job
        self.slots = Slots(self.run, job.spec.slot, job.spec.other_slots)
        self.fitted = False
        self.start_epoch, self.stop_epoch = job.spec.start_epoch, job.spec.stop_epoch
        self.updates: dict[int, list[dict[str, Any]]] = {}

    def fit(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The standard training: every execution, recorded and checkpointed epoch by epoch."""
        from gpusched.trial.fitting.training import Fitter

        hypermodel = self._job.task.asked.hypermodel
        if hypermodel is None:
            raise UsageError(f"{type(self._job.task.tuner).__name__}: no hypermodel to train; give build_model(hp)")
        self.fitted = True
        return Fitter(self._job).run(hypermodel, args, kwargs)

    def update(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        super().update(metrics, step)
        self.updates.setdefault(int(step), []).append(dict(metrics))

    def reported(self) -> list[dict[str, Any]]:
        """What was reported so, a row for each step."""
        return [_mean(self.updates[step]) for step in sorted(self.updates)]

    def save_model(self, model: Any, step: int = 0) -> None:
        from gpusched.trial.fitting.recorder import keep

        keep(model, RunDir(self.run).trial(self.id).best, step)


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if len(rows) == 1:
        return rows[0]
    columns = {name: [number(row[name]) for row in rows if name in row] for row in rows for name in row}
    return {
        name: sum(there) / len(there)
        for name, values in columns.items()
        if (there := [value for value in values if value is not None])
    }
