"""Trials whose loop is the user's own: train(hp, trial), without any framework.

Knows what `trial` promises to such a loop: where to go on, what to report, when it is asked to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpusched.hyperparameters import HyperParameters
from gpusched.storage.files import make_folder
from gpusched.storage.metrics import RESERVED
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir
from gpusched.trial.checkpoint import States
from gpusched.trial.record import Enough, Record, Stopped, StopRequest, number
from gpusched.trial.tuning.tried import Tried
from gpusched.trials import NO_TRIAL, name_of


class Trial:
    """What `train(hp, trial)` knows of its trial.

    Attributes:
        id: the trial's number.
        values: its hyperparameters by name.
        folder: a folder of its own, for whatever the loop wants to keep; made when it is asked for.
        start_epoch: epochs reported when the newest checkpoint was saved; 0 without one.
        stop_epoch: train up to here; a report beyond it ends the loop.
        execution: which of executions_per_trial this is, from 0.
    """

    def __init__(
        self, spec: JobSpec, hp: HyperParameters, record: Record, states: States, stop: StopRequest, execution: int = 0
    ) -> None:
        self.id = spec.trial
        self.stop_epoch = spec.stop_epoch
        self.start_epoch = states.epoch(execution)
        self.execution = execution
        own = RunDir(Path(spec.run)).trial(spec.trial)
        # A loop of a search that an earlier version began has its files among ours.
        self._folder: Path = own.files if spec.start else own.path
        self.hyperparameters = hp
        self._record, self._states, self._stop = record, states, stop
        #: Whether the loop has taken its chance to save since it last reported. At its start nothing is unsaved.
        self._saved = True
        #: Called before the first report counts.
        self.before_first_report: Callable[[], None] | None = None

    @property
    def folder(self) -> Path:
        return make_folder(self._folder.parent, self._folder.name)

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.hyperparameters.values)

    @property
    def trial_id(self) -> str:
        return name_of(self.id)

    def load_checkpoint(self) -> bytes | None:
        """What was saved last for this trial; None where nothing was."""
        file = self._states.file(".bin", self.execution)
        return None if file is None else file.read_bytes()

    def save_checkpoint(self, state: bytes) -> None:
        """Saves the loop's state as it is after the epochs reported so far; where it is asked to stop, it stops here.

        Raises TypeError for anything but bytes.
        """
        if not isinstance(state, bytes | bytearray | memoryview):
            raise TypeError(
                f"save_checkpoint: {type(state).__name__} is not bytes; write the state into bytes, "
                "e.g. json.dumps(state).encode(), or numpy.savez into an io.BytesIO and its getvalue()"
            )
        content = bytes(state)
        self._record.sync()  # The state is worth no more than the epochs that are known to be in it.
        epoch = self._record.reported[self.execution]
        self._states.put(epoch, {".bin": lambda path: _write(path, content)}, execution=self.execution)
        self._saved = True
        if self._stop.asked:
            raise Stopped

    def report(self, **metrics: Any) -> None:
        """Tells the metrics of the epoch that has just been trained.

        A report beyond `stop_epoch` is not recorded; it ends the loop, and the job is complete. Raises TypeError for
        a metric that is not a number.
        """
        if not metrics:
            raise TypeError("report: give at least one metric, like trial.report(val_loss=loss)")
        plain = {}
        for name, value in metrics.items():
            if name in RESERVED:
                raise TypeError(f"report: {name!r} is counted by gpusched; give the metric another name")
            plain[name] = number(value)
            if plain[name] is None and value is not None:
                raise TypeError(f"report: {name} is {type(value).__name__} ({value!r}), not a number")
        if self._record.reported[self.execution] >= self.stop_epoch:
            raise Enough
        if self.before_first_report is not None:
            check, self.before_first_report = self.before_first_report, None
            check()
        self._record.add(plain, self.execution)
        if self._stop.asked and not self._saved:
            # The loop had its chance between two reports and did not take it: it does not save, or not now.
            raise Stopped
        self._saved = False


class Probing(Trial):
    """A trial that is none: it has no epochs to train, and ends the loop where it reports."""

    def __init__(self, hp: HyperParameters, folder: Path) -> None:
        self.id = NO_TRIAL
        self.start_epoch = self.stop_epoch = self.execution = 0
        self._folder = folder
        self.hyperparameters = hp

    def load_checkpoint(self) -> bytes | None:
        return None

    def save_checkpoint(self, state: bytes) -> None:
        raise Tried

    def report(self, **metrics: Any) -> None:
        raise Tried


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
