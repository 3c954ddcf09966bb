"""How much of the slots' time was in use: of those that were there, while trials were to be started.

Pure. A pause, or a search that stops, gives its devices back: what is free then is not idle. A trial that trains on
after its slot was taken away, as under a lowered cap, counts on the slots that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gpusched.core.events import (
    AnyEvent,
    DeviceFailed,
    PauseAsked,
    ResumeAsked,
    SessionClosed,
    SessionOpened,
    SlotInfo,
    SlotsChanged,
    StopAsked,
    TimeExpired,
)


@dataclass(slots=True)
class Use:
    """Of all sessions."""

    offered: float = 0.0  #: slot-seconds in which a trial could have run
    used: float = 0.0  #: of these, those in which one did
    most: int = 0  #: slots at once
    lanes: dict[int, list[tuple[float, float]]] = field(default_factory=dict)  #: when each slot was there, by index

    @property
    def busy(self) -> float | None:
        """The share in use, 0 … 1."""
        return self.used / self.offered if self.offered else None


def use_of(events: Iterable[AnyEvent], jobs: Sequence[tuple[float, float]], until: float) -> Use:
    """`jobs` are (start, end) of every stay in a slot; `until` is now. All in seconds of running time."""
    use, offer, at, running = Use(), _Offer(), 0.0, 0
    # At the same moment a job that ends makes room before another begins.
    changes = [(end, 0, -1) for _, end in jobs] + [(start, 1, 1) for start, _ in jobs]
    steps: list[tuple[float, int, int | AnyEvent | None]] = [*changes, *((event.at, 2, event) for event in events)]
    for moment, _, change in [*sorted(steps, key=lambda step: step[:2]), (until, 3, None)]:
        slots, passed = offer.slots(), max(0.0, moment - at)
        use.offered += len(slots) * passed
        use.used += min(running, len(slots)) * passed
        use.most = max(use.most, len(slots))
        if passed:
            _extend(use.lanes, slots, at, moment)
        at = max(at, moment)
        if isinstance(change, int):
            running += change
        elif change is not None:
            offer.take(change)
    return use


def _extend(lanes: dict[int, list[tuple[float, float]]], slots: Iterable[int], start: float, end: float) -> None:
    for slot in slots:
        lane = lanes.setdefault(slot, [])
        if lane and lane[-1][1] == start:
            lane[-1] = (lane[-1][0], end)
        else:
            lane.append((start, end))


@dataclass(slots=True)
class _Offer:
    """The slots that are there now."""

    given: list[SlotInfo] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    resting: bool = True  #: nothing is to be started

    def slots(self) -> list[int]:
        if self.resting:
            return []
        return [slot.index for slot in self.given if self.failed.isdisjoint(slot.devices)]

    def take(self, event: AnyEvent) -> None:
        match event:
            case SessionOpened():
                self.given, self.failed, self.resting = event.slots, set(), False
            case SlotsChanged():
                self.given = event.slots
            case DeviceFailed():
                self.failed.add(event.device)
            case ResumeAsked():
                self.resting = False
            case PauseAsked() | StopAsked() | TimeExpired() | SessionClosed():
                self.resting = True
