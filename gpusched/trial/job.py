"""One job, in the process that was made for it: trains a trial's epochs and says how that ended.

Everything that user code can do wrong becomes an Outcome. Environment, session, cores and log are
set before this is called; who starts the process, and what is decided about its end, is not its business.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from gpusched.core.outcome import End, Failure
from gpusched.errors import encodable, fails_one_trial, fatal_classes, name_of_class, shown, traceback_of, words_of
from gpusched.storage import claim, room
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import JobSpec, Outcome
from gpusched.storage.rundir import RunDir, write_record
from gpusched.system.frames import own_line
from gpusched.system.streams import flush, say, show
from gpusched.trial.checkpoint import States
from gpusched.trial.fitting import framework
from gpusched.trial.fitting.results import metrics_of
from gpusched.trial.function import Trial
from gpusched.trial.record import Ending, Enough, Record, Stopped, StopRequest
from gpusched.trial.settings import RESUMING
from gpusched.trial.space import TrialSpace
from gpusched.trial.task import Task
from gpusched.trial.tuning.left import Left, begin, file_of
from gpusched.trial.tuning.trial import TunerTrial

_TRACEBACK_LINES = 60
_OWN = str(Path(__file__).parents[1])
#: Said of a run_trial that reports by the oracle, which Keras Tuner warns of as well.
RETURN_METRICS = "run_trial calls oracle.update_trial(), which is deprecated; return the metrics instead"
#: Said of a loop in a search that promotes trials.
NO_STATE = (
    "train saves no state: a trial that goes on, promoted or interrupted, trains its epochs again; "
    "trial.save_checkpoint(bytes) and trial.load_checkpoint() keep them"
)


def run_job(task: Task, spec: JobSpec, *, alive: Callable[[], None]) -> Outcome:
    """Trains the job in this process, and writes outcome.json as its last act.

    `alive` is called once the framework's runtime has started, right before a loop of the user's own. Raises only
    where the outcome cannot be written.
    """
    with StopRequest() as stop:
        folder = RunDir(Path(spec.run)).make_trial(spec.trial)
        # What is brought back is what this attempt notes, whatever came with the run directory.
        file_of(folder.path, spec.attempt).unlink(missing_ok=True)
        job = Job(task, spec, stop, alive)
        outcome = job.run()
        if not job.record.owner.here:  # User code has forked, and the fork has come here too.
            flush()
            os._exit(0 if outcome.end is End.COMPLETED else 1)
        claim.check()
        job.left.write(file_of(folder.path, spec.attempt))
        flush()
        # The journal makes it last. Where a power cut comes before, the job ends again from its checkpoint.
        write_record(folder.outcome, outcome, durable=False)
    return outcome


def _from_user_code(frames: TracebackType | None) -> TracebackType | None:
    """Without our own frames that led to the user's code: its author reads this. All of them where we raised."""
    found = frames
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OWN):
        found = found.tb_next
    return found or frames


class Job:
    """What the parts of one job share."""

    def __init__(self, task: Task, spec: JobSpec, stop: StopRequest, alive: Callable[[], None]) -> None:
        asked = task.asked
        self.task, self.spec, self.stop, self.alive = task, spec, stop, alive
        self.space = TrialSpace(task, spec)
        executions = 1 if task.own_run_trial and asked.hypermodel is None else asked.executions_per_trial
        self.record = Record(spec, asked.objectives, executions)
        self.record.by_fit = task.kind != "function"
        self.states = States(RunDir(Path(spec.run)).trial(spec.trial).checkpoint)
        for execution in range(executions):
            self.states.hold_against(self.record.path, execution, self.record.there(execution))
        if self.states.damage is not None:
            self.record.warnings.append(f"{self.states.damage}; training starts anew")
        self.trial: Any = None
        self.left = Left(task.tuner)

    # ------------------------------------------------------------------ how it ended

    def run(self) -> Outcome:
        try:
            self._train()
        except claim.Superseded:
            raise
        except Stopped:
            return self._outcome(End.INTERRUPTED)
        except Ending as ending:
            say(f"gpusched: {ending.failure.message}\n")
            return self._outcome(ending.end, ending.failure, retry=ending.retry)
        except BaseException as error:
            error.__traceback__ = _from_user_code(error.__traceback__)
            show(error)
            return self._failed(error)
        return self._outcome(End.COMPLETED)

    def _failed(self, error: BaseException) -> Outcome:
        classes = fatal_classes(error)
        end, retry, kind = End.FAILED, True, name_of_class(error)
        message = words_of(error) or kind
        if isinstance(error, OSError) and error.errno in room.FULL:
            # No trial could do better, if it is the run's disk: whoever reads this finds out.
            end, kind = End.FATAL, room.DISK
            message = f"{error.strerror} ({error.filename or self.spec.run})"
        elif classes:
            end, retry = End.FATAL, False
        elif fails_one_trial(error):
            retry = False
        elif (fault := framework.fault_kind(error)) is not None:
            kind = fault
        elif isinstance(error, SystemExit):
            message = f"sys.exit({shown(error.code)}) in the trial"
        kept = traceback_of(error).splitlines()[-_TRACEBACK_LINES:]
        failure = Failure(
            kind=kind,
            message=encodable(message[:2000]),
            traceback="\n".join(kept),
            where=encodable(own_line(error)),
            classes=classes,
        )
        return self._outcome(end, failure, retry=retry)

    def _outcome(self, end: End, failure: Failure | None = None, *, retry: bool = True) -> Outcome:
        record, spec = self.record, self.spec
        epochs = record.epochs
        return Outcome(
            trial=spec.trial,
            attempt=spec.attempt,
            end=end,
            start_epoch=spec.start_epoch,
            epochs=min(epochs, spec.stop_epoch),
            scores=record.scores(),
            stopped_early=end is End.COMPLETED and epochs < spec.stop_epoch,
            failure=failure,
            retry=retry,
            late=self.space.late,
            start=spec.start,
            values=self.space.values,
            warnings=list(dict.fromkeys(record.warnings)),
            lines=len(read_metrics(record.path)),
        )

    # ------------------------------------------------------------------ the kinds of training

    def _train(self) -> None:
        match self.task.kind:
            case "function":
                self._train_function()
            case "keras":
                self._wake()
                args, kwargs = self.task.fit_arguments
                with TunerTrial(self) as self.trial:
                    self._begin()
                    self.trial.fit(*args, **kwargs)
            case _:
                with TunerTrial(self) as self.trial:
                    self._begin()
                    self._run_trial()

    def _begin(self) -> None:
        begin(self.task.tuner, self.trial)
        self.left = Left(self.task.tuner)

    def _wake(self) -> None:
        self.record.warnings += framework.wake(self.spec)
        self.alive()

    def _train_function(self) -> None:
        train = self.task.asked.train
        assert train is not None
        spec, record, states = self.spec, self.record, self.states
        for loaded in ("tensorflow", "torch"):
            if loaded in sys.modules:
                record.warnings += framework.configure(loaded, spec)
        self.alive()
        for execution in range(record.executions):
            epoch = states.epoch(execution)
            record.begin(execution, epoch)
            if epoch >= spec.stop_epoch:
                record.finished[execution] = True
                continue
            if self.stop.asked:
                raise Stopped
            framework.seed_everything(framework.seed_of(spec.seed, spec.trial, execution, epoch))
            self.trial = Trial(spec, self.space.hp, record, states, self.stop, execution)
            self.trial.before_first_report = lambda: framework.check_loaded(spec)
            try:
                result = train(self.space.hp, self.trial)
            except Enough:
                result = None
            if record.reported[execution] == epoch:
                if result is None:
                    raise Ending(
                        End.FAILED,
                        "unreported",
                        "train returned without one report; call trial.report(val_loss=...) once an epoch",
                        retry=False,
                    )
                for metrics in metrics_of(result, record.objectives, "train"):
                    record.add(metrics, execution)
            self._note_no_state(execution)
            record.finished[execution] = True

    def _note_no_state(self, execution: int) -> None:
        """Where a trial may go on later, and its loop has saved nothing to go on from."""
        asked = self.task.asked
        more = asked.max_epochs is None or self.spec.stop_epoch < asked.max_epochs
        if asked.algorithm in RESUMING and more and not self.states.epoch(execution):
            self.record.warnings.append(NO_STATE)

    def _run_trial(self) -> None:
        """Trains by the tuner's own run_trial."""
        spec, record = self.spec, self.record
        if self.task.keras:
            self._wake()
        else:
            framework.seed_everything(framework.seed_of(spec.seed, spec.trial, 0, spec.start_epoch))
            self.alive()
        args, kwargs = self.task.fit_arguments
        result = self.task.tuner.run_trial(self.trial, *args, **kwargs)
        rows = self.trial.reported()
        if rows:
            record.warnings.append(RETURN_METRICS)
        if self.trial.fitted:
            for execution in range(record.executions):
                if record.lacking(execution):
                    rows = rows or metrics_of(result, record.objectives, "run_trial")
                    record.amend(rows[-1], execution)
            return
        # All of it is one result, whichever executions the loop made: it stands for the whole job.
        record.executions, record.reported, record.began, record.finished = 1, [0], [0], [False]
        record.begin(0, spec.start_epoch)
        for metrics in rows or metrics_of(result, record.objectives, "run_trial"):
            record.add(metrics)
        record.finished[0] = True
