"""How an attempt at a job ended, from what its process left in its folder and what its launcher saw."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from gpusched.core.events import JobEnded
from gpusched.core.outcome import End, Failure
from gpusched.launcher.children import NO_ROOM, SUPERSEDED
from gpusched.launcher.protocol import Ended
from gpusched.printable import clean, plain_lines
from gpusched.storage import room
from gpusched.storage.metrics import lines_of
from gpusched.storage.reading import Unreadable, read, read_content
from gpusched.storage.records import JobSpec, Outcome
from gpusched.storage.rundir import RunDir

#: Signals that come from outside a program; any other is its own fault.
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT, -signal.SIGQUIT}


def conclusion(
    run: RunDir, spec: JobSpec, ended: Ended | None, *, interrupted: bool, short_of_memory: Callable[[], bool]
) -> JobEnded:
    """The end of an attempt. `ended` is None where no launcher saw it; at is 0: the scheduler stamps it.

    short_of_memory() tells of a process that was killed whether the kernel did it for want of memory. What cannot be
    read costs the attempt, which is made again from its checkpoint.
    """
    folder = run.trial(spec.trial)
    usage = ended.usage if ended is not None else None
    outcome = read(folder.outcome, Outcome)
    if isinstance(outcome, Outcome) and (outcome.attempt, outcome.start) == (spec.attempt, spec.start):
        end, failure = outcome.end, outcome.failure
        if end is End.FATAL and failure is not None and failure.kind == room.DISK:
            end, failure = _unwritten(spec, failure, End.FAILED)
        return JobEnded(
            at=0,
            trial=spec.trial,
            attempt=spec.attempt,
            end=end,
            epochs=outcome.epochs,
            scores=outcome.scores,
            stopped_early=outcome.stopped_early,
            failure=None if failure is None else _printable(failure),
            retry=outcome.retry,
            usage=usage,
            late=outcome.late,
            values=outcome.values if outcome.late else {},
            warnings=[clean(warning) for warning in outcome.warnings],
            lines=outcome.lines,
        )
    content = read_content(folder.metrics)
    if isinstance(content, Unreadable):
        epochs, count = spec.start_epoch, None
    else:
        lines = lines_of(content or b"").epochs
        epochs, count = max((line["epoch"] for line in lines), default=0), len(lines)
    unreadable = next((found for found in (outcome, content) if isinstance(found, Unreadable)), None)
    if unreadable is not None and not interrupted and (ended is None or (ended.status == 0 and ended.error is None)):
        end, failure = _unread(unreadable)
    else:
        end, failure = _unsaid(spec, ended, interrupted, short_of_memory)
    return JobEnded(
        at=0,
        trial=spec.trial,
        attempt=spec.attempt,
        end=end,
        epochs=epochs,
        failure=failure,
        usage=usage,
        lines=count,
    )


def _printable(failure: Failure) -> Failure:
    """What a trial says of its end goes into the journal, and from there to every terminal and page."""
    return msgspec.structs.replace(
        failure,
        kind=clean(failure.kind),
        message=clean(failure.message),
        traceback=plain_lines(failure.traceback),
        where=clean(failure.where),
    )


def _unwritten(spec: JobSpec, failure: Failure, otherwise: End) -> tuple[End, Failure]:
    """A trial could not write something: the end of the search where the run directory takes nothing at all."""
    why = room.refusal(Path(spec.run))
    if why is None:
        return otherwise, failure
    what = f"{spec.run}: cannot be written ({why.strerror}); {room.advice(why)} and run the search again"
    return End.FATAL, Failure(kind=room.DISK, message=f"{failure.message}; {what}")


def refused(run: RunDir, spec: JobSpec) -> bool:
    """Whether the system refuses to read what the attempt left: a share that is away for a moment will be back."""
    folder = run.trial(spec.trial)
    found = read_content(folder.outcome)
    if found is None:
        found = read_content(folder.metrics)
    return isinstance(found, Unreadable) and found.refused


def not_started(spec: JobSpec, why: str) -> JobEnded:
    """No process could be started for it, and another attempt would fare no better."""
    failure = Failure(kind="launch", message=why)
    return JobEnded(at=0, trial=spec.trial, attempt=spec.attempt, end=End.FATAL, epochs=0, failure=failure)


def _unread(found: Unreadable) -> tuple[End, Failure | None]:
    return End.KILLED, Failure(kind="unreadable", message=found.reason)


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
        failure = Failure(kind=room.DISK, message="its files could not be written; its log says why")
        return _unwritten(spec, failure, End.KILLED)
    if interrupted:
        return End.INTERRUPTED, None
    if ended.status == SUPERSEDED:
        message = "another process took its trial over, or its folder was removed or replaced"
        return End.KILLED, Failure(kind="superseded", message=message)
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
