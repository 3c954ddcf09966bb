"""An engine whose jobs run on the nodes of a Ray cluster.

The run directory stays on the scheduler's machine: metrics, logs, checkpoints and outcomes come back to it, each
before the event that speaks of them, and what a job needs goes with it to a node that has not trained its trial last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

import msgspec

from gpusched.core.events import JobEnded, JobStarted
from gpusched.engines.base import Report
from gpusched.engines.job_result import conclusion
from gpusched.engines.ray.agent import Have, News
from gpusched.engines.ray.cluster import Cluster, Node
from gpusched.engines.ray.trial_archive import pack, unpack
from gpusched.storage.files import open_own
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir, write_whole
from gpusched.system.tasks import OnError, supervised, unexpected

log = logging.getLogger(__name__)

#: How often the cluster is asked for nodes that have joined, and nodes for who computes on their GPUs.
JOIN_SECONDS = 3.0
#: So often in a row, and so far apart, an agent may fail to say what is new (its disk is full) before it is given up.
_MOST_ERRORS, _ERROR_SECONDS = 5, 1.0


class RayEngine:
    """One run's jobs on all nodes. `places` says which node a slot is on; `changed` is called when nodes come or go."""

    def __init__(
        self,
        cluster: Cluster,
        run: RunDir,
        report: Report,
        places: dict[int, str],
        changed: Callable[[], object],
        on_error: OnError = unexpected,
    ) -> None:
        self._cluster, self._run, self._report, self._on_error = cluster, run, report, on_error
        self._places, self._changed = places, changed
        self._jobs: dict[int, tuple[JobSpec, Node]] = {}
        self._last: dict[int, str] = {}  #: the node that has trained a trial last
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._joining = supervised(self._join(), "looking for nodes of the cluster", on_error)

    def _listen_to(self, node: Node) -> None:
        """From when its jobs are known: what is heard of others is nobody's."""
        if node.id in self._listening:
            return
        self._listening[node.id] = supervised(self._listen(node), f"news of node {node.name}", self._on_error)

    # ------------------------------------------------------------------ what the scheduler asks

    async def launch(self, spec: JobSpec) -> None:
        node = self._cluster.nodes.get(self._places.get(spec.slot, ""))
        if node is None:  # It has died since the decision.
            self._report(self._ended(spec))
            return
        folder = self._run.trial(spec.trial)
        base = folder.log.stat().st_size if folder.log.exists() else 0
        parcel, moves = None, self._last.get(spec.trial) != node.id and folder.metrics.exists()
        if moves and not node.shared:
            parcel = await asyncio.to_thread(pack, folder)
        self._jobs[spec.trial] = (spec, node)
        self._listen_to(node)
        self._last[spec.trial] = node.id
        node.have.pop(spec.trial, None)
        await self._tell(node, node.agent.launch, msgspec.json.encode(spec), base, parcel, moves)

    async def interrupt(self, trial: int, attempt: int, *, now: bool) -> None:
        job = self._jobs.get(trial)
        if job is not None and job[0].attempt == attempt:
            await self._tell(job[1], job[1].agent.interrupt, trial, attempt, now)

    async def acknowledge(self, trial: int, attempt: int) -> None:
        job = self._jobs.get(trial)
        if job is not None and job[0].attempt == attempt:
            del self._jobs[trial]
            job[1].have.pop(trial, None)
            await self._tell(job[1], job[1].agent.acknowledge, trial, attempt)

    async def adopt(self, jobs: list[JobSpec]) -> set[int]:
        where: dict[tuple[int, int], Node] = {}
        for node in [node for node in self._cluster.nodes.values() if node.found]:
            try:
                where |= dict.fromkeys(await node.agent.attempts.remote(), node)
            except Exception as error:
                if not self._cluster.gone(error):
                    raise
        running = set()
        for spec in jobs:
            found = where.get((spec.trial, spec.attempt))
            if found is None:
                self._report(self._ended(spec))
                continue
            self._jobs[spec.trial] = (spec, found)
            self._last[spec.trial] = found.id
            running.add(spec.trial)
            self._report(JobStarted(at=0, trial=spec.trial, attempt=spec.attempt, pid=0, adopted=True))
        for node in self._cluster.nodes.values():
            self._listen_to(node)
        return running

    async def close(self) -> None:
        for task in (self._joining, *self._listening.values()):
            task.cancel()
        await asyncio.gather(self._joining, *self._listening.values(), return_exceptions=True)
        await self._cluster.close()

    async def _tell(self, node: Node, method: Any, *arguments: Any) -> None:
        try:
            await method.remote(*arguments)
        except Exception as error:
            if not self._cluster.gone(error):
                raise
            # Whoever listens to it hears of it, too, and says what follows.

    # ------------------------------------------------------------------ what nodes tell

    async def _listen(self, node: Node) -> None:
        errors = 0
        while True:
            have = {trial: msgspec.json.encode(each) for trial, each in node.have.items()}
            try:
                told = await node.agent.news.remote(node.heard, have)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                errors += 1
                if self._cluster.gone(error) or errors > _MOST_ERRORS:
                    self._lost(node)
                    return
                log.exception("node %s: its news cannot be read", node.name)
                await asyncio.sleep(_ERROR_SECONDS)
                continue
            errors = 0
            for content in told:
                await self._take(node, msgspec.msgpack.decode(content, type=News))

    async def _take(self, node: Node, news: News) -> None:
        job = self._jobs.get(news.trial)
        current = job is not None and job[0].attempt == news.attempt and job[1] is node
        if news.number:
            node.heard = max(node.heard, news.number)
            event: JobStarted | JobEnded = msgspec.json.decode(news.event, type=JobStarted | JobEnded)
            if current:
                if isinstance(event, JobStarted) and not node.here:
                    event = msgspec.structs.replace(event, pid=0)
                self._report(event)
        elif current:
            have = node.have.get(news.trial)
            if have is None or have.attempt != news.attempt:
                have = node.have[news.trial] = Have(attempt=news.attempt)
            await asyncio.to_thread(self._write, news)
            have.log += len(news.log)
            have.metrics, have.checkpoint = news.metrics_stamp, news.checkpoint_stamp

    def _write(self, news: News) -> None:
        folder = self._run.make_trial(news.trial)
        if news.log:
            fd = open_own(folder.log, os.O_WRONLY | os.O_CREAT)
            try:
                os.pwrite(fd, news.log, news.log_at)  # What is told twice is written twice to one place.
            finally:
                os.close(fd)
        if news.metrics is not None:
            write_whole(folder.metrics, news.metrics)
        if news.parcel is not None:
            unpack(news.parcel, folder)

    def _lost(self, node: Node) -> None:
        """A node has died: its slots go first, so that its trials are started elsewhere."""
        self._cluster.drop(node)
        self._listening.pop(node.id, None)
        self._last = {trial: id for trial, id in self._last.items() if id != node.id}
        self._changed()
        for trial, (spec, where) in list(self._jobs.items()):
            if where is node:
                del self._jobs[trial]
                self._report(self._ended(spec))

    def _ended(self, spec: JobSpec) -> JobEnded:
        """Of a job that no agent knows of: what it had achieved is here, or it went down with its machine."""
        return conclusion(self._run, spec, None, interrupted=False, short_of_memory=lambda: False)

    async def _join(self) -> None:
        while True:
            await asyncio.sleep(JOIN_SECONDS)
            with contextlib.suppress(Exception):  # A cluster that does not answer now is asked again.
                joined = await self._cluster.look()
                for node in joined:
                    self._listen_to(node)
                await self._cluster.refresh()
                self._changed()
