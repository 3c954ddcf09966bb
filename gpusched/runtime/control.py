"""The socket in the run directory through which people act on a running search.

One JSON object a line each way; only the directory's owner can open it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from gpusched.core.events import PauseAsked, ResumeAsked, StopAsked, TrialStopAsked
from gpusched.core.search import Phase
from gpusched.core.trial import FINAL
from gpusched.errors import GpuschedError, UsageError
from gpusched.launcher.sockets import listen
from gpusched.storage.rundir import RunDir

if TYPE_CHECKING:
    from gpusched.runtime.scheduler import Scheduler


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks of a running search."""

    do: str
    trials: list[int] = []
    now: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    ok: bool
    message: str = ""
    error: str = ""


@contextlib.asynccontextmanager
async def serve_control(run: RunDir, scheduler: Scheduler) -> AsyncIterator[None]:
    """Answers orders while it lasts."""
    sock = listen(run.control)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(msgspec.json.encode(answer(line, scheduler)) + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(talk, sock=sock)
    try:
        yield
    finally:
        server.close()
        run.control.unlink(missing_ok=True)


def answer(line: bytes, scheduler: Scheduler) -> Answer:
    """Does what is asked, or says why not."""
    try:
        order = msgspec.json.decode(line, type=Order)
        return Answer(ok=True, message=_obey(order, scheduler))
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
                    raise UsageError(f"trial {trial}: it is {search.trials[trial].state} already")
            for trial in order.trials:
                scheduler.post(TrialStopAsked(at=0, trial=trial))
            return f"stopping trial {', '.join(map(str, order.trials))}"
        case "pause":
            if search.phase is Phase.STOPPING:
                raise UsageError("pause: the search is stopping already")
            scheduler.post(PauseAsked(at=0, now=order.now))
            return "pausing: the devices are free at once" if order.now else "pausing at the end of the running epochs"
        case "resume":
            if search.phase is not Phase.PAUSED:
                raise UsageError(f"resume: the search is not paused, it is {search.phase}")
            scheduler.post(ResumeAsked(at=0))
            return "going on"
        case _:
            raise UsageError(f"{order.do!r}: a running search knows stop, stop_trials, pause and resume")
