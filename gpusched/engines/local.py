"""Jobs on this machine: trial processes, forked by a launcher and pinned to their slots.

The launcher tells how a process ended; what it achieved stands in the files it left. So an end is
known also where the launcher is gone: the process is then watched by its identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from gpusched.core.events import JobEnded, JobStarted
from gpusched.core.outcome import End, Failure, Usage
from gpusched.engines.base import Report
from gpusched.errors import GpuschedError
from gpusched.launcher.client import LauncherClient, LauncherGone, left_behind
from gpusched.launcher.protocol import Acknowledge, Ended, Reply, Retire, Signal, Start, Started
from gpusched.storage.identity import alive, pidfd
from gpusched.storage.metrics import read_metrics
from gpusched.storage.records import Identity, JobSpec, Outcome
from gpusched.storage.rundir import RunDir, read_record

#: Starts a launcher in place of one that died.
Another: TypeAlias = Callable[[], Awaitable[LauncherClient]]

_MOST_DEATHS = 5

#: Signals that come from outside a program; any other is its own fault.
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT, -signal.SIGQUIT}


class _Process(msgspec.Struct, frozen=True, kw_only=True):
    """process.json"""

    attempt: int
    identity: Identity


@dataclass(slots=True)
class _Job:
    spec: JobSpec
    launcher: LauncherClient | None  #: None: watched by its identity
    identity: Identity | None = None
    interrupted: bool = False


class LocalEngine:
    """One run's processes on this machine."""

    def __init__(self, run: RunDir, launcher: LauncherClient, report: Report, another: Another) -> None:
        self._run, self._launcher, self._report, self._another = run, launcher, report, another
        self._jobs: dict[int, _Job] = {}
        self._old: list[LauncherClient] = []
        self._ends: dict[tuple[int, int], Ended] = {}  #: told by launchers of earlier sessions
        self._gone = False  #: the launcher has died
        self._deaths = 0  #: of launchers, since a job was last completed
        self._closing = False
        launcher.on_news = lambda news: self._news(launcher, news)

    # ------------------------------------------------------------------ what the scheduler asks

    async def launch(self, spec: JobSpec) -> None:
        if self._gone:
            await self._revive()
        job = self._jobs[spec.trial] = _Job(spec, self._launcher)
        try:
            await self._launcher.send(Start(spec=spec))
        except LauncherGone:
            self._lost(job)

    async def _revive(self) -> None:
        """Another launcher in place of one that died. Raises GpuschedError where they keep dying."""
        if self._deaths > _MOST_DEATHS:
            raise GpuschedError(
                f"the launcher died {self._deaths} times with no trial completed between; "
                f"see {self._run.launcher / 'log.txt'}, and whether memory is short"
            )
        await self._launcher.close(quit=False)
        left_behind(self._run)
        launcher = self._launcher = await self._another()
        launcher.on_news = lambda news: self._news(launcher, news)
        self._gone = False

    async def interrupt(self, trial: int, attempt: int, *, now: bool) -> None:
        job = self._jobs.get(trial)
        if job is None or job.spec.attempt != attempt:
            return
        job.interrupted = True
        if job.launcher is not None:
            with contextlib.suppress(LauncherGone):
                await job.launcher.send(Signal(trial=trial, attempt=attempt, kill=now))
        elif job.identity is not None and alive(job.identity):
            with contextlib.suppress(ProcessLookupError):
                if now:
                    os.killpg(job.identity.pid, signal.SIGKILL)
                else:
                    os.kill(job.identity.pid, signal.SIGTERM)

    async def acknowledge(self, trial: int, attempt: int) -> None:
        for launcher in (self._launcher, *self._old):
            with contextlib.suppress(LauncherGone):
                await launcher.send(Acknowledge(trial=trial, attempt=attempt))

    async def adopt(self, jobs: list[JobSpec]) -> set[int]:
        own = self._launcher.identity
        for path in left_behind(self._run):
            if own is not None and path.stem == str(own.pid):
                continue
            client = await LauncherClient.connect(path)
            if client is not None:
                client.on_news = lambda news, client=client: self._news(client, news)
                self._old.append(client)
                with contextlib.suppress(LauncherGone):
                    await client.send(Retire())
        self._read_ends()
        running = set()
        for spec in jobs:
            identity = self._identity(spec)
            job = self._jobs[spec.trial] = _Job(spec, None, identity)
            if identity is not None and self._watch(job):
                running.add(spec.trial)
                self._report(JobStarted(at=0, trial=spec.trial, attempt=spec.attempt, pid=identity.pid, adopted=True))
            else:
                self._conclude(job, self._ends.get((spec.trial, spec.attempt)))
        return running

    async def close(self) -> None:
        self._closing = True
        for job in list(self._jobs.values()):
            await self.interrupt(job.spec.trial, job.spec.attempt, now=True)
        for launcher in (self._launcher, *self._old):
            await launcher.close()
        for file in self._run.launcher.glob("ends.jsonl"):
            file.unlink()

    # ------------------------------------------------------------------ what launchers tell

    def _news(self, launcher: LauncherClient, news: Reply | None) -> None:
        if news is None:
            if launcher is self._launcher and not self._closing:
                self._gone = True
                self._deaths += 1
            for job in [job for job in self._jobs.values() if job.launcher is launcher]:
                self._lost(job)
        elif isinstance(news, Started):
            self._started(launcher, news)
        elif isinstance(news, Ended):
            ended = self._jobs.get(news.trial)
            if ended is None or ended.spec.attempt != news.attempt:
                self._ends[news.trial, news.attempt] = news
            else:
                self._conclude(ended, news)

    def _started(self, launcher: LauncherClient, news: Started) -> None:
        job = self._jobs.get(news.trial)
        if job is None or job.spec.attempt != news.attempt:
            return
        if launcher is self._launcher:
            self._report(JobStarted(at=0, trial=news.trial, attempt=news.attempt, pid=news.pid))
        else:
            job.launcher = launcher  # An adopted one: its launcher lives, and knows more of its end than a pidfd.

    def _lost(self, job: _Job) -> None:
        """Its launcher is gone: the process may live on."""
        job.launcher, job.identity = None, self._identity(job.spec)
        if not self._watch(job):
            self._conclude(job, None)

    # ------------------------------------------------------------------ watching without a launcher

    def _identity(self, spec: JobSpec) -> Identity | None:
        record = read_record(self._run.trial(spec.trial).process, _Process)
        return record.identity if record is not None and record.attempt == spec.attempt else None

    def _watch(self, job: _Job) -> bool:
        fd = pidfd(job.identity) if job.identity is not None else None
        if fd is None:
            return False
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            # With a launcher that lives, its word of the end is on the way and says more.
            delay = 1.0 if job.launcher is not None else 0.0
            loop.call_later(delay, self._conclude, job, None)

        loop.add_reader(fd, ended)
        return True

    def _read_ends(self) -> None:
        try:
            content = (self._run.launcher / "ends.jsonl").read_bytes()
        except FileNotFoundError:
            return
        for line in content.splitlines():
            with contextlib.suppress(msgspec.DecodeError):  # a line the launcher died in
                ended = msgspec.json.decode(line, type=Ended)
                self._ends.setdefault((ended.trial, ended.attempt), ended)

    # ------------------------------------------------------------------ ends

    def _conclude(self, job: _Job, ended: Ended | None) -> None:
        """Reports the end of a job, once."""
        if self._jobs.get(job.spec.trial) is not job:
            return
        del self._jobs[job.spec.trial]
        conclude = conclusion(self._run, job.spec, ended, interrupted=job.interrupted)
        if conclude.end is End.COMPLETED:
            self._deaths = 0
        self._report(conclude)


def conclusion(run: RunDir, spec: JobSpec, ended: Ended | None, *, interrupted: bool) -> JobEnded:
    """How an attempt ended, from what its process left and what its launcher saw."""
    folder = run.trial(spec.trial)
    usage = ended.usage if ended is not None else None
    outcome = read_record(folder.outcome, Outcome)
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
    end, failure = _unsaid(ended, interrupted)
    return JobEnded(
        at=0, trial=spec.trial, attempt=spec.attempt, end=end, epochs=epochs, failure=failure, usage=usage or Usage()
    )


def _unsaid(ended: Ended | None, interrupted: bool) -> tuple[End, Failure | None]:
    """How a process ended that left no word of it."""
    if interrupted:
        return End.INTERRUPTED, None
    if ended is None:
        return End.KILLED, None
    if ended.status < 0:
        name = signal.Signals(-ended.status).name
        failure = Failure(kind="signal", message=f"its process was ended by {name}")
        return (End.KILLED if ended.status in _FROM_OUTSIDE else End.FAILED), failure
    return End.FAILED, Failure(kind="exit", message=f"its process exited with code {ended.status} in mid-training")
