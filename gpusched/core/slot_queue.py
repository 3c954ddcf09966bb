"""The slots, the trials in them, and those that wait for one.

Knows which slots are out of use and why, and who may go where. Refuses to know why a trial ended,
or which trial comes next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from gpusched.core.events import SessionOpened, SlotInfo, SlotsChanged
from gpusched.core.slots import SlotTable
from gpusched.core.trial import Alone, Trial


class Places:
    """Slots and queues. Trials are in a queue, in a slot, or run beside the table; never in two of these."""

    def __init__(self) -> None:
        self.table = SlotTable()
        self.quarantined: dict[str, str] = {}  #: devices that are out of use in this session, and why
        self.waiting: list[str] = []  #: why devices that may still come are not among the slots
        self.notes: list[str] = []  #: why the slots are as they are
        self._given: list[SlotInfo] = []  #: the slots, those on quarantined devices included
        self._pending: deque[Trial] = deque()
        self._to_be_alone: deque[Trial] = deque()

    # ------------------------------------------------------------------ slots

    def lay(self, event: SessionOpened | SlotsChanged) -> None:
        """Others from now on; `seat` puts those who run into them."""
        self._given, self.waiting, self.notes = event.slots, event.waiting, event.notes

    def seat(self, running: Iterable[Trial], *, as_before: bool) -> None:
        """A fresh table, with these trials on their own devices: `as_before` in the same slot, if that is there."""
        self.table = SlotTable(slot for slot in self._given if self.quarantined.keys().isdisjoint(slot.devices))
        for trial in running:
            # Where its devices are gone or full it trains on beside the table: nothing new counts on its place.
            trial.slot = self.table.take_like(trial.id, trial.devices, trial.slot if as_before else None)
            if trial.was_alone:
                everywhere = trial.was_alone is Alone.MACHINE
                self.table.close(trial.id, self.table.devices if everywhere else trial.devices)

    def leave(self, trial: Trial, left: int, running: Callable[[], list[Trial]]) -> None:
        """Its attempt has ended; so many are `left`, and `running` lists them where it comes to that."""
        if trial.slot is None:
            self.table.open(trial.id)
            return
        self.table.give_back(trial.slot)
        trial.slot = None
        # A trial that a lowered cap had left beside the table counts on the free slot now.
        if left > len(self.table.taken):
            for beside in running():
                if beside.slot is None and beside.devices == trial.devices:
                    beside.slot = self.table.take_like(beside.id, beside.devices)
                    return

    def without(self) -> str:
        """Why there is no slot, as far as it is known."""
        return "; ".join(f"{self.label(device)}: {reason}" for device, reason in self.quarantined.items())

    def label(self, device: str) -> str:
        """As people call it: its slots' label, without which of them."""
        named = next((slot.label or device for slot in self._given if device in slot.devices), device)
        return named.partition(" #")[0]

    # ------------------------------------------------------------------ queues

    def __len__(self) -> int:
        """How many wait for a slot."""
        return len(self._pending) + len(self._to_be_alone)

    def enqueue(self, trial: Trial) -> None:
        self._queue(trial).append(trial)

    def withdraw(self, trial: Trial) -> None:
        """It does not wait any more."""
        self._queue(trial).remove(trial)
        self.table.open(trial.id)

    def _queue(self, trial: Trial) -> deque[Trial]:
        return self._to_be_alone if trial.alone else self._pending

    def alone(self, running: Callable[[], list[Trial]]) -> Iterator[tuple[Trial, int]]:
        """Those that are to be alone and can be now, with their slots."""
        for trial in list(self._to_be_alone):
            beside = {device for other in running() if other.slot is None for device in other.devices}
            slot = self.table.take_alone(trial.id, everywhere=trial.alone is Alone.MACHINE, beside=beside)
            if slot is not None:
                self._to_be_alone.remove(trial)
                yield trial, slot

    def pending(self, *, last: bool) -> Iterator[tuple[Trial, int]]:
        """Those that go on, with their slots. Where its device may have killed a trial, it goes elsewhere.

        If there is no elsewhere it is among the `last`: others try that device first, so that it shows which of the
        two is to blame.
        """
        for trial in list(self._pending):
            if not self.table.free:
                break
            if trial.died_on and self.table.beyond(trial.died_on) is last:
                continue
            slot = self.table.take(trial.id, () if last else trial.died_on)
            if slot is not None:
                self._pending.remove(trial)
                yield trial, slot
