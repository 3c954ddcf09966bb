"""What each trial uses of its GPUs: time, memory, load.

Pure: told who runs where, and given the driver's samples with their time. A GPU's seconds go in equal parts to
the trials that are on it, so that the parts add up to what the GPU gave. A peak is the highest sample, so that a
shorter one may be missed; what no sample has seen is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field

from gpusched.devices.gpu import Sample


@dataclass(slots=True)
class Account:
    """Of one attempt, so far."""

    devices: tuple[str, ...]
    seconds: float = 0.0  #: GPU-seconds
    peaks: dict[str, int] = field(default_factory=dict)  #: bytes, by device
    loads: list[float] = field(default_factory=lambda: [0.0, 0.0])  #: sum and number of utilisations seen
    highest: dict[str, int] = field(default_factory=dict)  #: bytes in use there while it was alone, by device
    others: dict[str, int] = field(default_factory=dict)  #: bytes that no trial held, at most, by device
    share: int = 1
    seen: bool = False  #: the driver has named one of its processes

    @property
    def peak_bytes(self) -> int | None:
        """On one GPU."""
        return max(self.peaks.values(), default=None)

    @property
    def others_bytes(self) -> int | None:
        """What no trial held, on one GPU."""
        return max(self.others.values(), default=None)

    @property
    def utilisation(self) -> float | None:
        return round(self.loads[0] / self.loads[1], 4) if self.loads[1] else None

    def met(self, device: str, others: int) -> None:
        """So many bytes were held there by what is no trial."""
        self.others[device] = max(self.others.get(device, 0), others)

    def emptied(self, device: str, rest: int) -> None:
        """After its end so many bytes are in use there: where nothing else tells its peak, the difference does."""
        if not self.seen and device in self.highest:
            self.peaks.setdefault(device, max(0, self.highest[device] - rest))


class Accounts:
    """Of all attempts that run; keys are whatever names an attempt."""

    def __init__(self) -> None:
        self.running: dict[Hashable, Account] = {}
        self._at = 0.0
        self._rest: dict[str, int] = {}  #: bytes in use on a device when no trial was on it

    def on(self, device: str) -> list[Hashable]:
        """Who is on it."""
        return [key for key, account in self.running.items() if device in account.devices]

    def began(self, key: Hashable, devices: tuple[str, ...], at: float) -> None:
        self._advance(at)
        self.running[key] = Account(devices)
        for device in devices:
            here = self.on(device)
            for other in here:
                self.running[other].share = max(self.running[other].share, len(here))

    def ended(self, key: Hashable, at: float) -> Account | None:
        """Closes its account."""
        self._advance(at)
        return self.running.pop(key, None)

    def _advance(self, at: float) -> None:
        passed, self._at = max(0.0, at - self._at), at
        if passed:
            for account in self.running.values():
                account.seconds += sum(passed / len(self.on(device)) for device in account.devices)

    def sampled(self, samples: Mapping[str, Sample], owner: Callable[[int], Hashable | None], at: float) -> None:
        """Takes in a look at the devices; owner(pid) is the key of the attempt a process belongs to."""
        self._advance(at)
        for device, sample in samples.items():
            here = self.on(device)
            if not here:
                if sample.used_bytes is not None:
                    self._rest[device] = sample.used_bytes
                continue
            by_key = self._held(sample, owner, here)
            others = self.beside(sample, owner)
            if len(here) == 1 and sample.used_bytes is not None:
                highest = self.running[here[0]].highest
                highest[device] = max(highest.get(device, 0), sample.used_bytes)
            for key in here:
                account = self.running[key]
                if key in by_key and others is not None:
                    account.met(device, others)
                if key in by_key:
                    account.peaks[device] = max(account.peaks.get(device, 0), by_key[key])
                if sample.utilisation is not None:
                    account.loads[0] += sample.utilisation
                    account.loads[1] += 1

    def _held(
        self, sample: Sample, owner: Callable[[int], Hashable | None], here: Collection[Hashable]
    ) -> dict[Hashable, int]:
        held: dict[Hashable, int] = {}
        named = False
        for pid, count in sample.processes.items():
            key = owner(pid)
            if key is not None and key in self.running:
                named = self.running[key].seen = True
                if count is not None:
                    held[key] = held.get(key, 0) + count
        if held or named or len(here) != 1 or sample.used_bytes is None or sample.uuid not in self._rest:
            return held
        # A container hides who holds memory, but of one trial alone it can be told what it added.
        added = sample.used_bytes - self._rest[sample.uuid]
        return dict.fromkeys(here, added) if added > 0 else {}

    @staticmethod
    def beside(sample: Sample, owner: Callable[[int], Hashable | None]) -> int | None:
        """Bytes in use that no trial holds; None where the driver does not say what trials hold."""
        own = [count for pid, count in sample.processes.items() if owner(pid) is not None]
        if sample.used_bytes is None or None in own:
            return None
        return max(0, sample.used_bytes - sum(count for count in own if count is not None))

    def rest(self, device: str) -> int | None:
        """Bytes that were in use on it when no trial was there."""
        return self._rest.get(device)
