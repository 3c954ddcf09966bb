"""The two ways into a search: a script that the launcher executes, or a tuner that a caller holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from gpusched.core.commands import Finish
from gpusched.errors import GpuschedError, UsageError
from gpusched.launcher.protocol import Load
from gpusched.runtime.launch_source import LaunchSource, launch_source
from gpusched.runtime.session import Session
from gpusched.runtime.verdict import judge
from gpusched.runtime.view import View
from gpusched.system.origin import Origin, working_directory
from gpusched.system.session import script as own_script
from gpusched.trial import searching
from gpusched.trial.task import Task


def run_script(script: Path, options: Mapping[str, Any], *, view: View) -> int:
    """Runs the search of a script; returns the command's exit code.

    `options` are those of the command line that were given; "argv" among them are the script's own.

    Raises UsageError where the search cannot be begun, GpuschedError where it cannot go on.
    """
    if not script.is_file():
        raise UsageError(f"{script}: there is no such script")
    own = dict(options)
    origin = Origin(folder=working_directory())
    source = Load(script=str(script.resolve()), argv=own.pop("argv", []), origin=origin)
    session = Session(source, own, view)
    finish = _run(session)
    if session.rest is not None and finish.code == 0:
        again = shlex.join(["python", os.path.relpath(script), *source.argv])
        view.message(
            f"the lines after search() were not run (line {session.rest} and what follows); "
            f"`{again}` runs them with the results of this search"
        )
    return finish.code


async def search_async(task: Task, *, view: View) -> None:
    """Runs a caller's search in its event loop.

    Raises UsageError for what cannot be carried to the trials, SearchFailed where failures ended the search, and the
    FatalError that a trial raised.
    """
    with launch_source(task) as source, searching.running():
        session = _session(task, source, view)
        try:
            finish = await session.run()
        finally:
            session.over()
        _judge(finish, session)


def search(task: Task, *, view: View) -> None:
    """The same for a caller without a loop; where one is running already (a notebook) it works beside it."""
    with launch_source(task) as source, searching.running():
        session = _session(task, source, view)
        _judge(_in_thread(session) if _loop_runs() else _run(session), session)


def _session(task: Task, source: LaunchSource, view: View) -> Session:
    guide = getattr(task.tuner, "guide", None)
    return Session(
        source.load, {}, view, start=source.start, notice=source.notice, guide=guide, script=_same_by_command()
    )


def _same_by_command() -> str | None:
    """The script of this process, where `gpusched run` on it does the search that it is at."""
    found = own_script()
    again = found is not None and searching.called() == 1 and Origin.here().module is None
    return str(found) if again else None


def _judge(finish: Finish, session: Session) -> None:
    if session.guiding is not None and session.guiding.error is not None:
        raise session.guiding.error
    judge(finish, session.search)


def _run(session: Session) -> Finish:
    try:
        return asyncio.run(session.run())
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise GpuschedError(
            "no thread can be started: as many processes as may be are running (ulimit -u, or the container's limit); "
            "end some and run the same command again"
        ) from None
    finally:
        session.over()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(session: Session) -> Finish:
    """A loop of our own in a thread, since a running one cannot be waited for; Ctrl-C is passed on to it."""
    ended: list[Finish] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            ended.append(_run(session))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="gpusched", daemon=True)
    thread.start()
    with _passing_on(session):
        thread.join()
    if failed:
        raise failed[0]
    return ended[0]


@contextlib.contextmanager
def _passing_on(session: Session) -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard in the main thread, and meant for the session in another.

    By handlers of our own: those of a running loop cancel its task, which cannot be while this thread waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    times = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        session.heard()
        if times > 3:  # The session is stuck: a notebook gets its cell back.
            raise KeyboardInterrupt

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
