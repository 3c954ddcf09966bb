"""Which slot the next trial gets: breadth first over the devices.

A slot is a place for one trial at a time; several slots may stand on one GPU, and one slot on
several. Where they are and how a process is pinned to them is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heappop, heappush

from gpusched.core.events import SlotInfo

#: Devices whose memory differs by less are of one size: boards of a kind report a few megabytes more or less.
_SAME_SIZE = 0.95


class SlotTable:
    """Free and taken slots. Taking and giving back cost O(log slots)."""

    def __init__(self, slots: Iterable[SlotInfo] = ()) -> None:
        self.slots: dict[int, SlotInfo] = {slot.index: slot for slot in slots}
        self.taken: dict[int, int] = {}  #: slot index → trial
        self._load: dict[str, int] = {}  #: trials on each device
        self._on: dict[str, list[int]] = {}  #: slots that stand on each device
        self._closed: dict[str, int] = {}  #: device → the trial that is to have it alone
        self._kept: dict[int, int] = {}  #: trial that waits to be alone → its slot
        self._heap: list[tuple[int, int]] = []  #: (load when pushed, index); out-of-date entries are put right when met
        for slot in self.slots.values():
            for device in slot.devices:
                self._on.setdefault(device, []).append(slot.index)
            heappush(self._heap, (0, slot.index))

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def free(self) -> int:
        """Slots that a trial can be given now."""
        if not self._closed:
            return len(self.slots) - len(self.taken)
        return sum(index not in self.taken and not self._is_closed(slot) for index, slot in self.slots.items())

    @property
    def devices(self) -> tuple[str, ...]:
        """All that slots stand on."""
        return tuple(self._on)

    def kept_for(self, index: int) -> int | None:
        """The trial that is to have this slot's devices alone."""
        return next((self._closed[device] for device in self.slots[index].devices if device in self._closed), None)

    def _is_closed(self, slot: SlotInfo) -> bool:
        return any(device in self._closed for device in slot.devices)

    def _weight(self, slot: SlotInfo) -> int:
        # A CPU counts as one device under all its slots: there the load says nothing of where to go next,
        # and reckoning with it would cost O(slots) a job.
        if slot.devices == ("cpu",):
            return 0
        return max((self._load.get(device, 0) for device in slot.devices), default=0)

    def take(self, trial: int, avoid: Collection[str] = (), near: str = "") -> int | None:
        """The free slot whose devices are least busy, lowest index first; None where all are taken.

        Slots on the devices in `avoid` are passed over. Of slots that are as little busy one on the node `near` is
        taken before the others.
        """
        passed: list[tuple[int, int]] = []
        found: int | None = None
        while self._heap and found is None:
            load, index = heappop(self._heap)
            slot = self.slots.get(index)
            if slot is None or index in self.taken or self._is_closed(slot):
                continue  # Slots of a closed device come back when it is opened.
            now = self._weight(slot)
            if now > load:
                heappush(self._heap, (now, index))
            elif any(device in avoid for device in slot.devices):
                passed.append((load, index))
            else:
                found = index
                if near and slot.node != near:
                    passed.append((load, index))
                    found = self._on_node(near, now, avoid, index)
                self._occupy(self.slots[found], trial)
        for entry in passed:
            heappush(self._heap, entry)
        return found

    def _on_node(self, node: str, weight: int, avoid: Collection[str], otherwise: int) -> int:
        """A free slot on this node that weighs no more; its entry in the heap is out of date from now on."""
        there = (
            slot.index
            for slot in self.slots.values()
            if slot.node == node
            and slot.index not in self.taken
            and not self._is_closed(slot)
            and self._weight(slot) <= weight
            and not any(device in avoid for device in slot.devices)
        )
        return min(there, default=otherwise)

    def beyond(self, devices: Collection[str]) -> bool:
        """Whether any slot, free or taken, stands on none of these devices."""
        return any(not any(device in devices for device in slot.devices) for slot in self.slots.values())

    def take_like(self, trial: int, devices: tuple[str, ...], prefer: int | None = None) -> int | None:
        """A free slot on just these devices, for a trial that runs there already; None where there is none."""
        there = sorted({i for device in devices for i in self._on.get(device, ())}, key=lambda i: (i != prefer, i))
        for index in there:
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
        trial = self.taken.pop(index)
        slot = self.slots[index]
        for device in slot.devices:
            self._load[device] -= 1
        # Under a CPU's slots, only this one has changed what it weighs.
        self._push({index} if slot.devices == ("cpu",) else {i for device in slot.devices for i in self._on[device]})
        self.open(trial)

    def _push(self, indices: Iterable[int]) -> None:
        for i in indices:
            if i not in self.taken:
                heappush(self._heap, (self._weight(self.slots[i]), i))

    # ------------------------------------------------------------------ a trial alone

    def take_alone(self, trial: int, *, everywhere: bool = False, beside: Collection[str] = ()) -> int | None:
        """A slot on whose devices (`everywhere`: on any device) no other trial is.

        The largest devices are chosen, of these the least busy. Where others train on them, they are kept for this
        trial: nothing new starts there, and None is returned until they are empty. `beside` are devices that trials
        without a slot are on.
        """
        if trial not in self._kept:
            slot = self._emptiest(everywhere)
            if slot is None:
                return None
            self._kept[trial] = slot.index
            self.close(trial, self.devices if everywhere else slot.devices)
        slot = self.slots[self._kept[trial]]
        devices = [device for device, holder in self._closed.items() if holder == trial]
        if (everywhere and beside) or any(self._load.get(device) or device in beside for device in devices):
            return None
        self._occupy(slot, trial)
        return slot.index

    def _emptiest(self, everywhere: bool) -> SlotInfo | None:
        if everywhere and self._closed:
            return None
        largest = max((slot.total_bytes or 0 for slot in self.slots.values()), default=0)
        return min(
            (slot for slot in self.slots.values() if not self._is_closed(slot)),
            key=lambda slot: ((slot.total_bytes or 0) < _SAME_SIZE * largest, self._weight(slot), slot.index),
            default=None,
        )

    def close(self, trial: int, devices: Iterable[str]) -> None:
        """Nothing else starts on these devices until `open`, or until the trial gives its slot back."""
        self._closed |= {device: trial for device in devices if device in self._on}

    def open(self, trial: int) -> None:
        """The devices that were this trial's alone are everybody's again."""
        if not self._closed:
            return
        self._kept.pop(trial, None)
        mine = [device for device, holder in self._closed.items() if holder == trial]
        for device in mine:
            del self._closed[device]
        self._push({index for device in mine for index in self._on[device]})
