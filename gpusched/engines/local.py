"""Jobs on this machine: trial processes, forked by a launcher and pinned to their slots.

The launcher tells how a process ended; what it achieved stands in the files it left. So an end is
known also where the launcher is gone: the process is then watched by its identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from gpusched.core.events import JobStarted
from gpusched.core.outcome import End
from gpusched.devices.cgroup import oom_kills
from gpusched.engines import left
from gpusched.engines.base import Report
from gpusched.engines.job_result import conclusion, not_started, refused
from gpusched.errors import GpuschedError, UsageError
from gpusched.launcher.client import PATIENCE_SECONDS, LauncherClient, LauncherGone, readable, until_dead
from gpusched.launcher.life.undead import words
from gpusched.launcher.protocol import Acknowledge, Ended, Reply, Signal, Start, Started, Told
from gpusched.storage.claim import TrialProcess
from gpusched.storage.identity import pidfd, works_in
from gpusched.storage.records import Identity, JobSpec
from gpusched.storage.rundir import RunDir, read_record
from gpusched.system.process.kernel import END_SECONDS
from gpusched.system.process.tags import sweep
from gpusched.system.tasks import OnError, supervised, unexpected

#: Starts a launcher in place of one that died.
Another: TypeAlias = Callable[[], Awaitable[LauncherClient]]

log = logging.getLogger(__name__)

_MOST_DEATHS = 5
#: How long a file system may refuse to read what a trial left.
_REFUSED_SECONDS = 10.0
_READ_EVERY = 0.1


@dataclass(slots=True)
class _Job:
    spec: JobSpec
    launcher: LauncherClient | None  #: None: waits for one, or is watched by its identity
    identity: Identity | None = None
    watch: asyncio.Task[None] | None = None
    interrupted: bool = False
    now: bool = False  #: … at once
    ending: asyncio.Task[None] | None = None  #: its process has ended, and what it left cannot be read yet


def _written_down(line: str) -> None:
    log.warning("%s", line)


class LocalEngine:
    """One run's processes on this machine."""

    def __init__(
        self,
        run: RunDir,
        launcher: LauncherClient,
        report: Report,
        another: Another,
        on_error: OnError = unexpected,
        say: Callable[[str], None] = _written_down,
    ) -> None:
        self._run, self._report, self._another, self._on_error, self._say = run, report, another, on_error, say
        self._jobs: dict[int, _Job] = {}
        self._ends: dict[tuple[int, int], Ended] = {}  #: told by launchers of earlier sessions
        self._told_by: dict[tuple[int, int], LauncherClient] = {}  #: ends not acknowledged yet
        self._old: list[LauncherClient] = []  #: of earlier sessions
        self._dead: list[LauncherClient] = []  #: their guardians may live on with their trials
        self._reviving: asyncio.Task[None] | None = None
        self._deaths = 0  #: of launchers, since a job was last completed
        self._hopeless: str | None = None  #: why there is no launcher and will be none
        self._closing = False
        self._launcher = launcher
        self._oom_kills = oom_kills()
        self._marks: set[str] = set()
        self._take_on(launcher)

    def _take_on(self, launcher: LauncherClient) -> None:
        launcher.on_news = lambda news: self._news(launcher, news)
        launcher.on_error = self._on_error
        self._marks.add(launcher.mark)
        left.note_mark(self._run, launcher.mark)

    # ------------------------------------------------------------------ what the scheduler asks

    async def launch(self, spec: JobSpec) -> None:
        if self._hopeless is not None:
            self._report(not_started(spec, self._hopeless))
            return
        job = self._jobs[spec.trial] = _Job(spec, None)
        if self._reviving is None:
            await self._start(job)

    async def _start(self, job: _Job) -> None:
        job.launcher = self._launcher
        # Where it has died, its death is about to be told, and what becomes of the job with it.
        with contextlib.suppress(LauncherGone):
            await self._launcher.send(Start(spec=job.spec))

    async def interrupt(self, trial: int, attempt: int, *, now: bool) -> None:
        job = self._jobs.get(trial)
        if job is None or job.spec.attempt != attempt:
            return
        job.interrupted, job.now = True, job.now or now
        if job.ending is not None:
            if now:
                job.ending.cancel()
                self._tell_end(job, None)
            return
        if job.launcher is not None:
            with contextlib.suppress(LauncherGone):
                await job.launcher.send(Signal(trial=trial, attempt=attempt, kill=now))
        elif job.identity is not None:
            _signal(job.identity, now=now)
        else:  # It waits for a launcher.
            self._conclude(job, None)

    async def acknowledge(self, trial: int, attempt: int) -> None:
        launcher = self._told_by.pop((trial, attempt), None)
        if launcher is not None:
            with contextlib.suppress(LauncherGone):
                await launcher.send(Acknowledge(trial=trial, attempt=attempt))

    async def adopt(self, jobs: list[JobSpec]) -> set[int]:
        self._marks |= left.marks(self._run)
        started = await self._retire_others()
        for ended in left.ends(self._run):
            self._ends.setdefault((ended.trial, ended.attempt), ended)
        running = set()
        for spec in jobs:
            job = self._jobs[spec.trial] = _Job(spec, None)
            key = (spec.trial, spec.attempt)
            if key in self._ends and self._ends[key].start == spec.start:
                self._conclude(job, self._ends[key])
                continue
            launcher, pid = started.get(key, (None, 0))
            if launcher is not None and not launcher.gone:
                job.launcher = launcher
            elif self._watch(job):
                assert job.identity is not None
                pid = job.identity.pid
            else:
                self._conclude(job, None)
                continue
            running.add(spec.trial)
            self._report(JobStarted(at=0, trial=spec.trial, attempt=spec.attempt, pid=pid, adopted=True))
        return running

    async def _retire_others(self) -> dict[tuple[int, int], tuple[LauncherClient, int]]:
        """Takes over from earlier sessions' launchers. What they were ordered and have not begun is void.

        Returns who runs which attempt, under which pid.
        """
        started: dict[tuple[int, int], tuple[LauncherClient, int]] = {}
        for identity in left.launchers(self._run, self._launcher.identity):
            client = await LauncherClient.connect(self._run.launcher / f"{identity.pid}.sock", identity)
            if client is None:  # It is just ending: nothing runs below it.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until_dead(identity), PATIENCE_SECONDS)
                continue
            told: list[Started] = []
            client.on_error = self._on_error
            client.on_news = lambda news, client=client, told=told: (  # type: ignore[misc]
                told.append(news) if isinstance(news, Started) else self._news(client, news)
            )
            if await client.retire():
                self._old.append(client)
                client.on_news = lambda news, client=client: self._news(client, news)  # type: ignore[misc]
                started |= {(each.trial, each.attempt): (client, each.pid) for each in told}
            else:
                # It is dead or stuck. Its trials are found by what they wrote of themselves, as a dead one's are.
                client.kill()
                await client.leave()
        return started

    async def close(self) -> None:
        self._closing = True
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.wait({self._reviving})
        for job in list(self._jobs.values()):
            await self.interrupt(job.spec.trial, job.spec.attempt, now=True)
        for job in self._jobs.values():
            if job.ending is not None:  # The next session reads how it ended.
                job.ending.cancel()
        watches = {job.watch for job in self._jobs.values() if job.watch is not None}
        if watches:
            await asyncio.wait(watches, timeout=END_SECONDS)
        for watch in watches:
            watch.cancel()
        for launcher in (self._launcher, *self._old):
            await launcher.close()
        for launcher in self._dead:
            await launcher.guardian_ended()
        # What nobody minds any more, of this session and of those that were killed.
        undead = await asyncio.to_thread(sweep, list(self._marks))
        left.launchers(self._run)
        if undead:
            self._say(f"{', '.join(words(pid) for pid in undead)}: killed, to end as soon as possible")
        else:
            left.forget(self._run)

    # ------------------------------------------------------------------ what launchers tell

    def _news(self, launcher: LauncherClient, news: Reply | None) -> None:
        if news is None:
            self._died(launcher)
        elif isinstance(news, Told):
            self._say(news.message)
        elif isinstance(news, Started):
            job = self._jobs.get(news.trial)
            if job is not None and job.spec.attempt == news.attempt:
                self._report(JobStarted(at=0, trial=news.trial, attempt=news.attempt, pid=news.pid))
        elif isinstance(news, Ended):
            self._told_by[news.trial, news.attempt] = launcher
            job = self._jobs.get(news.trial)
            if job is not None and job.spec.attempt == news.attempt:
                self._conclude(job, news)
            else:
                self._ends[news.trial, news.attempt] = news

    def _died(self, launcher: LauncherClient) -> None:
        if self._closing:
            return
        if launcher is self._launcher:
            self._deaths += 1
            self._dead.append(launcher)
            self._reviving = supervised(self._revive(), "launcher", self._on_error)
        for job in [job for job in self._jobs.values() if job.launcher is launcher]:
            # The process may live on.
            job.launcher = None
            if not self._watch(job):
                self._conclude(job, None)
            elif job.interrupted:  # The launcher may have died before it passed that on.
                assert job.identity is not None
                _signal(job.identity, now=job.now)

    async def _revive(self) -> None:
        """Another launcher in place of one that died; without one, the search ends with the reason."""
        try:
            if self._deaths > _MOST_DEATHS:
                raise GpuschedError(
                    f"the launcher died {self._deaths} times with no trial completed between; "
                    f"see {self._run.launcher / 'log.txt'}, and whether memory is short"
                )
            left.launchers(self._run)
            self._launcher = await self._another()
            self._take_on(self._launcher)
        except (GpuschedError, OSError) as error:
            self._hopeless = str(error)
            for job in self._waiting():
                del self._jobs[job.spec.trial]
                self._report(not_started(job.spec, self._hopeless))
            return
        self._reviving = None
        for job in self._waiting():
            await self._start(job)

    def _waiting(self) -> list[_Job]:
        return [job for job in self._jobs.values() if job.launcher is None and job.watch is None]

    # ------------------------------------------------------------------ watching without a launcher

    def _watch(self, job: _Job) -> bool:
        """Waits for the end of a process that no launcher tells of. False where it has ended."""
        record = None
        with contextlib.suppress(UsageError):
            record = read_record(self._run.trial(job.spec.trial).process, TrialProcess)
        if record is None or (record.attempt, record.start) != (job.spec.attempt, job.spec.start):
            return False
        if not works_in(record.identity, self._run.path):
            return False  # This directory is a copy: that process trains the original's trial.
        fd = pidfd(record.identity)
        if fd is None:
            return False
        job.identity = record.identity
        job.watch = supervised(self._outlast(job, fd), f"end of trial {job.spec.trial}", self._on_error)
        return True

    async def _outlast(self, job: _Job, fd: int) -> None:
        await readable(fd)
        assert job.identity is not None
        # Its guardian may be gone too: what it left in its session would train on under the next attempt.
        await asyncio.to_thread(sweep, list(self._marks), job.identity.pid)
        self._conclude(job, None)

    # ------------------------------------------------------------------ ends

    def _conclude(self, job: _Job, ended: Ended | None) -> None:
        """Reports the end of a job, once."""
        if self._jobs.get(job.spec.trial) is not job or job.ending is not None:
            return
        if refused(self._run, job.spec):
            what = f"end of trial {job.spec.trial}"
            job.ending = supervised(self._conclude_when_read(job, ended), what, self._on_error)
        else:
            self._tell_end(job, ended)

    async def _conclude_when_read(self, job: _Job, ended: Ended | None) -> None:
        for _ in range(int(_REFUSED_SECONDS / _READ_EVERY)):
            await asyncio.sleep(_READ_EVERY)
            if not refused(self._run, job.spec):
                break
        self._tell_end(job, ended)

    def _tell_end(self, job: _Job, ended: Ended | None) -> None:
        del self._jobs[job.spec.trial]
        told = conclusion(
            self._run, job.spec, ended, interrupted=job.interrupted, short_of_memory=self._short_of_memory
        )
        if told.end is End.COMPLETED:
            self._deaths = 0
        self._report(told)

    def _short_of_memory(self) -> bool:
        """Whether the kernel has killed for want of memory since this was asked last: one kill, one trial."""
        now, before = oom_kills(), self._oom_kills
        if now is None or before is None or now <= before:
            self._oom_kills = now
            return False
        self._oom_kills = before + 1
        return True


def _signal(identity: Identity, *, now: bool) -> None:
    fd = pidfd(identity)
    if fd is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if now:
            # As long as it is alive or a zombie, its group is its own.
            os.killpg(identity.pid, signal.SIGKILL)
        signal.pidfd_send_signal(fd, signal.SIGKILL if now else signal.SIGTERM)
    os.close(fd)
