"""How an attempt at a job ended, from what its process left in its folder and what its launcher saw."""

from __future__ import annotations

import signal
from collections.abc import Callable

from gpusched.core.events import JobEnded
from gpusched.core.outcome import End, Failure
from gpusched.errors import UsageError
from gpusched.launcher.children import NO_ROOM
from gpusched.launcher.protocol import Ended
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import JobSpec, Outcome
from gpusched.storage.rundir import RunDir, read_record

#: Signals that come from outside a program; any other is its own fault.
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT, -signal.SIGQUIT}


def conclusion(
    run: RunDir, spec: JobSpec, ended: Ended | None, *, interrupted: bool, short_of_memory: Callable[[], bool]
) -> JobEnded:
    """The end of an attempt. `ended` is None where no launcher saw it; at is 0: the scheduler stamps it.

    short_of_memory() tells of a process that was killed whether the kernel did it for want of memory.
    """
    folder = run.trial(spec.trial)
    usage = ended.usage if ended is not None else None
    try:
        outcome = read_record(folder.outcome, Outcome)
    except UsageError:
        outcome = None  # Damaged from outside: it is replaced by that of the next attempt.
    if outcome is not None and outcome.attempt == spec.attempt:
        return JobEnded(
            at=0,
            trial=spec.trial,
            attempt=spec.attempt,
            end=outcome.end,
            epochs=outcome.epochs,
            scores=outcome.scores,
            stopped_early=outcome.stopped_early,
            failure=outcome.failure,
            retry=outcome.retry,
            usage=usage,
            late=outcome.late,
            values=outcome.values if outcome.late else {},
            warnings=outcome.warnings,
        )
    epochs = max((line["epoch"] for line in read_metrics(folder.metrics)), default=0)
    end, failure = _unsaid(spec, ended, interrupted, short_of_memory)
    return JobEnded(at=0, trial=spec.trial, attempt=spec.attempt, end=end, epochs=epochs, failure=failure, usage=usage)


def not_started(spec: JobSpec, why: str) -> JobEnded:
    """No process could be started for it, and another attempt would fare no better."""
    failure = Failure(kind="launch", message=why)
    return JobEnded(at=0, trial=spec.trial, attempt=spec.attempt, end=End.FATAL, epochs=0, failure=failure)


def _unsaid(
    spec: JobSpec, ended: Ended | None, interrupted: bool, short_of_memory: Callable[[], bool]
) -> tuple[End, Failure | None]:
    """How a process ended that left no word of it."""
    if ended is None:
        return (End.INTERRUPTED if interrupted else End.KILLED), None
    if ended.error is not None:
        message = f"trial {spec.trial} could not be started ({ended.error}); mend that and run the search again"
        return End.FATAL, Failure(kind="launch", message=message)
    if ended.status == NO_ROOM:
        message = f"trial {spec.trial}: what it achieved could not be written ({spec.run}); see its log, and make room"
        return End.FATAL, Failure(kind="disk", message=message)
    if interrupted:
        return End.INTERRUPTED, None
    if ended.status == -signal.SIGKILL and short_of_memory():
        message = "the kernel ended its process for want of memory (the OOM killer)"
        return End.KILLED, Failure(kind="OOMKilled", message=message)
    if ended.status < 0:
        try:
            name = signal.Signals(-ended.status).name
        except ValueError:  # A real-time signal.
            name = f"signal {-ended.status}"
        failure = Failure(kind="signal", message=f"its process was ended by {name}")
        return (End.KILLED if ended.status in _FROM_OUTSIDE else End.FAILED), failure
    return End.FAILED, Failure(kind="exit", message=f"its process exited with code {ended.status} in mid-training")
