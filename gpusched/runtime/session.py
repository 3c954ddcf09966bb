"""One session, from the user's code to its exit code: load, look, begin or carry on, run, leave nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gpusched.core.commands import Finish
from gpusched.core.events import AnyEvent
from gpusched.devices import Slot, inventory, place
from gpusched.engines.local import LocalEngine
from gpusched.errors import GpuschedError, UsageError
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Begin, Load
from gpusched.runtime import resume
from gpusched.runtime.control import serve_control
from gpusched.runtime.reader import Run
from gpusched.runtime.scheduler import Scheduler
from gpusched.runtime.signals import heed_signals
from gpusched.runtime.view import View
from gpusched.storage.journal import Journal
from gpusched.storage.lock import RunLock, holder
from gpusched.storage.rundir import RunDir, remember
from gpusched.trial.settings import Settings

#: Options of the command line that are not the tuner's.
SHELL_OPTIONS = {"run", "fresh", "launch", "busy"}


class Session:
    """One session of work on the search that `source` describes; `options` beat it."""

    def __init__(self, source: Load, options: Mapping[str, Any], view: View) -> None:
        asked = {name: value for name, value in options.items() if name not in SHELL_OPTIONS}
        self._source = msgspec.structs.replace(source, options=asked, mode=options.get("launch") or "auto")
        self._options, self._view = options, view
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduler: Scheduler | None = None

    def post(self, event: AnyEvent) -> None:
        """Something has happened, told from another thread. Nothing before the search has begun."""
        if self._loop is not None and self._scheduler is not None:
            self._loop.call_soon_threadsafe(self._scheduler.post, event)

    async def run(self) -> Finish:
        """To the session's end. No process is left after it.

        Raises UsageError where the search cannot be begun, with nothing of any run touched, and
        GpuschedError where it cannot go on; it can be carried on when the cause is mended.
        """
        self._loop = asyncio.get_running_loop()
        try:
            return await self._from_launcher()
        except ExceptionGroup as group:
            for error in group.exceptions:
                if isinstance(error, GpuschedError):
                    raise error from None
            raise

    async def _from_launcher(self) -> Finish:
        launcher = await LauncherClient.start(self._source)
        lock = None
        try:
            looking = asyncio.create_task(asyncio.to_thread(inventory))
            settings = msgspec.convert((await launcher.loaded()).settings, Settings)
            if settings.engine != "local":
                raise UsageError(f"engine: {settings.engine!r} is not there yet; use engine='local'")
            machine = await looking
            placement = place(machine, settings.gpus, settings.per_gpu, settings.gpus_per_trial, settings.cpu_slots)
            run = claim(settings, self._options)
            lock = RunLock(run.lock)
            self._view.started(run)
            remember(run)
            for note in (*machine.notes, *placement.notes):
                self._view.message(note)
            await launcher.send(Begin(run=str(run.path)))
            ready = await launcher.ready()
            if ready.notice:
                self._view.message(ready.notice)
            space = (await launcher.discover()).space
            if run.exists():
                for warning in resume.carry_on(run, settings, space):
                    self._view.message(warning)
            else:
                resume.begin(run, settings, space)
            return await self._search(run, launcher, settings, placement.slots)
        finally:
            await launcher.close()
            if lock is not None:
                lock.release()

    async def _search(
        self, run_dir: RunDir, launcher: LauncherClient, settings: Settings, slots: Sequence[Slot]
    ) -> Finish:
        journal = Journal(run_dir.journal)
        if journal.cut:
            self._view.message(
                f"{journal.path}: a crash tore its last line, which is dropped: that event is found anew"
            )
        run = await asyncio.to_thread(Run, run_dir)
        scheduler = self._scheduler = Scheduler(
            run,
            journal,
            self._view,
            max_trials=settings.max_trials,
            max_time=settings.max_time,
            keep=settings.keep,
            checkpoint_every=settings.checkpoint_every,
        )
        engine = LocalEngine(run_dir, launcher, scheduler.post, lambda: self._another(run_dir))
        try:
            with heed_signals(scheduler, self._view):
                async with asyncio.TaskGroup() as tasks, serve_control(run_dir, scheduler):
                    view = tasks.create_task(self._view.show(run), name="view")
                    try:
                        return await scheduler.work(engine, slots)
                    finally:
                        view.cancel()
        finally:
            await engine.close()
            journal.close()

    async def _another(self, run: RunDir) -> LauncherClient:
        """A launcher in place of one that died."""
        launcher = await LauncherClient.start(self._source)
        await launcher.loaded()
        await launcher.send(Begin(run=str(run.path)))
        await launcher.ready()
        return launcher


def claim(settings: Settings, options: Mapping[str, Any]) -> RunDir:
    """The run directory, made if need be. Raises UsageError where it is another's or cannot be written."""
    named = options.get("run")
    path = Path(named) if named else Path(settings.directory) / settings.project_name
    run = RunDir(Path(os.path.abspath(path)))
    try:
        if run.exists() and (options.get("fresh") or settings.overwrite):
            pid = holder(run.lock)
            if pid is not None:
                raise UsageError(f"{run.path}: process {pid} works on this run; stop it before you start anew")
            run.move_aside()
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{run.path}: cannot be written ({error.strerror}); choose another --run") from None
    return run
