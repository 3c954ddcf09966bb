"""The asyncio loop: takes in what happens, journals it, performs what the core decides.

The only place where events get their time. It decides nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from gpusched.core.commands import AnyCommand, Consult, Finish, Interrupt, Launch, Release, Report
from gpusched.core.events import (
    AnyEvent,
    JobEnded,
    JobStarted,
    MaxTimeChanged,
    SessionClosed,
    SessionOpened,
    SlotsChanged,
    TimeExpired,
)
from gpusched.core.outcome import End, Failure
from gpusched.core.policy import RULES, Phase
from gpusched.devices import CPU_DEVICE, Slot
from gpusched.engines.base import Engine
from gpusched.errors import GpuschedError
from gpusched.runtime.guiding import Guiding
from gpusched.runtime.machine.layout import Laid, Layout
from gpusched.runtime.reader import Run
from gpusched.runtime.retention import Keeper
from gpusched.runtime.startup.wishes import Wishes
from gpusched.runtime.view import View
from gpusched.storage import room
from gpusched.storage.journal import Journal, JournalError
from gpusched.storage.records import JobSpec, TrialRecord
from gpusched.storage.rundir import keep_traceback, write_record
from gpusched.system.frames import changed

log = logging.getLogger(__name__)


class Scheduler:
    """One session of work on a run."""

    def __init__(
        self,
        run: Run,
        journal: Journal,
        view: View,
        *,
        max_trials: int | None,
        max_time: float | None,
        keep: int,
        checkpoint_every: str,
        layout: Layout,
        wishes: Wishes | None = None,
    ) -> None:
        self._wishes = wishes or Wishes()
        self.run, self.search = run, run.search
        self.view = view
        self._journal = journal
        self._engine: Engine | None = None
        self.slots: dict[int, Slot] = {}  #: as the newest event that the search has handled says
        self._laid: deque[Laid] = deque()  #: those of events that it has not handled yet
        self._newest: Laid | None = None
        self._told: set[str] = set()  #: lines about the slots that people know
        self.noted: Callable[[AnyEvent], None] | None = None  #: is told of every event, once it was acted upon
        self._events: asyncio.Queue[AnyEvent | GpuschedError] = asyncio.Queue()
        self._keeper = Keeper(run, keep)
        self._max_trials, self._max_time = max_trials, max_time
        self._checkpoint_every = checkpoint_every
        self._layout = layout
        self.guiding: Guiding | None = None  #: the conversation with the user's own oracle, where one decides
        self.script_changed = changed(run.record.script)  #: when it was, as it was loaded
        self._base = self.search.at
        self._began = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ what others call

    def post(self, event: AnyEvent) -> None:
        """Something has happened; its time is now."""
        self._events.put_nowait(event)

    def fail(self, doing: str, error: BaseException) -> None:
        """A part of the session has ended that it cannot do without: work() raises that, in one line."""
        if isinstance(error, GpuschedError):
            self._events.put_nowait(error)
            return
        kept = keep_traceback("".join(traceback.format_exception(error)))
        where = f" (the traceback is in {kept})" if kept is not None else ""
        said = " ".join(str(error).split()) or "no reason given"
        line = f"{doing}: {type(error).__name__}: {said}{where}; run the same command again to go on"
        self._events.put_nowait(GpuschedError(line))

    def give_up(self) -> None:
        """Nobody waits for the processes of running trials any more: they have been killed, and go on another day."""
        for trial in self.search.running:
            self.view.message(
                f"trial {trial.id}: its process {trial.pid or ''} does not end; nobody waits for it any more"
            )
            self.post(JobEnded(at=0, trial=trial.id, attempt=trial.attempt, end=End.INTERRUPTED, epochs=trial.epochs))

    def now(self) -> float:
        """Seconds the search has run, over all its sessions."""
        return round(self._base + time.monotonic() - self._began, 6)

    async def work(self, engine: Engine) -> Finish:
        """Adopts what earlier sessions left, then runs the search to its end or the session's.

        Raises JournalError where the disk does not take the journal any more, and what `fail` was told.
        """
        self._engine = engine
        self._began = time.monotonic()
        if self.search.phase is not Phase.CLOSED:
            await self._take([SessionClosed(at=0, reason="its scheduler was killed", code=137)])
        adopted = await engine.adopt([self._spec(trial.id) for trial in self.search.running])
        before = self._waiting_events()
        jobs = [event for event in before if isinstance(event, JobStarted | JobEnded)]
        await self._take(jobs)
        wanted = self._wishes.events(self.search)
        if self._wishes.retry and not wanted:
            self.view.message("no trial has failed: there is none to train again")
        await self._take(wanted)
        added, lines = self._wishes.added(self.search)
        for line in lines:
            self.view.message(line)
        laid = self._newest = self._layout.lay(self.pids)
        self._laid.append(laid)
        opened = SessionOpened(
            at=0,
            wall=time.time(),
            pid=os.getpid(),
            slots=laid.infos(),
            waiting=laid.waiting,
            notes=laid.notes,
            rules=RULES,
            adopted=sorted(adopted & {trial.id for trial in self.search.running}),
            max_trials=self._max_trials,
            max_time=self._max_time,
            version=version(),
            added=added,
        )
        finish = await self._take([opened, *(event for event in before if event not in jobs)])
        try:
            while finish is None:
                first = _event(await self._events.get())
                finish = await self._take([first, *self._waiting_events()])
        finally:
            if self._timer is not None:
                self._timer.cancel()
        await self._take([SessionClosed(at=0, reason=finish.reason, code=finish.code)])
        return finish

    def change_cap(self, per_gpu: int) -> int:
        """Other slots from now on; returns how many. Raises UsageError where there can be none."""
        self._layout.sharing.ask(per_gpu)
        return self.relay()

    def change_gpus(self, gpus: str | list[str]) -> int:
        """Other GPUs from now on; returns how many slots there are. Raises UsageError where there can be none."""
        self._layout.choose(gpus)
        return self.relay()

    def relay(self) -> int:
        """Lays the slots anew over the devices as they are now; returns how many there are."""
        laid = self._layout.lay(self.pids)
        if laid == self._newest:
            return len(laid.slots)
        self._newest = laid
        self._laid.append(laid)
        self.post(SlotsChanged(at=0, slots=laid.infos(), waiting=laid.waiting, notes=laid.notes))
        return len(laid.slots)

    @property
    def on_gpus(self) -> bool:
        """Whether GPUs are asked for, were they all busy or broken now."""
        return self._layout.on_gpus

    @property
    def pids(self) -> list[int]:
        """Of the trials' processes."""
        return [trial.pid for trial in self.search.running if trial.pid is not None]

    def _set_timer(self) -> None:
        """At the end of max_time the search is told so."""
        if self._timer is not None:
            self._timer.cancel()
        if self.search.max_time is not None and not self.search.rests:
            left = max(0.0, self.search.max_time - self.search.worked(self.now()))
            self._timer = asyncio.get_running_loop().call_later(left, self.post, TimeExpired(at=0))

    # ------------------------------------------------------------------ the loop's body

    def _waiting_events(self) -> list[AnyEvent]:
        events = []
        while not self._events.empty():
            events.append(_event(self._events.get_nowait()))
        return events

    async def _take(self, events: Sequence[AnyEvent]) -> Finish | None:
        """Decides, journals the events with the decisions, and only then acts."""
        if not events:
            return None
        lines: list[AnyEvent | AnyCommand] = []
        commands: list[AnyCommand] = []
        seen: list[tuple[AnyEvent, list[AnyCommand]]] = []
        specs: dict[tuple[int, int], JobSpec] = {}
        rested = self.search.rests
        for event in events:
            stamped = msgspec.structs.replace(event, at=self.now())
            decided = self.search.handle(stamped)
            if isinstance(event, SessionOpened | SlotsChanged):
                self.slots = {slot.index: slot for slot in self._laid.popleft().slots}
            # Now: a later event of the same breath may lay the slots anew.
            specs |= {
                (each.trial, each.attempt): self._spec(each.trial) for each in decided if isinstance(each, Launch)
            }
            lines += [stamped, *(command for command in decided if not isinstance(command, Finish))]
            commands += decided
            seen.append((stamped, decided))
        await self._write(lines)
        finish = await self._perform(commands, specs)
        for event, decided in seen:
            self.run.note(event, decided)
            self.view.event(event, decided, self.search)
            if isinstance(event, SessionOpened | SlotsChanged):
                self._tell([*event.waiting, *event.notes])
        assert self._engine is not None
        if rested != self.search.rests or any(isinstance(event, SessionOpened | MaxTimeChanged) for event in events):
            self._set_timer()
        for event, _ in seen:
            if isinstance(event, JobEnded):
                await self._engine.acknowledge(event.trial, event.attempt)
                self._keeper.ended(event)
            if self.noted is not None:
                self.noted(event)
        return finish

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line not in self._told:
                self.view.message(line)
        self._told = set(lines)

    async def _write(self, lines: Sequence[AnyEvent | AnyCommand]) -> None:
        # Nothing follows from a pid: what is written of it may be lost with the power.
        durable = not all(isinstance(line, JobStarted) for line in lines)
        writing = asyncio.ensure_future(asyncio.to_thread(self._journal.append, lines, durable=durable))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})  # The thread is not to write into what is closed meanwhile.
            raise

    async def _perform(self, commands: Sequence[AnyCommand], specs: Mapping[tuple[int, int], JobSpec]) -> Finish | None:
        assert self._engine is not None
        finish = None
        for command in commands:
            match command:
                case Launch():
                    await self._launch(command, specs[command.trial, command.attempt])
                case Interrupt():
                    await self._engine.interrupt(command.trial, command.attempt, now=command.now)
                case Release():
                    self._keeper.release(command.trials)
                case Consult() | Report():
                    assert self.guiding is not None
                    self.guiding.ask(command)
                case Finish():
                    finish = command
        return finish

    # ------------------------------------------------------------------ launching

    async def _launch(self, launch: Launch, spec: JobSpec) -> None:
        assert self._engine is not None
        folder = self.run.dir.trial(launch.trial)
        if launch.attempt == 1 or not _written(folder.record):
            place = self.search.oracle.place(launch.trial)
            record = TrialRecord(
                trial=launch.trial,
                values=launch.values,
                iteration=place.iteration + 1,
                bracket=place.bracket,
                index=place.index,
            )
            try:
                self.run.dir.make_trial(launch.trial)
                # The journal has it too: after a power cut it is written again with the next attempt.
                write_record(folder.record, record, durable=False)
            except OSError as error:
                self.post(self._unwritten(launch, error))
                return
        await self._engine.launch(spec)

    def _unwritten(self, launch: Launch, error: OSError) -> JobEnded:
        """The end of an attempt whose folder cannot be written. Raises JournalError where the run directory cannot."""
        why = room.refusal(self.run.dir.path)
        if why is not None:
            where = f"{self.run.dir.path}: cannot be written ({why.strerror})"
            raise JournalError(f"{where}; {room.advice(why)} and run the same command again") from error
        folder = self.run.dir.trial(launch.trial).path
        message = f"{error.filename or folder}: cannot be written ({error.strerror})"
        failure = Failure(kind=room.DISK, message=message)
        return JobEnded(
            at=0, trial=launch.trial, attempt=launch.attempt, end=End.KILLED, epochs=launch.start_epoch, failure=failure
        )

    def _spec(self, trial_id: int) -> JobSpec:
        trial = self.search.trials[trial_id]
        slot = self.slots.get(trial.slot) if trial.slot is not None else None
        shared = slot is not None and not trial.was_alone
        return JobSpec(
            run=str(self.run.dir.path),
            trial=trial.id,
            attempt=trial.attempt,
            values=trial.values,
            start_epoch=trial.job.start_epoch,
            stop_epoch=trial.job.stop_epoch,
            seed=self.run.record.seed,
            slot=slot.index if slot else 0,
            env=slot.env if slot else {},
            cores=slot.cores if slot else (),
            other_slots=self._beside(slot) if slot and shared else {},
            memory_limit_bytes=slot.memory_limit_bytes if slot and shared else None,
            gpu_bytes=slot.total_bytes if slot else None,
            share=slot.share if slot and shared else 1,
            checkpoint_every=self._checkpoint_every,
            space=self.run.space_config(),
            start=self.run.record.start,
        )

    def _beside(self, slot: Slot) -> dict[int, tuple[int, ...]]:
        """The cores of the CPU's other slots, for a trial that can use those which are free."""
        if slot.devices != (CPU_DEVICE,):
            return {}
        beside = [each for each in self.slots.values() if (each.node, each.devices) == (slot.node, slot.devices)]
        return {each.index: each.cores for each in beside if each is not slot}


def _event(taken: AnyEvent | GpuschedError) -> AnyEvent:
    if isinstance(taken, GpuschedError):
        raise taken
    return taken


def _written(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    with contextlib.suppress(PackageNotFoundError):
        return of("gpusched")
    return "0"


def versions(names: Sequence[str]) -> Mapping[str, str]:
    """Installed versions of those distributions, without importing them."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = of(name)
    return found
