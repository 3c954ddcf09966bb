"""Which slot the next trial gets: breadth first over the devices.

A slot is a place for one trial at a time; several slots may stand on one GPU, and one slot on
several. Where they are and how a process is pinned to them is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from gpusched.core.events import SlotInfo


class SlotTable:
    """Free and taken slots. Taking and giving back cost O(log slots)."""

    def __init__(self, slots: Iterable[SlotInfo] = ()) -> None:
        self.slots: dict[int, SlotInfo] = {slot.index: slot for slot in slots}
        self.taken: dict[int, int] = {}  #: slot index → trial
        self._load: dict[str, int] = {}  #: trials on each device
        self._on: dict[str, list[int]] = {}  #: slots that stand on each device
        self._heap: list[tuple[int, int]] = []  #: (load when pushed, index); out-of-date entries are put right when met
        for slot in self.slots.values():
            for device in slot.devices:
                self._on.setdefault(device, []).append(slot.index)
            heappush(self._heap, (0, slot.index))

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def free(self) -> int:
        return len(self.slots) - len(self.taken)

    def _weight(self, slot: SlotInfo) -> int:
        # A CPU counts as one device under all its slots: there the load says nothing of where to go next,
        # and reckoning with it would cost O(slots) a job.
        if slot.devices == ("cpu",):
            return 0
        return max((self._load.get(device, 0) for device in slot.devices), default=0)

    def take(self, trial: int) -> int | None:
        """The free slot whose devices are least busy, lowest index first; None where all are taken."""
        while self._heap:
            load, index = heappop(self._heap)
            slot = self.slots.get(index)
            if slot is None or index in self.taken:
                continue
            now = self._weight(slot)
            if now > load:
                heappush(self._heap, (now, index))
                continue
            self._occupy(slot, trial)
            return index
        return None

    def take_like(self, trial: int, devices: tuple[str, ...]) -> int | None:
        """A free slot on just these devices, for a trial that runs there already; None where there is none."""
        for index in sorted({i for device in devices for i in self._on.get(device, ())}):
            slot = self.slots[index]
            if index not in self.taken and slot.devices == devices:
                self._occupy(slot, trial)
                return index
        return None

    def _occupy(self, slot: SlotInfo, trial: int) -> None:
        self.taken[slot.index] = trial
        for device in slot.devices:
            self._load[device] = self._load.get(device, 0) + 1

    def give_back(self, index: int) -> None:
        """The trial in this slot has left it."""
        del self.taken[index]
        slot = self.slots[index]
        for device in slot.devices:
            self._load[device] -= 1
        # Under a CPU's slots, only this one has changed what it weighs.
        near = {index} if slot.devices == ("cpu",) else {i for device in slot.devices for i in self._on[device]}
        for i in near:
            if i not in self.taken:
                heappush(self._heap, (self._weight(self.slots[i]), i))
