"""The socket in the run directory through which people act on a running search.

One JSON object a line each way; only the directory's owner can open it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from gpusched.core.events import (
    ConfigurationAdded,
    MaxTimeChanged,
    PauseAsked,
    ResumeAsked,
    StopAsked,
    TrialRetryAsked,
    TrialsGivenBack,
    TrialStopAsked,
)
from gpusched.core.policy import Phase
from gpusched.core.trial import FINAL, TrialState, standing
from gpusched.errors import GpuschedError, UsageError
from gpusched.oracles.custom import Custom
from gpusched.runtime.startup.wishes import Wishes, may_retry
from gpusched.storage import room
from gpusched.storage.rundir import RunDir
from gpusched.system.frames import changed
from gpusched.system.sockets import MOST_BYTES, listen

if TYPE_CHECKING:
    from gpusched.runtime.scheduler import Scheduler


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks of a running search."""

    do: str
    trials: list[int] = []
    now: bool = False
    keep: bool = False  #: of trials that are stopped: their scores so far count
    per_gpu: int | None = None
    gpus: str | list[str] | None = None
    max_time: float | None = None  #: seconds of running time over all sessions
    tried: list[str] = []  #: configurations, as `lr=0.01,units=64`


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the search says to it."""

    ok: bool
    message: str = ""
    error: str = ""
    phase: str = ""  #: core.search.Phase
    pid: int | None = None  #: of the scheduler
    at: float | None = None  #: seconds the search has run, over all its sessions


@contextlib.asynccontextmanager
async def serve_control(run: RunDir, scheduler: Scheduler) -> AsyncIterator[None]:
    """Answers orders while it lasts. Raises GpuschedError where nothing can be made to listen at."""
    try:
        sock = listen(run.control)
    except OSError as error:
        where = f"{run.control}: cannot be made ({error.strerror})"
        raise GpuschedError(f"{where}; {room.advice(error)} and run the same command again") from None

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while reply := await _reply(reader, scheduler):
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(talk, sock=sock, limit=MOST_BYTES)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(OSError):  # A disk that takes nothing any more keeps it: the next session replaces it.
            run.control.unlink(missing_ok=True)


async def _reply(reader: asyncio.StreamReader, scheduler: Scheduler) -> Answer | None:
    """To the next order; None where no more come."""
    try:
        line = await reader.readline()
    except ValueError:  # Longer than the stream's limit.
        return Answer(ok=False, error=f"an order of more than {MOST_BYTES >> 20} MiB is none")
    return answer(line, scheduler) if line else None


def answer(line: bytes, scheduler: Scheduler) -> Answer:
    """Does what is asked, or says why not."""
    try:
        order = msgspec.json.decode(line, type=Order)
        message = _obey(order, scheduler)
        return Answer(ok=True, message=message, phase=scheduler.search.phase.value, pid=os.getpid(), at=scheduler.now())
    except (GpuschedError, msgspec.DecodeError) as error:
        return Answer(ok=False, error=str(error))


def _obey(order: Order, scheduler: Scheduler) -> str:
    search = scheduler.search
    match order.do:
        case "stop":
            scheduler.post(StopAsked(at=0, now=order.now, reason="stopped"))
            return "ending its trials" if order.now else "stopping: running trials end with their epoch"
        case "stop_trials":
            for trial in order.trials:
                if trial not in search.trials:
                    raise UsageError(f"trial {trial}: there is no such trial yet")
                if search.trials[trial].state in FINAL:
                    raise UsageError(f"trial {trial}: it is {standing(search.trials[trial], search.oracle)} already")
            for trial in order.trials:
                scheduler.post(TrialStopAsked(at=0, trial=trial, keep=order.keep))
            named = f"stopping trial {', '.join(map(str, order.trials))}"
            return f"{named} at the end of the running epoch; the score so far counts" if order.keep else named
        case "retry":
            return _retry(order.trials, scheduler)
        case "pause":
            if search.phase is Phase.STOPPING:
                raise UsageError("pause: the search is stopping already")
            scheduler.post(PauseAsked(at=0, now=order.now))
            return "pausing: the devices are free at once" if order.now else "pausing at the end of the running epochs"
        case "resume":
            if search.phase is not Phase.PAUSED:
                raise UsageError(f"resume: the search is not paused, it is {search.phase}")
            scheduler.post(ResumeAsked(at=0))
            return "resumed"
        case "set":
            return _set(order, scheduler)
        case "try":
            return _try(order.tried, scheduler)
        case "status":
            return f"{search.phase}, {len(search.running)} running"
        case _:
            known = "stop, stop_trials, retry, try, pause, resume, set and status"
            raise UsageError(f"{order.do!r}: a running search knows {known}")


#: When trials train that wait for a slot.
_WHEN = {Phase.STOPPING: "when the search is continued", Phase.PAUSED: "when the search is resumed"}


def _retry(trials: list[int], scheduler: Scheduler) -> str:
    """Running trials begin again, failed ones are given back to their rungs; what is said to that."""
    search = scheduler.search
    for trial in trials:
        may_retry(trial, search)
    running = [trial for trial in trials if search.trials[trial].state is TrialState.RUNNING]
    lost = [trial for trial in trials if trial not in running]
    if lost and (script := _edited(scheduler)):
        raise UsageError(
            f"retry: {script} has been edited since this search loaded it, and its trials train with it as it was; "
            "stop the search (gpusched stop), then gpusched retry continues it with the new one"
        )
    for trial in running:
        scheduler.post(TrialRetryAsked(at=0, trial=trial))
    if lost:
        scheduler.post(TrialsGivenBack(at=0, trials=lost))
    told = [f"trial {trial} begins again from its newest checkpoint" for trial in running]
    when = _WHEN.get(search.phase, "as soon as a slot is free")
    told += [f"trial {', '.join(map(str, lost))}: trained again {when}"] if lost else []
    return "; ".join(told)


def _edited(scheduler: Scheduler) -> str | None:
    """The script's name where it has been edited since this search has loaded it."""
    script, was = scheduler.run.record.script, scheduler.script_changed
    now = changed(script)
    return os.path.basename(script) if script is not None and None not in (was, now) and now != was else None


def _try(texts: list[str], scheduler: Scheduler) -> str:
    """Configurations of a person's own are tried next; what is said to that."""
    search = scheduler.search
    if search.phase is Phase.STOPPING:
        raise UsageError("the search is stopping: give --try to the `gpusched run` that continues it")
    for values in Wishes(tried=texts).configurations(search.oracle.space.hyperparameters):
        if isinstance(search.oracle, Custom):
            search.oracle.add(values)  # It says why not.
        scheduler.post(ConfigurationAdded(at=0, values=values))
    return f"tried next: {'; '.join(texts)}"


def _set(order: Order, scheduler: Scheduler) -> str:
    told = []
    if order.per_gpu is None and order.gpus is None and order.max_time is None:
        raise UsageError("set: nothing to change; give per_gpu, gpus or max_time")
    if order.max_time is not None and not 0 < order.max_time < math.inf:
        raise UsageError(f"max_time: {order.max_time!r} is not possible; give a positive number of seconds")
    if order.gpus is not None:
        named = order.gpus if isinstance(order.gpus, str) else ", ".join(order.gpus)
        told.append(f"GPUs {named}: {scheduler.change_gpus(order.gpus)} slots")
    if order.per_gpu is not None:
        if not scheduler.on_gpus:
            raise UsageError(
                "per_gpu: no GPU is in use here; --cpu-slots of the next `gpusched run` sets the CPU's slots"
            )
        told.append(f"{order.per_gpu} trials per GPU: {scheduler.change_cap(order.per_gpu)} slots")
    if order.max_time is not None:
        scheduler.post(MaxTimeChanged(at=0, max_time=order.max_time))
        left = max(0.0, order.max_time - scheduler.search.worked(scheduler.now()))
        told.append(f"max_time is {order.max_time:g} s, {left:.0f} s of it left")
    return "; ".join(told)
