"""The slots of this machine as they are to be now: the devices asked for, less those in others' use or broken.

Knows the wishes and what has been found; decides by the rules of `devices`. Looks at nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, cast

from msgspec.structs import replace

from gpusched.core.events import SlotInfo
from gpusched.devices import BusyPolicy, Gpu, Inventory, Slot, cpu, place, usable
from gpusched.devices.visible import select
from gpusched.errors import UsageError
from gpusched.runtime.machine.caller import NOBODY, Caller, filled
from gpusched.runtime.machine.sharing import Sharing
from gpusched.trial.settings import Settings


class Laid(NamedTuple):
    """Slots, and lines for people."""

    slots: tuple[Slot, ...]
    waiting: list[str]  #: why devices that may still come are not among them
    notes: list[str]  #: why they are as they are

    def infos(self) -> list[SlotInfo]:
        """As the core sees them."""
        return [
            SlotInfo(
                index=slot.index,
                devices=slot.devices,
                label=slot.label,
                total_bytes=slot.total_bytes,
                node=slot.node,
            )
            for slot in self.slots
        ]


class Layout:
    """What is wished, what has been found, and the slots that follow.

    Raises UsageError for what cannot be, and where the caller itself fills every GPU that is asked for.
    """

    def __init__(self, machine: Inventory, settings: Settings, sharing: Sharing, caller: Caller = NOBODY) -> None:
        self.sharing = sharing
        self._caller = caller
        machine = self._machine = replace(machine, gpus=tuple(map(caller.marked, machine.gpus)))
        self._wanted = settings.gpus
        self._per_trial, self._cpu_slots = settings.gpus_per_trial, settings.cpu_slots
        self._policy = cast(BusyPolicy, settings.when_busy)
        #: What is asked for, in the machine's order; none: the CPU.
        self.gpus: tuple[Gpu, ...] = select(machine.gpus, settings.gpus, why_none="; ".join(machine.notes))
        self.busy: dict[str, str] = {}  #: GPUs that others compute on, by UUID, with the reason for people
        self.fresh: set[str] = set()  #: chosen since the last look
        self.lost: dict[str, str] = {}  #: broken ones
        full = [f"{held} of gpu {gpu.label}" for gpu in self.gpus if (held := filled(gpu))]
        if full and len(full) == len(self.gpus):
            raise UsageError(f"{' and '.join(full)}, {caller.way_out()}")

    def judge(self, found: Iterable[Gpu], own_pids: Collection[int], *, first: bool = False) -> bool:
        """Takes in a look at GPUs; returns whether others' use of them has changed.

        Under "skip" only the first look at a GPU counts: who comes later comes to where our trials are. Raises
        UsageError where then no GPU is left.
        """
        before = dict(self.busy)
        asked = {gpu.uuid for gpu in self.gpus if first or self._policy == "wait" or gpu.uuid in self.fresh}
        fresh = {gpu.uuid: self._caller.marked(gpu) for gpu in found if gpu.uuid in asked}
        self.fresh -= fresh.keys()
        for uuid, gpu in fresh.items():
            held = filled(gpu)
            reason = held and f"{held} of it, {self._caller.way_out()}"
            reason = reason or usable(replace(gpu, refused=None), own_pids, self._policy)
            if reason is None:
                self.busy.pop(uuid, None)
            else:
                self.busy[uuid] = reason
        # Only what others hold: the order of GPUs, and so the numbers of slots, stays what it was.
        self.gpus = tuple(_with_processes(gpu, fresh) for gpu in self.gpus)
        self._machine = replace(self._machine, gpus=tuple(_with_processes(gpu, fresh) for gpu in self._machine.gpus))
        if first and self._policy == "skip" and self.gpus and len(self.busy) == len(self.gpus):
            reasons = "; ".join(self._reasons(self.busy))
            raise UsageError(
                f"others compute on every GPU ({reasons}); --when-busy wait waits for them, --when-busy share does not"
            )
        return before != self.busy

    def choose(self, wanted: str | list[str]) -> None:
        """Other GPUs from now on; trials that run end where they are. Raises UsageError for unknown ones."""
        gpus = select(self._machine.gpus, wanted)
        if not gpus or not self.gpus:
            raise UsageError(
                "gpus: a running search does not change between GPUs and the CPU; stop it, and give --gpus to the next"
            )
        if self._policy != "share":
            # Who computes there is seen at the next look.
            known = {gpu.uuid for gpu in self.gpus}
            self.fresh = {gpu.uuid for gpu in gpus if gpu.uuid not in known}
            self.busy |= dict.fromkeys(self.fresh, "is looked at first")
        self._wanted, self.gpus = wanted, gpus

    @property
    def on_gpus(self) -> bool:
        """Whether GPUs are asked for, were they all busy or broken now."""
        return bool(self.gpus)

    @property
    def grouped(self) -> bool:
        """Whether a trial takes several GPUs."""
        return self._per_trial > 1

    def caps(self) -> dict[str, int]:
        """Trials at once, by GPU."""
        number = max(1, len(self.gpus) // self._per_trial)
        return {gpu.uuid: self.sharing.cap(gpu, number, self._machine.cpu.available_bytes) for gpu in self.gpus}

    def lay(self, own_pids: Collection[int] = ()) -> Laid:
        """The slots now. `own_pids` are processes whose memory is ours to reckon with."""
        without = self.busy.keys() | self.lost.keys()
        cpu_slots = self._cpu_slots
        most = self.sharing.most_at_once
        if not self.gpus and most is not None:
            cpu_slots = min(most, cpu.count(self._machine.cpu, cpu_slots)[0])
        placed = place(self._machine, self._wanted, self.caps(), self._per_trial, cpu_slots, own_pids, without)
        notes = list(placed.notes)
        if self._policy == "wait":
            waiting = self._reasons({uuid: why for uuid, why in self.busy.items() if uuid not in self.lost})
        else:
            waiting, notes = [], notes + self._reasons(self.busy)
        number = max(1, len(self.gpus) // self._per_trial)
        notes += [
            line
            for gpu in self.gpus
            if gpu.uuid not in without and (line := self.sharing.why(gpu, number, self._machine.cpu.available_bytes))
        ]
        return Laid(placed.slots, waiting, notes)

    def _reasons(self, by_uuid: dict[str, str]) -> list[str]:
        return [f"gpu {gpu.label}: {by_uuid[gpu.uuid]}" for gpu in self.gpus if gpu.uuid in by_uuid]


def _with_processes(gpu: Gpu, fresh: dict[str, Gpu]) -> Gpu:
    return replace(gpu, processes=fresh[gpu.uuid].processes) if gpu.uuid in fresh else gpu
