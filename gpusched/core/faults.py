"""Whose fault it was that an attempt died: the trial's, its device's, or a want of memory.

Pure, and a function of the events: what it knows is rebuilt by replaying the journal. A device is
to blame when two trials in a row died on it and one of them then ended well elsewhere, or on the word
of its driver; a trial is to blame when it died on two devices.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from gpusched.core.commands import Interrupt
from gpusched.core.events import JobEnded, TrialHung
from gpusched.core.outcome import End, Failure
from gpusched.core.trial import Alone, Trial, TrialState
from gpusched.figures import size

#: Kinds of failures: of a GPU's memory by exception, of the host's by exception or by the kernel's OOM killer.
OUT_OF_GPU_MEMORY = "ResourceExhaustedError"
OUT_OF_HOST_MEMORY = frozenset({"MemoryError", "OOMKilled"})
#: The framework sees no GPU, or the driver says that this one does not work.
NO_GPU, DEVICE_ERROR = "NoGPU", "DeviceError"
#: How an attempt ends when it is its device that is broken, though it may also be the trial.
_DEATHS = frozenset({"signal", "hang", NO_GPU, DEVICE_ERROR})

_TRIALS_IN_ROW = 2
#: More than drivers and desktops hold: somebody computes there.
_OTHERS_BYTES, _OTHERS_SHARE = 2**30, 0.05
#: So often a trial is tried again beside others that leave it too little.
_CROWDED_TIMES = 5


class Verdict(enum.Enum):
    USUAL = enum.auto()  #: what its end says is what it is
    AGAIN = enum.auto()  #: no fault of the trial's: it goes on from its checkpoint, elsewhere if that can be
    ALONE = enum.auto()  #: again, with memory that is shared with nobody
    LOST = enum.auto()  #: it fails, whatever retries it has left


class Ledger:
    """Deaths by device."""

    def __init__(self) -> None:
        #: device → trials that died on it since one last ended well there, and of what
        self._rows: dict[str, dict[int, str]] = {}
        self._broken: dict[str, str] = {}
        self._sound: set[str] = set()  #: devices on which a trial has ended well

    def judge(self, trial: Trial, event: JobEnded, quarantined: set[str]) -> Verdict:
        """Of an attempt that has just ended; `event` says in which way."""
        kind = event.failure.kind if event.failure is not None else ""
        devices = [device for device in trial.devices if device != "cpu"]
        if event.end is End.COMPLETED:
            self._ended_well(trial, devices)
            return Verdict.USUAL
        if kind == "hang":
            trial.hangs += 1
        if event.end in (End.STOPPED, End.OVERSIZE, End.INTERRUPTED):
            return Verdict.USUAL
        if not quarantined.isdisjoint(devices) and (event.end is not End.FATAL or kind == NO_GPU):
            return Verdict.AGAIN
        if kind == OUT_OF_GPU_MEMORY or kind in OUT_OF_HOST_MEMORY:
            return _short_of_memory(trial, event, host=kind in OUT_OF_HOST_MEMORY or not devices)
        if kind == "hang":
            self._died(trial, devices, event)
            return Verdict.AGAIN if trial.hangs == 1 else Verdict.LOST
        if kind not in _DEATHS or not devices or (kind == "signal" and event.end is End.KILLED):
            return Verdict.USUAL  # No device sends SIGKILL.
        if kind == NO_GPU and self._sound <= set(devices):
            return Verdict.USUAL  # No GPU has ever been seen: the framework is to blame, and another slot no help.
        return Verdict.AGAIN if self._died(trial, devices, event) else Verdict.USUAL

    def _died(self, trial: Trial, devices: list[str], event: JobEnded) -> bool:
        """Whether the device may be to blame."""
        before = set(trial.died_on)
        trial.died_on.update(devices)
        if before:
            # Here again, or here too: wherever it runs it dies.
            for row in self._rows.values():
                row.pop(trial.id, None)
            return False
        for device in devices:
            self._rows.setdefault(device, {})[trial.id] = event.failure.message if event.failure else ""
        return True

    def _ended_well(self, trial: Trial, devices: list[str]) -> None:
        self._sound.update(devices)
        for device in devices:
            self._rows.pop(device, None)
        for device in trial.died_on.difference(devices):
            row = self._rows.get(device, {})
            if trial.id in row and len(row) >= _TRIALS_IN_ROW:
                names = " and ".join(map(str, row))
                self._broken[device] = (
                    f"trials {names} died on it, one after the other ({row[trial.id]}), "
                    f"and trial {trial.id} ended well elsewhere"
                )
                del self._rows[device]

    def broken(self) -> dict[str, str]:
        """Devices that are to blame, and why; told once."""
        found, self._broken = self._broken, {}
        return found


def as_it_was(trial: Trial, event: JobEnded) -> JobEnded:
    """The end of an attempt that was ended because it hung is that it hung."""
    if trial.hung is None or event.end in (End.COMPLETED, End.STOPPED):
        return event
    failure = Failure(kind="hang", message=trial.hung.reason)
    trial.failure = failure
    return msgspec.structs.replace(event, end=End.KILLED, failure=failure)


def hang(trial: Trial | None, hung: TrialHung) -> list[Interrupt]:
    """An attempt that shows no sign of life is ended."""
    if trial is None or trial.state is not TrialState.RUNNING or trial.attempt != hung.attempt or trial.hung:
        return []
    trial.hung = hung
    return [Interrupt(trial=trial.id, attempt=trial.attempt, now=True)]


def _short_of_memory(trial: Trial, event: JobEnded, *, host: bool) -> Verdict:
    wanted = Alone.MACHINE if host else Alone.DEVICE
    if trial.was_alone is Alone.MACHINE or trial.was_alone is wanted:
        if host or not _crowded(trial, event):
            return Verdict.LOST
        trial.crowded += 1  # Others held its GPU: no fault of its size, and they may leave.
        return Verdict.AGAIN if trial.crowded <= _CROWDED_TIMES else Verdict.LOST
    trial.alone = wanted
    return Verdict.ALONE


def _crowded(trial: Trial, event: JobEnded) -> bool:
    """Whether so much of its GPU was held by what is no trial that it might have fitted otherwise."""
    others = event.usage.gpu_others_bytes if event.usage is not None else None
    whole = trial.where.total_bytes if trial.where is not None else None
    return others is not None and others > max(_OTHERS_BYTES, _OTHERS_SHARE * (whole or 0))


def too_large(trial: Trial, event: JobEnded) -> Failure:
    """Why a trial failed that ran out of memory alone: its need, and what there was."""
    failure = event.failure or Failure(kind=OUT_OF_GPU_MEMORY, message="out of memory")
    usage, where = event.usage, trial.where
    on_gpu = failure.kind == OUT_OF_GPU_MEMORY and trial.devices != ("cpu",)
    peak = (usage.gpu_peak_bytes if on_gpu else usage.peak_bytes) if usage is not None else None
    whole = f" of {size(where.total_bytes)}" if on_gpu and where is not None and where.total_bytes else ""
    place = f"{where.label.partition(' #')[0] or 'its GPU'}{whole}" if on_gpu and where is not None else "this machine"
    needs, others = f"needs more memory than {place} has, alone on it too", ""
    if usage is not None and _crowded(trial, event):
        needs = f"found too little memory on {place}, {trial.crowded} times"
        others = f"; others held {size(usage.gpu_others_bytes or 0)} of it"
    held = f"it held {size(peak)} and wanted more" if peak else "how much it needs is not known"
    return Failure(
        kind=failure.kind,
        message=f"{needs}; {held}{others} ({failure.message})",
        traceback=failure.traceback,
    )


def failed_in_row(row: list[int], trial: Trial) -> str:
    """Why a search ends whose neighbours have failed; `trial` is the last of them."""
    why = trial.failure.brief if trial.failure is not None else "no reason known"
    return f"{len(row)} trials in a row failed ({', '.join(map(str, row))}); trial {trial.id}: {why}"


class InARow:
    """Failed trials that are neighbours by id: the order in which they failed plays no part."""

    def __init__(self) -> None:
        self._failed: set[int] = set()

    def add(self, trial_id: int) -> list[int]:
        """The unbroken row that this trial, which has failed, is in."""
        self._failed.add(trial_id)
        first = last = trial_id
        while first - 1 in self._failed:
            first -= 1
        while last + 1 in self._failed:
            last += 1
        return list(range(first, last + 1))

    def forget(self, trials: Iterable[int]) -> None:
        """These are tried again."""
        self._failed.difference_update(trials)

    def clear(self) -> None:
        self._failed.clear()
