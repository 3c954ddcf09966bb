"""What runs on a node: a local engine with its launcher in a scratch folder there, and the news of it.

News stay until the scheduler says that it has them: events until they are acknowledged, files by how much of each it
has. So a line that breaks, or a scheduler that is killed and started again, loses nothing and doubles nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gpusched.core.events import JobEnded, JobStarted
from gpusched.devices import inventory
from gpusched.engines import left
from gpusched.engines.local import LocalEngine
from gpusched.engines.ray.trial_archive import pack, unpack
from gpusched.errors import UsageError
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Load
from gpusched.storage.identity import boot_id
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir
from gpusched.system.process.kernel import session_of

#: How long a question for news is held open, and how often files are looked at meanwhile.
POLL_SECONDS, LOOK_SECONDS = 2.0, 0.1
#: Of a log, in one answer.
_CHUNK = 4 << 20
#: An agent whose scheduler has not asked for so long, and that runs nothing, ends.
_FORSAKEN_SECONDS = 600.0

Stamp = tuple[int, int]


class Have(msgspec.Struct, kw_only=True):
    """What the scheduler has of an attempt's files."""

    attempt: int
    log: int = 0  #: bytes of what this attempt has printed
    metrics: Stamp | None = None
    checkpoint: Stamp | None = None


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is new of one job, files before what follows from them."""

    trial: int
    attempt: int
    log_at: int = 0  #: where in the trial's log the text belongs
    log: bytes = b""
    metrics: bytes | None = None
    metrics_stamp: Stamp | None = None
    parcel: bytes | None = None
    checkpoint_stamp: Stamp | None = None
    number: int = 0  #: of the event, counted from 1; 0: none
    event: bytes = b""


@dataclass(slots=True)
class _Held:
    spec: JobSpec
    base: int  #: bytes the trial's log had before this attempt
    own: int  #: bytes of it that lie before it in this node's copy


class Agent:
    """One run's, on one node. Its methods are called by the scheduler, through Ray."""

    def __init__(self, scratch: str) -> None:
        # Ray hides the GPUs from actors that ask for none, and gives them one thread of arithmetic.
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            del os.environ["CUDA_VISIBLE_DEVICES"]
        os.environ.pop("OMP_NUM_THREADS", None)  # The scheduler's own comes with begin().
        self._run = RunDir(Path(scratch))
        self._engine: LocalEngine | None = None
        self._shared: RunDir | None = None  #: the run directory, where this node sees it
        self._token = ""
        self._load = Load()
        self._blob: bytes | None = None
        self._held: dict[int, _Held] = {}
        self._events: dict[int, JobStarted | JobEnded] = {}
        self._count = 0
        self._changed = asyncio.Event()
        self._looking = asyncio.Lock()
        self._question = 0
        self._pids: set[int] = set()  #: of trials; one that has just ended may still be seen on its GPU
        self._asked_at = time.monotonic()

    async def begin(
        self, token: str, load: bytes, blob: bytes | None, run: str, environ: dict[str, str], folder: str
    ) -> dict[str, Any]:
        """Loads the user's code, unless it is loaded. Raises UsageError with what is wrong with it.

        `run` is the run directory, empty where it is not to be looked for on this node; `environ` and `folder` are
        what the user's shell says, and where it stands.
        """
        if self._engine is None:
            self._shared = _same(run, token)
            os.environ.update(environ)
            with contextlib.suppress(OSError):  # Where this node has no such folder, paths have to be absolute.
                os.chdir(folder)
            self._token, self._blob = token, blob
            self._load = msgspec.json.decode(load, type=Load)
            await asyncio.to_thread(self._clear)
            self._engine = LocalEngine(self._run, await self._launcher(), self._report, self._launcher)
            asyncio.get_running_loop().create_task(self._mind())
        return {
            "host": socket.gethostname(),
            "boot": boot_id(),
            "token": self._token,
            "scratch": str(self._run.path),
            "shared": self._shared is not None,
            "inventory": msgspec.json.encode(await asyncio.to_thread(inventory)),
        }

    def _clear(self) -> None:
        """What an agent that was killed has left here runs for nobody. Raises UsageError where it is another user's."""
        base = self._run.path.parent
        # All may write where temporary files are: somebody may have put a folder or a link there before.
        with contextlib.suppress(FileExistsError):
            os.mkdir(base, 0o700)
        found = os.lstat(base)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise UsageError(f"{base}: is another user's, and trials' files would be his; remove it")
        os.chmod(base, 0o700)
        with contextlib.suppress(OSError):
            left.end_all(self._run)
        shutil.rmtree(self._run.path, ignore_errors=True)
        self._run.trials.mkdir(parents=True)

    async def _launcher(self) -> LauncherClient:
        load, fd = self._load, -1
        if self._blob is not None:
            fd = os.memfd_create("gpusched")
            with os.fdopen(os.dup(fd), "wb") as file:  # One write() takes 2 GiB at most.
                file.write(self._blob)
            load = msgspec.structs.replace(load, pickled_fd=fd)
        launcher = await LauncherClient.start(load)
        try:
            await launcher.loaded()
            await launcher.begin(self._run)
        except BaseException:
            await launcher.close()
            raise
        finally:
            if fd >= 0:
                os.close(fd)
        return launcher

    def _report(self, event: JobStarted | JobEnded) -> None:
        self._count += 1
        if isinstance(event, JobStarted):
            self._pids.add(event.pid)
        self._events[self._count] = event
        self._changed.set()

    # ------------------------------------------------------------------ what the scheduler asks

    async def machine(self) -> tuple[bytes, list[int]]:
        """The inventory of this node as it is now, and which processes on its GPUs are this run's trials."""
        found = await asyncio.to_thread(inventory)
        pids = {process.pid for gpu in found.gpus for process in gpu.processes}
        return msgspec.json.encode(found), sorted(pid for pid in pids if {pid, session_of(pid)} & self._pids)

    async def launch(self, spec: bytes, base: int, parcel: bytes | None, fetch: bool) -> None:
        """Starts an attempt. `base` is what the trial's log has so far.

        `parcel` is its folder, where it is not here; fetch: it is to be had from the shared run directory.
        """
        assert self._engine is not None
        job = msgspec.json.decode(spec, type=JobSpec)
        job = msgspec.structs.replace(job, run=str(self._run.path))
        folder = self._run.make_trial(job.trial)
        if fetch and self._shared is not None:
            parcel = await asyncio.to_thread(pack, self._shared.trial(job.trial))
        if parcel is not None:
            await asyncio.to_thread(unpack, parcel, folder)
        own = folder.log.stat().st_size if folder.log.exists() else 0
        self._held[job.trial] = _Held(job, base, own)
        await self._engine.launch(job)

    async def interrupt(self, trial: int, attempt: int, now: bool) -> None:
        assert self._engine is not None
        await self._engine.interrupt(trial, attempt, now=now)

    async def acknowledge(self, trial: int, attempt: int) -> None:
        """The end of this attempt is in the journal."""
        assert self._engine is not None
        self._events = {n: e for n, e in self._events.items() if (e.trial, e.attempt) != (trial, attempt)}
        held = self._held.get(trial)
        if held is not None and held.spec.attempt == attempt:
            del self._held[trial]
        await self._engine.acknowledge(trial, attempt)

    async def attempts(self) -> list[tuple[int, int]]:
        """The attempts that run here, or whose end is not acknowledged."""
        return [(trial, held.spec.attempt) for trial, held in self._held.items()]

    async def news(self, heard: int, have: dict[int, bytes]) -> list[bytes]:
        """What is new since; the answer waits a while for something. `heard` is the number of the last event."""
        known = {trial: msgspec.json.decode(each, type=Have) for trial, each in have.items()}
        until = time.monotonic() + POLL_SECONDS
        self._question += 1
        question = self._question
        while True:
            self._asked_at = time.monotonic()
            self._changed.clear()
            async with self._looking:
                if question != self._question:
                    return []  # Its scheduler is dead: another asks by now.
                found = await asyncio.to_thread(self._collect, heard, known)
            if found or time.monotonic() > until:
                return [msgspec.msgpack.encode(each) for each in found]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)

    def _collect(self, heard: int, have: dict[int, Have]) -> list[News]:
        events = sorted((n, event) for n, event in list(self._events.items()) if n > heard)
        ending = {event.trial for _, event in events if isinstance(event, JobEnded)}
        found = [
            news
            for trial, held in list(self._held.items())
            if (news := self._files(trial, held, _of(held, have.get(trial)), ended=trial in ending)) is not None
        ]
        for number, event in events:
            content = msgspec.json.encode(event)
            found.append(News(trial=event.trial, attempt=event.attempt, number=number, event=content))
        return found

    def _files(self, trial: int, held: _Held, have: Have, *, ended: bool) -> News | None:
        folder = self._run.trial(trial)
        size = folder.log.stat().st_size if folder.log.exists() else 0
        text = b""
        if size > held.own + have.log:
            with open(folder.log, "rb") as file:
                file.seek(held.own + have.log)
                # Where it has ended, all of it: the end is told next.
                text = file.read(-1 if ended else _CHUNK)
        metrics, checkpoint = _stamp(folder.metrics), _stamp(folder.checkpoint)
        changed = checkpoint is not None and checkpoint != have.checkpoint
        parcel = pack(folder) if ended or changed else None
        if parcel is None:
            checkpoint = have.checkpoint  # Next time.
        moved = parcel is not None
        if parcel is not None and self._shared is not None:
            unpack(parcel, self._shared.trial(trial))
            parcel = None
        news = News(
            trial=trial,
            attempt=held.spec.attempt,
            log_at=held.base + have.log,
            log=text,
            metrics=folder.metrics.read_bytes() if metrics != have.metrics and metrics is not None else None,
            metrics_stamp=metrics,
            parcel=parcel,
            checkpoint_stamp=checkpoint,
        )
        return news if news.log or news.metrics is not None or moved else None

    # ------------------------------------------------------------------ its end

    async def close(self) -> None:
        """Leaves no process and no file behind."""
        if self._engine is not None:
            await self._engine.close()
        await asyncio.to_thread(shutil.rmtree, self._run.path, ignore_errors=True)

    async def _mind(self) -> None:
        """Ends an agent that nobody asks for anything any more, once nothing runs."""
        import ray

        while self._running() or time.monotonic() - self._asked_at < _FORSAKEN_SECONDS:  # noqa: ASYNC110  # by the clock
            await asyncio.sleep(_FORSAKEN_SECONDS / 10)
        await self.close()
        ray.kill(ray.get_runtime_context().current_actor)

    def _running(self) -> bool:
        ended = {event.trial for event in self._events.values() if isinstance(event, JobEnded)}
        return bool(self._held.keys() - ended)


def _of(held: _Held, have: Have | None) -> Have:
    """Nothing, where it speaks of an earlier attempt: the question was asked before this one began."""
    attempt = held.spec.attempt
    return have if have is not None and have.attempt == attempt else Have(attempt=attempt)


def _same(run: str, token: str) -> RunDir | None:
    """The run directory, if what is at this path here is what the scheduler sees: a folder that nodes share."""
    folder = RunDir(Path(run))
    with contextlib.suppress(UsageError, OSError):
        if run and folder.exists() and token.startswith(f"{folder.read_search().created} "):
            return folder
    return None


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file is written, or a file of a folder put in its place."""
    try:
        stat = path.stat()
        newest = max([stat.st_mtime_ns, *(each.stat().st_mtime_ns for each in path.iterdir())]) if path.is_dir() else 0
    except OSError:
        return None
    return max(newest, stat.st_mtime_ns), stat.st_size
