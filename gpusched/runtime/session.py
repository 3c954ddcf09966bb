"""One session, from the user's code to its exit code: load, look, begin or carry on, run, leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gpusched.core.commands import Finish
from gpusched.core.events import StopAsked
from gpusched.core.search import Search
from gpusched.devices import Inventory, inventory
from gpusched.engines import left
from gpusched.engines.base import Engine
from gpusched.engines.local import LocalEngine
from gpusched.engines.ray.cluster import Cluster
from gpusched.engines.ray.engine import RayEngine
from gpusched.errors import GpuschedError, UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Load
from gpusched.oracles import CUSTOM
from gpusched.runtime.control import serve_control
from gpusched.runtime.ending.last import LastResort
from gpusched.runtime.guide_process import GuideProcess
from gpusched.runtime.guiding import Guide, Guiding
from gpusched.runtime.machine.caller import this_process
from gpusched.runtime.machine.driver import conversation
from gpusched.runtime.machine.hang_detection import SILENT_SECONDS, Signs
from gpusched.runtime.machine.layout import Layout
from gpusched.runtime.machine.pool import Pool
from gpusched.runtime.machine.sharing import Sharing
from gpusched.runtime.machine.watch import LOOK_SECONDS, Watch, own_gpus
from gpusched.runtime.reader import Run
from gpusched.runtime.scheduler import Scheduler
from gpusched.runtime.signals import NAMES, heed_signals, redirect
from gpusched.runtime.startup import known, learn, resume
from gpusched.runtime.startup.fix_settled import Narrowing
from gpusched.runtime.startup.place import lock_of, prepare
from gpusched.runtime.startup.wishes import Wishes
from gpusched.runtime.view import CallsHooks, Notifies, View
from gpusched.storage.journal import Journal
from gpusched.storage.rundir import RunDir
from gpusched.storage.runs.known import remember
from gpusched.system import early
from gpusched.system.tasks import supervised
from gpusched.trial.settings import Settings

log = logging.getLogger(__name__)

#: Of the machine, what this process has said: a script with several searches says it once.
_told: set[str] = set()

#: Options of the command line that are not the tuner's.
SHELL_OPTIONS = {"run", "restart", "start_method", "fix_settled", "address", "take_over"}
SHELL_OPTIONS |= {"retry", "tried", "words"}

#: How long a forked trial may be silent before it counts as hanging, for machines that are much slower or faster.
_FIRST_SIGN = "GPUSCHED_FIRST_SIGN_SECONDS"
#: How often GPUs and trials are looked at, and how long a process may be stopped or stuck in the kernel.
_LOOK, _SILENT = "GPUSCHED_LOOK_SECONDS", "GPUSCHED_SILENT_SECONDS"


class Session:
    """One session of work on the search that `source` describes; `options` beat it."""

    def __init__(
        self,
        source: Load,
        options: Mapping[str, Any],
        view: View,
        *,
        start: Callable[[Load], Awaitable[LauncherClient]] = LauncherClient.start,
        notice: str | None = None,
        guide: Callable[[Path], Guide] | None = None,
        script: str | None = None,
    ) -> None:
        asked = {name: value for name, value in options.items() if name not in SHELL_OPTIONS}
        self._source = msgspec.structs.replace(source, options=asked, mode=options.get("start_method") or "auto")
        if _FIRST_SIGN in os.environ:
            patience = positive_seconds(_FIRST_SIGN, os.environ[_FIRST_SIGN])
            self._source = msgspec.structs.replace(self._source, first_sign_seconds=patience)
        self._options, self._view = options, view
        self._start, self._notice = start, notice
        self._guide = guide  #: makes one of the caller's own oracle
        self._script = script  #: of the caller, where `gpusched run` does the same search
        self.guiding: Guiding | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[Finish] | None = None
        self._launcher: LauncherClient | None = None
        self._scheduler: Scheduler | None = None
        self._run_dir: RunDir | None = None
        self._cluster: Cluster | None = None  #: of Ray
        self.rest: int | None = None  #: the line of the script behind its search(), which is not executed
        self._early: list[str] = []  #: asked for before there was a loop
        self._last = LastResort(self._give_up, self._marks)
        self._gave_up = False
        self._asked = 0  #: how often someone asked for the end
        self._detached = False

    @property
    def search(self) -> Search | None:
        """The search as it stands; None before it began."""
        return self._scheduler.search if self._scheduler is not None else None

    # ------------------------------------------------------------------ from outside

    def stop(self, name: str = "Ctrl-C") -> None:
        """Asks for the session's end: running trials stop at the end of their epoch; the second time at once."""
        self._asked += 1
        if self._scheduler is not None:
            if self._asked == 1:
                self._view.message(
                    f"{name}: running trials stop at the end of their epoch; once more ends them at once"
                )
            self._scheduler.post(StopAsked(at=0, now=self._asked > 1))
        elif self._asked == 1 and self._work is not None:
            self._work.cancel()
        elif self._launcher is not None:
            self._launcher.kill()

    def heard(self, name: str = "Ctrl-C") -> None:
        """The same, called in a signal's handler or in another thread than the loop's."""
        self._last.heard()
        if self._loop is None:
            self._early.append(name)
            return
        with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
            self._loop.call_soon_threadsafe(self.stop, name)

    def over(self) -> None:
        """Nothing of the session runs any more in this process."""
        self._last.over()

    def _give_up(self) -> None:
        """In another thread: nobody waits for anything any more."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wait_no_more)

    def _wait_no_more(self) -> None:
        self._gave_up = True
        if self._scheduler is not None:
            self._scheduler.give_up()
        elif self._work is not None:
            self._work.cancel()

    def _marks(self) -> set[str]:
        known = left.marks(self._run_dir) if self._run_dir is not None else set()
        return known | ({self._launcher.mark} if self._launcher is not None and self._launcher.mark else set())

    def detach(self) -> None:
        """The terminal is gone: what is still said goes where a search in the background says it."""
        self._detached = True
        redirect(self._run_dir.log if self._run_dir is not None else None)

    # ------------------------------------------------------------------ the session

    async def run(self) -> Finish:
        """To the session's end. No process is left after it.

        Raises UsageError where the search cannot be begun, with nothing of any run touched, and
        GpuschedError where it cannot go on; it can be carried on when the cause is mended.
        """
        self._loop = asyncio.get_running_loop()
        self._last.begin()
        with heed_signals(self.heard, self.detach):
            # A task of its own: Ctrl-C while the script is loading ends it, and not the caller.
            self._work = asyncio.create_task(self._from_launcher(), name="session")
            for name in (*self._early, *(NAMES[number] for number in early.kept())):
                self.stop(name)
            try:
                return await self._work
            except asyncio.CancelledError:
                if not self._asked or (self._scheduler is not None and not self._gave_up):
                    raise
                return Finish(reason="interrupted", code=130)

    async def _from_launcher(self) -> Finish:
        try:
            launcher = self._launcher = await self._start(self._source)
        except OSError as error:  # No process can be started, or the one that was to do it has been killed.
            raise GpuschedError(f"the launcher does not start ({error.strerror}); run the same command again") from None
        lock = run = None
        made = False
        try:
            looking = asyncio.create_task(asyncio.to_thread(inventory))
            settings = self._asked_for(msgspec.convert((await launcher.loaded()).settings, Settings))
            self.rest = settings.script_rest
            machine = await looking
            # Now: what cannot be is said before anything of a run is touched.
            address = self._options.get("address")
            if settings.engine != "ray" and address is not None:
                raise UsageError(f"address: {address!r} is that of a Ray cluster; give --engine ray, too")
            if settings.engine == "ray":
                self._cluster = Cluster(address)
                await self._cluster.join()
            else:
                Layout(machine, settings, Sharing(settings.per_gpu), this_process()).lay()
            if isinstance(self._view, Notifies):
                self._view.notify(settings.notify)
            run = named(settings, self._options)
            restart = bool(self._options.get("restart") or settings.overwrite)
            narrowing = Narrowing(run, anew=restart) if self._options.get("fix_settled") else None
            run = run if narrowing is None else narrowing.run
            made = not run.path.exists()
            take_over = bool(self._options.get("take_over"))
            older = learn.opened(settings, run, restart=restart)
            prepared = prepare(run, restart=restart, take_over=take_over)
            lock = lock_of(run, take_over=take_over, made=made)
            self._run_dir = run
            if self._detached:
                redirect(run.log)
            ready = await launcher.begin(run)
            space = (await launcher.discover()).space
            if narrowing is not None:
                space = narrowing.space(space)
            if run.exists():
                warnings = resume.carry_on(run, settings, space)
            else:
                self._wishes(settings).configurations(HyperParameters.from_config(space).space)
                narrowed = None if narrowing is None else narrowing.record
                warnings = known.begin(run, settings, space, narrowed, restart=restart, older=older)
            # From here on a command that names no run means this one: it has a search.json.
            remember(run)
            if isinstance(self._view, CallsHooks):
                self._view.hooks(settings.hooks)
            self._view.started(run)
            notes = [] if settings.gpus == "none" else [note for note in machine.notes if note not in _told]
            _told.update(notes)
            for note in (
                *notes,
                *prepared,
                *(narrowing.lines() if narrowing is not None else ()),
                *(notice for notice in (self._notice, ready.notice) if notice),
                *warnings,
            ):
                self._view.message(note)
            return await self._search(run, launcher, settings, machine)
        finally:
            if self._cluster is not None:
                await self._cluster.close()
            await launcher.close()
            if lock is not None:
                if made and run is not None and not run.exists():
                    # Nothing was begun: what is there are the launcher's sockets.
                    shutil.rmtree(run.path, ignore_errors=True)
                lock.release()

    def _wishes(self, settings: Settings) -> Wishes:
        asked = self._options
        return Wishes(retry=asked.get("retry") or [], tried=asked.get("tried") or [], enqueued=settings.enqueued)

    def _asked_for(self, settings: Settings) -> Settings:
        """With what only the process that asks for the search knows: its script, and how it was called."""
        words = self._options.get("words")
        if words is None and settings.script is None and self._script is not None:
            return msgspec.structs.replace(
                settings, script=self._script, words=["--", *sys.argv[1:]] if sys.argv[1:] else []
            )
        return msgspec.structs.replace(settings, words=words or [])

    async def _search(
        self, run_dir: RunDir, launcher: LauncherClient, settings: Settings, machine: Inventory
    ) -> Finish:
        journal = Journal(run_dir.journal)
        engine: Engine | None = None
        try:
            if journal.cut:
                self._view.message(
                    f"{journal.path}: a crash tore its last line, which is dropped: that event is found anew"
                )
            run = await asyncio.to_thread(Run, run_dir)
            sharing = Sharing(settings.per_gpu)
            for event in run.events:
                sharing.learn(event)
            layout = await self._layout(run, settings, machine, sharing)
            scheduler = self._scheduler = Scheduler(
                run,
                journal,
                self._view,
                max_trials=settings.max_trials,
                max_time=settings.max_time,
                keep=settings.keep,
                checkpoint_every=settings.checkpoint_every,
                layout=layout,
                wishes=self._wishes(settings),
            )
            with conversation(layout) as driver:
                signs = Signs(settings.trial_timeout, seconds_from(_SILENT, SILENT_SECONDS))
                watch = Watch(scheduler, layout, driver, signs, seconds_from(_LOOK, LOOK_SECONDS))
                scheduler.noted = watch.noted
                if isinstance(layout, Pool) and self._cluster is not None:
                    await launcher.close()  # Every node has one of its own.
                    engine = RayEngine(
                        self._cluster, run_dir, watch.report, layout.places, scheduler.relay, scheduler.fail
                    )
                else:
                    engine = LocalEngine(
                        run_dir,
                        launcher,
                        watch.report,
                        lambda: self._another(run_dir),
                        scheduler.fail,
                        self._view.message,
                    )
                await watch.hear()
                if settings.algorithm == CUSTOM:
                    guide = self._guide(run_dir.path) if self._guide else GuideProcess(self._source, run_dir.path)
                    self.guiding = scheduler.guiding = Guiding(guide, scheduler.post)
                async with serve_control(run_dir, scheduler):
                    view = asyncio.create_task(self._show(run), name="view")
                    looking = supervised(watch.run(), "watching the devices", scheduler.fail)
                    try:
                        return await scheduler.work(engine)
                    finally:
                        await _end(looking, view)
                        await watch.close()
        finally:
            if self.guiding is not None:
                await self.guiding.close()
            if engine is not None:
                await engine.close()
            journal.close()

    async def _layout(self, run: Run, settings: Settings, machine: Inventory, sharing: Sharing) -> Layout:
        """The slots of this machine, or of all nodes of a cluster."""
        if self._cluster is not None:
            token = f"{run.record.created} {settings.script_digest}"
            await self._cluster.begin(run.dir.path, token, self._source)
            return Pool(self._cluster, settings)
        layout = Layout(machine, settings, sharing, this_process())
        layout.judge(machine.gpus, own_gpus(machine.gpus, run.search.running), first=True)
        return layout

    async def _show(self, run: Run) -> None:
        try:
            await self._view.show(run)
        except Exception:  # That it cannot be seen is not the search's concern.
            log.exception("the view of %s has failed; the search goes on", run.dir.path)

    async def _another(self, run: RunDir) -> LauncherClient:
        """A launcher in place of one that died."""
        launcher = await self._start(self._source)
        try:
            await launcher.loaded()
            await launcher.begin(run)
        except BaseException:
            await launcher.close()
            raise
        return launcher


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def seconds_from(name: str, otherwise: float) -> float:
    """An environment variable's, or what holds without it."""
    return positive_seconds(name, os.environ[name]) if name in os.environ else otherwise


def positive_seconds(name: str, text: str) -> float:
    """Raises UsageError where an environment variable is not a positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{name}={text!r}: give a positive number of seconds")
    return value


def named(settings: Settings, options: Mapping[str, Any]) -> RunDir:
    """The run directory that script and options name."""
    path = options.get("run") or Path(settings.folder, settings.directory, settings.project_name)
    return RunDir(Path(os.path.abspath(path)))
