"""The callback that follows a Keras training: writes its metrics down, keeps its state, and ends it when asked.

It stands behind the user's callbacks, so that it sees what they have decided about the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from gpusched.objective import Objective
from gpusched.trial.checkpoint import States
from gpusched.trial.fitting import state
from gpusched.trial.fitting.state import Tracked
from gpusched.trial.record import Record, Stopped, StopRequest, number


class Best:
    """best/: the weights of the best epoch so far, of all executions and jobs of a trial."""

    def __init__(self, folder: Path, objective: Objective) -> None:
        self._states = States(folder)
        self._objective = objective
        self.damage = self._states.damage  #: of the weights that were kept
        meta = self._states.meta() or {}
        self._value: float | None = meta.get("value")

    def offer(self, model: Any, epoch: int, execution: int, logs: dict[str, Any]) -> None:
        """Keeps the model as it is, if it is better than the one kept. One that was never built has no weights."""
        if model is None or not model.built:
            return
        value = number(logs.get(self._objective.name))
        # An objective that comes only after the training says nothing yet: the newest is kept, as in Keras Tuner.
        if value is not None and not self._objective.better(value, self._value) and self._states.file(".weights.h5"):
            return
        self._value = value
        meta = {
            "objective": self._objective.name,
            "value": value,
            "execution": execution,
            **state.shape_of(model),
        }
        # An epoch's weights are worth no more than the checkpoint that follows it: only then they have to be safe.
        self._states.put(epoch, {".weights.h5": lambda path: state.save_weights(model, path)}, meta, durable=False)

    def sync(self) -> None:
        self._states.sync()


def keep(model: Any, folder: Path, epoch: int) -> None:
    """Keeps the weights of a model that a tuner's own run_trial trained, in place of those kept before."""
    States(folder).put(epoch, {".weights.h5": lambda path: state.save_weights(model, path)}, state.shape_of(model))


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Follows one execution of one job.

    `stop_epoch` is None for a training that decides its own length.
    """

    def __init__(
        self,
        *,
        record: Record,
        states: States,
        best: Best,
        stop: StopRequest,
        execution: int,
        stop_epoch: int | None,
        every_epoch: bool,
        callbacks: Sequence[Any],
        on_built: Callable[[Any], None],
    ) -> None:
        super().__init__()
        self.record, self.states, self.best, self.stop = record, states, best, stop
        self.execution, self.stop_epoch, self.every_epoch = execution, stop_epoch, every_epoch
        self.tracked = [Tracked(callback) for callback in callbacks]
        self.on_built = on_built
        self.resumed = False  #: whether the model has its saved state, or never had one
        self.saved_epoch = -1
        self._checked = False

    def restore(self, model: Any) -> None:
        """Gives the model the state of its execution, if there is one. To be called once the model is built."""
        if not self.resumed:
            if self.states.meta(self.execution) is not None:
                self.record.warnings += state.load(model, self.states, self.execution)
                state.restore_random(self.states, self.execution)
            self.resumed = True

    def on_train_begin(self, logs: Any = None) -> None:
        if self.resumed or self.model.built:
            self._built()
        # The others' on_train_begin has just reset them.
        for tracked in self.tracked:
            tracked.rebase()
        if self.states.meta(self.execution) is not None:
            self.record.warnings += state.restore_callbacks(self.tracked, self.states, self.execution)

    def _built(self) -> None:
        self.on_built(self.model)
        self.restore(self.model)
        self._checked = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self._checked:
            # TensorFlow builds some models only now, with the first batch, which the saved state undoes.
            self._built()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        metrics = {name: number(value) for name, value in (logs or {}).items()}
        trained = self.record.add(metrics, self.execution)
        self.best.offer(self.model, trained, self.execution, metrics)
        stopping = bool(getattr(self.model, "stop_training", False))
        last = stopping or (self.stop_epoch is not None and trained >= self.stop_epoch)
        if last or self.every_epoch or self.stop.asked:
            # Before on_train_end: EarlyStopping gives the model other weights there.
            self.save(self.model, done=stopping)
        if self.stop.asked and not last:
            raise Stopped

    def save(self, model: Any, *, done: bool) -> None:
        """Keeps the training's state as it is now; `done`: it has ended itself and is not to be carried on."""
        epoch = self.record.reported[self.execution]
        self.record.sync()
        self.saved_epoch = epoch
        if model is None or not model.built:
            return  # Nothing was trained in it: there is no state to go on from.
        self.best.sync()
        state.save(model, self.states, epoch, self.execution, self.tracked, {"done": done})
