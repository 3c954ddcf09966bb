"""What a job has to say: its epochs' metrics, the scores among them, and how it ended.

The same for Keras and for functions. Knows when metrics end a trial (the objective is not among
them, or not a number); refuses to know how they came about.
"""

from __future__ import annotations

import itertools
import math
import numbers
import os
import signal
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from gpusched.core.outcome import End, Failure
from gpusched.errors import FatalTypeError, FatalValueError, fatal_classes
from gpusched.objective import DEFAULT, Objective
from gpusched.storage import claim, logtimes
from gpusched.storage import metrics as file
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir
from gpusched.system.process.owner import Owner

#: Whole numbers are written as such below this.
_WHOLE = 2**63


class Stopped(BaseException):
    """The job was asked to stop, and everything it reported is in its checkpoint."""


class Enough(BaseException):
    """The job has trained the epochs it was for, and its loop wants to go on."""


class Ending(BaseException):
    """The job is over. Not an Exception: no `except Exception` of user code shall keep it from ending."""

    def __init__(self, end: End, kind: str, message: str, *, retry: bool = True, classes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.end = end
        self.failure = Failure(kind=kind, message=message, classes=list(classes))
        self.retry = retry


class _Forks:
    """In a process that user code forks, SIGTERM ends it, as multiprocessing expects.

    It is held back meanwhile: one that came between the fork and the change of its handler would be lost.
    """

    def __init__(self) -> None:
        self.requests: weakref.WeakSet[StopRequest] = weakref.WeakSet()
        self._masks = threading.local()
        os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._after_in_child)

    def _before(self) -> None:
        self._masks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def _after(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.mask)

    def _after_in_child(self) -> None:
        for request in list(self.requests):
            request.leave()
        self._after()


_forks = _Forks()


class StopRequest:
    """Whether this process was asked to stop (SIGTERM). SIGINT is ignored: Ctrl-C is the scheduler's to hear."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}
        _forks.requests.add(self)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                signal.SIGTERM: signal.signal(signal.SIGTERM, self._hear),
                signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
            }
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Hears no more."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)


def number(value: Any) -> float | int | None:
    """A metric's value as a plain number, also of NumPy's and the frameworks' scalars; None where it is none.

    A whole number that JSON's readers have no room for is a float; one beyond all floats is infinite.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Integral):
        whole = int(value)
        return whole if abs(whole) < _WHOLE else _float(whole)
    try:
        if getattr(value, "shape", ()) not in ((), (1,)):
            return None
        return _float(value)
    except (TypeError, ValueError):
        return None


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


class Record:
    """The metrics of one trial, all executions, as one job adds to them.

    `patience` is the number of epochs after which an objective that was never reported cannot be expected any
    more; None while a result may still bring it after the last epoch.
    """

    def __init__(self, spec: JobSpec, objectives: Sequence[Objective], executions: int = 1) -> None:
        self.spec = spec
        self.objectives = list(objectives)
        self.executions = executions
        self.patience: int | None = 1
        self.by_fit = False  #: whether the metrics are those that Keras's fit reports
        self.warnings: list[str] = []
        folder = RunDir(Path(spec.run)).trial(spec.trial)
        self.path, self._log = folder.metrics, folder.log
        self.reported = [0] * executions  #: epochs of each execution
        self.began = [0] * executions  #: where each execution began in this attempt
        self.finished = [False] * executions  #: trained as far as this job wants it, or as it ever will
        self._since = time.monotonic()
        self.owner = Owner()

    def there(self, execution: int) -> int:
        """Epochs of this execution that the file has from the first one on, without a gap."""
        epochs = {line["epoch"] for line in read_metrics(self.path) if line.get("execution", 0) == execution}
        return next(epoch for epoch in itertools.count() if epoch + 1 not in epochs)

    def begin(self, execution: int, epoch: int) -> None:
        """This execution goes on after so many epochs; what an earlier attempt said of later ones is dropped."""
        self.owner.demand("train")
        claim.check()
        file.truncate_after(self.path, epoch, execution if self.executions > 1 else None)
        self.reported[execution] = self.began[execution] = epoch
        logtimes.note(self._log)
        self._since = time.monotonic()

    def add(self, metrics: Mapping[str, Any], execution: int = 0) -> int:
        """Writes down the metrics of the next epoch; returns which it was, counting from 1.

        Raises Ending where they say that the trial, or the search, cannot go on; RuntimeError in a process that the
        trial has forked.
        """
        self.owner.demand("report")
        now = time.monotonic()
        epoch = self.reported[execution] + 1
        line: dict[str, Any] = {"epoch": epoch}
        if self.executions > 1:
            line["execution"] = execution
        # NumPy's and the frameworks' numbers have no form in JSON.
        line |= {name: number(value) for name, value in metrics.items() if name not in file.RESERVED}
        line["seconds"] = round(now - self._since, 4)
        claim.check()
        file.append(self.path, line, self.spec.attempt)
        logtimes.note(self._log)
        self._since = now
        self.reported[execution] = epoch
        for objective in self.objectives:
            self._check(objective, metrics, epoch, execution)
        return epoch

    def _check(self, objective: Objective, metrics: Mapping[str, Any], epoch: int, execution: int) -> None:
        if objective.name not in metrics:
            if self.patience is None or epoch - self.began[execution] < self.patience:
                return
            if any(objective.name in line for line in read_metrics(self.path)):
                if self.patience > 1:
                    return
                raise Ending(
                    End.FAILED, "nan", f"objective {objective.name!r}: not reported at epoch {epoch}", retry=False
                )
            raise self.absent(objective, metrics)
        value = number(metrics[objective.name])
        if value is None or not math.isfinite(value):
            shown = "None" if value is None else str(value)
            raise Ending(End.FAILED, "nan", f"objective {objective.name!r} is {shown} at epoch {epoch}", retry=False)

    def absent(self, objective: Objective, metrics: Mapping[str, Any]) -> Ending:
        """The end that an objective deserves which nobody reports."""
        if objective.name == DEFAULT:
            return Ending(
                End.FATAL,
                "objective",
                "no objective is given: return it as a single number, or name one, like objective='val_loss'",
                retry=False,
                classes=fatal_classes(FatalTypeError()),
            )
        from gpusched.trial.tuning.foreseen import absent

        there = [name for name in metrics if name not in file.RESERVED]
        hint = ""
        validated = any(name.startswith("val_") for name in metrics)
        if self.by_fit and objective.name.startswith("val_") and not validated:
            hint = "; give fit validation_data or validation_split"
        return Ending(
            End.FATAL,
            "objective",
            absent(objective.name, there, hint),
            retry=False,
            classes=fatal_classes(FatalValueError()),
        )

    @property
    def epochs(self) -> int:
        """Epochs of the trial: of the longest execution once all have ended, else those that all have reported."""
        return max(self.reported) if all(self.finished) else min(self.reported)

    def lacking(self, execution: int = 0) -> list[Objective]:
        """Objectives that no epoch of this execution has in its metrics."""
        mine = [line for line in read_metrics(self.path) if line.get("execution", 0) == execution]
        return [each for each in self.objectives if not any(each.name in line for line in mine)]

    def amend(self, metrics: Mapping[str, Any], execution: int = 0) -> None:
        """Adds to the newest epoch what became known only after the training."""
        self.owner.demand("report")
        plain = {name: number(value) for name, value in metrics.items() if name not in file.RESERVED}
        claim.check()
        newest = file.amend(self.path, execution, plain)
        for objective in self.objectives:
            if objective.name not in newest:
                raise self.absent(objective, newest)
            self._check(objective, newest, newest["epoch"], execution)

    def sync(self) -> None:
        file.sync(self.path)

    def scores(self) -> dict[str, list[float | None]]:
        """By objective, the score after each epoch of the job, as far as every execution has come.

        Of several executions it is the mean of their best so far. Epochs beyond the job's last (a training that
        decides its own length) count into the last: it is the best of them that is the trial's score.
        """
        lines = read_metrics(self.path)
        last = min(self.epochs, self.spec.stop_epoch)
        return {each.name: self._scores_of(each, lines, last) for each in self.objectives}

    def _scores_of(self, objective: Objective, lines: list[dict[str, Any]], last: int) -> list[float | None]:
        values: list[dict[int, float | None]] = [{} for _ in range(self.executions)]
        for line in lines:
            execution, epoch = line.get("execution", 0), min(line["epoch"], self.spec.stop_epoch)
            if execution < self.executions:
                value = objective.of(line)
                known = values[execution].get(epoch)
                values[execution][epoch] = objective.best([known, value])
        epochs = range(self.spec.start_epoch + 1, last + 1)
        if self.executions == 1:
            return [values[0].get(epoch) for epoch in epochs]
        return [_mean([objective.best(by.get(e) for e in range(1, epoch + 1)) for by in values]) for epoch in epochs]


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None
