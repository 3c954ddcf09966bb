"""Looks at GPUs and trials while a search runs, and tells the search what has changed.

Every so often, and at the end of every job. It decides nothing about trials: what it sees becomes events (a device
has failed, a trial hangs, the slots are others now) and accounts. A driver that does not answer holds nothing up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from gpusched.core.events import AnyEvent, DeviceFailed, JobEnded, JobStarted, SessionOpened, TrialHung
from gpusched.core.outcome import End, Usage
from gpusched.devices import CPU_DEVICE, Fault, Gpu, Nvml, Sample
from gpusched.devices.accounts import Account, Accounts
from gpusched.devices.gpu import is_mps
from gpusched.runtime.machine.driver import Driver
from gpusched.runtime.machine.hang_detection import Signs
from gpusched.runtime.machine.layout import Layout
from gpusched.system.attention import Attention
from gpusched.system.process.kernel import session_of

if TYPE_CHECKING:
    from gpusched.core.trial import Trial
    from gpusched.runtime.scheduler import Scheduler

log = logging.getLogger(__name__)

#: A trial and its attempt.
Key: TypeAlias = tuple[int, int]

LOOK_SECONDS = 1.0
#: How long a GPU is held back after its trial while the driver still shows the trial's processes.
VACATE_SECONDS = 5.0
#: … and while it shows no process, but memory that is not given back.
VACATE_UNSEEN_SECONDS = 2.0
_VACATE_EVERY = 0.02
#: The driver tells of a fault a moment after the program has felt it, which then ends in one of these ways.
_FAULT_SECONDS = 0.2
_FELT = frozenset(
    {"signal", "DeviceError", "NoGPU", "RuntimeError", "AcceleratorError"}
    | {"InternalError", "UnknownError", "XlaRuntimeError", "JaxRuntimeError"}
)
#: Memory that comes and goes with the driver's own housekeeping.
_SLACK_BYTES = 64 * 2**20
#: For so long after its end a trial's processes are not taken for somebody else's.
_OWN_SECONDS = 30.0
#: So many looks after another a GPU may give no answer: a driver that is reloaded or busy does that for a moment.
_SILENT_LOOKS = 3


class Watch:
    """One session's eyes. `driver` is None where no GPU is in use."""

    def __init__(
        self, scheduler: Scheduler, layout: Layout, driver: Driver | None, signs: Signs, every: float = LOOK_SECONDS
    ) -> None:
        self._scheduler, self._layout, self._driver, self._signs, self._every = scheduler, layout, driver, signs, every
        self._accounts = Accounts()
        self._owners: dict[int, Key] = {}  #: pids of trials that run
        self._past: dict[int, float] = {}  #: pids of trials that ran: when they ended
        self._suspects: set[str] = set()  #: GPUs on which others computed at the last look
        self._transparent: set[str] = set()  #: GPUs whose processes the driver shows here
        #: Errors when the session began.
        self._ecc = {gpu.uuid: gpu.ecc_errors for gpu in layout.gpus if gpu.ecc_errors is not None}
        self._silent = False  #: the driver does not answer
        self._failed: set[str] = set()
        self._unanswered: dict[str, int] = {}  #: GPUs that gave no answer: for how many regular looks after another
        self._ends: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()  #: the session is, and goes on
        self._attention = Attention()  #: measures silence
        self._caps = layout.caps()
        self._heard: set[str] = set()  #: GPUs whose faults the driver is asked to keep

    # ------------------------------------------------------------------ what the engine reports

    def report(self, event: JobStarted | JobEnded) -> None:
        """Passes it on to the scheduler: the end of a job once its GPU is empty, with its accounts."""
        trial = self._scheduler.search.trials.get(event.trial)
        devices = tuple(d for d in trial.devices if d != CPU_DEVICE) if trial is not None else ()
        key = (event.trial, event.attempt)
        if isinstance(event, JobStarted):
            self._owners[event.pid] = key
            if devices and key not in self._accounts.running:
                self._accounts.began(key, devices, time.monotonic())
            self._scheduler.post(event)
        elif not devices or not self._open.is_set() or self._driver is None:
            self._close(key)
            self._scheduler.post(event)
        else:
            task = asyncio.create_task(self._end(event, devices), name=f"end of trial {event.trial}")
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def _end(self, event: JobEnded, devices: tuple[str, ...]) -> None:
        key = (event.trial, event.attempt)
        began = time.monotonic()
        usage = event.usage
        try:
            await self._look(devices, patience=_FAULT_SECONDS if self._may_be_a_fault(event, devices) else 0.0)
            account = self._close(key)
            if account is not None:
                await self._vacated(key, account, began)
                usage = _with_account(usage, account)
        except Exception:
            log.exception("the devices of trial %s could not be looked at", event.trial)
        finally:
            self._close(key)
            self._scheduler.post(msgspec.structs.replace(event, usage=usage))

    def _may_be_a_fault(self, event: JobEnded, devices: tuple[str, ...]) -> bool:
        """Whether the driver may be about to say that its end was a device's doing."""
        if event.end not in (End.FAILED, End.KILLED, End.FATAL) or event.failure is None:
            return False
        return self._failed.isdisjoint(devices) and event.failure.kind in _FELT

    def _close(self, key: Key) -> Account | None:
        for pid in [pid for pid, owner in self._owners.items() if owner == key]:
            del self._owners[pid]
            self._past[pid] = time.monotonic()
        return self._accounts.ended(key, time.monotonic())

    async def _vacated(self, key: Key, account: Account, began: float) -> None:
        """Waits until nothing of the trial is on its GPUs, as far as that shows, and no longer than is sensible."""
        for device in account.devices:
            while device not in self._failed:
                samples, _ = await self._ask((device,), 0.0)
                sample = samples.get(device)
                if sample is None or sample.refused is not None:
                    break
                passed = time.monotonic() - began
                left = any(self._is_past(pid) for pid in sample.processes)
                hidden = not account.seen and device not in self._transparent and device in account.peaks
                rest = self._accounts.rest(device)
                full = rest is not None and (sample.used_bytes or 0) > rest + _SLACK_BYTES
                held = hidden and full and not self._accounts.on(device)
                if not (left and passed < VACATE_SECONDS) and not (held and passed < VACATE_UNSEEN_SECONDS):
                    others = None if left or hidden else self._accounts.beside(sample, self._owner)
                    if others is not None:
                        account.met(device, others)
                    if sample.used_bytes is not None and not self._accounts.on(device):
                        account.emptied(device, sample.used_bytes)
                    break
                await asyncio.sleep(_VACATE_EVERY)

    # ------------------------------------------------------------------ what the scheduler tells

    def noted(self, event: AnyEvent) -> None:
        """This is in the journal, and was acted upon."""
        self._layout.sharing.learn(event)
        if isinstance(event, SessionOpened):
            self._open.set()
        if isinstance(event, JobEnded) and self._open.is_set():
            self._relay_if_changed()
        quarantined = self._scheduler.search.places.quarantined
        if quarantined.keys() - self._layout.lost.keys():
            self._layout.lost |= quarantined
            if self._layout.grouped:  # Otherwise the search has done without their slots already.
                self._scheduler.relay()

    def _relay_if_changed(self) -> None:
        before, self._caps = self._caps, self._layout.caps()
        most = self._layout.sharing.most_at_once
        if before != self._caps or (not self._layout.gpus and most is not None and len(self._scheduler.slots) > most):
            self._scheduler.relay()

    # ------------------------------------------------------------------ looking

    async def run(self) -> None:
        """From the session's opening, until cancelled."""
        await self._open.wait()
        # Beside the looks, whose length is the driver's.
        awake = asyncio.create_task(self._attention.keep(), name="attention")
        try:
            while True:
                try:
                    await self.hear()
                    await self._look(self._parents, regular=True)
                    self._signs_of_life()
                except Exception:
                    log.exception("looking at the devices has failed; the search goes on")
                await asyncio.sleep(self._every)
        finally:
            awake.cancel()

    @property
    def _parents(self) -> dict[str, str | None]:
        """The GPUs in use, and for slices the GPU they are on."""
        return {gpu.uuid: gpu.mig_parent for gpu in self._layout.gpus}

    async def hear(self) -> None:
        """Asks the driver to keep faults, from now on: before the first trial that may meet one."""
        parents = self._parents
        boards = {*parents, *(parent for parent in parents.values() if parent is not None)} - self._heard
        if boards and self._driver is not None:
            await self._driver.ask(lambda nvml: nvml.watch_faults(sorted(boards)))
            self._heard |= boards

    async def close(self) -> None:
        self._open.clear()
        for task in list(self._ends):
            task.cancel()
        if self._ends:
            await asyncio.wait(self._ends)

    async def _ask(self, devices: Iterable[str], patience: float) -> tuple[dict[str, Sample], list[Fault]]:
        """What the driver says; nothing where it does not answer."""
        wanted = list(devices)
        if self._driver is None or not wanted:
            return {}, []

        def look(nvml: Nvml) -> tuple[dict[str, Sample], list[Fault]]:
            samples = nvml.sample(wanted)
            # A fault that came while samples were taken is not missed either.
            return samples, nvml.faults(patience)

        found = await self._driver.ask(look, patience)
        if found is None and not self._silent:
            self._scheduler.view.message("the NVIDIA driver does not answer: GPUs are not watched until it does")
        self._silent = found is None
        return found or ({}, [])

    async def _look(self, devices: Iterable[str], patience: float = 0.0, *, regular: bool = False) -> None:
        samples, faults = await self._ask(devices, patience)
        now = time.monotonic()
        for pid in [pid for pid, at in self._past.items() if now - at > _OWN_SECONDS]:
            del self._past[pid]
        for uuid, sample in samples.items():
            if any(self._owner(pid) is not None for pid in sample.processes):
                self._transparent.add(uuid)
        self._accounts.sampled(samples, self._owner, now)
        if regular:
            silent = [uuid for uuid, sample in samples.items() if sample.refused is not None]
            self._unanswered = {uuid: self._unanswered.get(uuid, 0) + 1 for uuid in silent}
        self._find_faults(samples, faults)
        await self._find_others(samples)

    def _owner(self, pid: int) -> Hashable | None:
        """The attempt that a process belongs to."""
        return self._owners.get(pid) or self._owners.get(session_of(pid))

    def _is_past(self, pid: int) -> bool:
        return pid in self._past or session_of(pid) in self._past

    def _find_faults(self, samples: dict[str, Sample], faults: list[Fault]) -> None:
        for uuid, sample in samples.items():
            if sample.refused is not None:
                if sample.lost or self._unanswered.get(uuid, 0) >= _SILENT_LOOKS:
                    self._fail(uuid, sample.refused)
            elif sample.ecc_errors is not None and sample.ecc_errors > self._ecc.setdefault(uuid, sample.ecc_errors):
                self._fail(uuid, "an uncorrectable memory error (ECC)")
        for fault in faults:
            if fault.fatal:
                for uuid, parent in self._parents.items():
                    if fault.uuid in (uuid, parent):
                        self._fail(uuid, f"the driver reports {fault.text}")

    def _fail(self, uuid: str, reason: str) -> None:
        if uuid not in self._failed and uuid in self._parents:
            self._failed.add(uuid)
            self._scheduler.post(DeviceFailed(at=0, device=uuid, reason=reason))

    async def _find_others(self, samples: dict[str, Sample]) -> None:
        """GPUs that others have begun to compute on, or have left."""
        found = {
            uuid
            for uuid, sample in samples.items()
            if sample.refused is None
            and any(self._foreign(uuid, pid) for pid in sample.processes.keys() - sample.drawing)
        }
        # A process that only looked in is not waited for: one look more decides. Who has left has left.
        come = {uuid for uuid in found - self._layout.busy.keys() if uuid in self._suspects}
        come |= self._layout.fresh & samples.keys()
        gone = {uuid for uuid in samples if uuid in self._layout.busy and uuid not in found}
        self._suspects = (self._suspects - samples.keys()) | found
        if (come or gone) and self._driver is not None:
            seen = await self._driver.ask(lambda nvml: nvml.gpus()) or ()
            own = {process.pid for gpu in seen for process in gpu.processes if not self._foreign(gpu.uuid, process.pid)}
            if self._layout.judge([gpu for gpu in seen if gpu.uuid in come | gone], own):
                self._scheduler.relay()

    def _foreign(self, uuid: str, pid: int) -> bool:
        if pid == os.getpid() or self._owner(pid) is not None or self._is_past(pid):
            return False
        if is_mps(_name(pid)):
            return False
        # Where the driver numbers processes otherwise than this container, ours are among those nobody knows.
        return not self._accounts.on(uuid) or uuid in self._transparent or os.path.exists(f"/proc/{pid}")

    def _signs_of_life(self) -> None:
        now = self._attention.look(time.monotonic())
        running = self._scheduler.search.running
        self._signs.forget({(trial.id, trial.attempt) for trial in running})
        for trial in running:
            key = (trial.id, trial.attempt)
            reason = self._signs.look(key, trial.pid, self._scheduler.run.dir.trial(trial.id).metrics, now)
            if reason is not None and trial.hung is None:
                self._scheduler.post(TrialHung(at=0, trial=trial.id, attempt=trial.attempt, reason=reason))
            account = self._accounts.running.get(key)
            if account is not None and account.peak_bytes is not None and self._signs.trained(key):
                self._layout.sharing.seen(trial.id, account.peak_bytes)
        self._relay_if_changed()


def _with_account(usage: Usage | None, account: Account) -> Usage:
    return msgspec.structs.replace(
        usage or Usage(),
        gpu_seconds=round(account.seconds, 3),
        gpu_peak_bytes=account.peak_bytes,
        gpu_utilisation=account.utilisation,
        gpu_others_bytes=account.others_bytes,
        gpu_share=account.share,
    )


def own_gpus(gpus: Iterable[Gpu], running: Iterable[Trial]) -> set[int]:
    """Of the processes on these GPUs, those that belong to the sessions of these trials.

    Where a container hides who a process is, one on a GPU that a trial is on counts as that trial's.
    """
    trials = {trial.pid: trial.devices for trial in running if trial.pid is not None}
    theirs = {device for devices in trials.values() for device in devices}
    return {
        process.pid
        for gpu in gpus
        for process in gpu.processes
        if process.pid in trials
        or session_of(process.pid) in trials
        or (gpu.uuid in theirs and not os.path.exists(f"/proc/{process.pid}"))
    }


def _name(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
