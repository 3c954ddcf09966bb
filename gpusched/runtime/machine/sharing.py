"""How many trials share a GPU: as asked, or as many as are known to fit.

Pure, and a function of the journal's events: what was learnt in one session holds in the next. With "auto" a GPU
starts with one trial, and every trial whose peak is known admits one more, as long as so many of the largest peak
fit with a margin. A trial that ran out of memory beside others lowers the number, asked for or not.
"""

from __future__ import annotations

from gpusched.core.events import AnyEvent, JobEnded, JobStarted, SessionOpened
from gpusched.core.faults import OUT_OF_GPU_MEMORY, OUT_OF_HOST_MEMORY
from gpusched.core.outcome import End
from gpusched.devices.gpu import Gpu
from gpusched.devices.placement import FILL
from gpusched.figures import size

#: What the next trial may need more than the largest so far.
MARGIN = 1.1
#: However small trials are, a GPU that more of them take turns on gives none of them time.
MOST = 16


class Sharing:
    """What is known about memory, and the number of trials a GPU that follows from it."""

    def __init__(self, asked: int | str) -> None:
        self.asked = asked
        self._peaks: dict[int, int] = {}  #: GPU memory, by trial
        self._host_bytes = 0  #: the largest process
        self._short: dict[int, int] = {}  #: trial → how many were on its GPU when it ran out of memory
        self._short_of_host: int | None = None  #: trials that ran when the machine's memory was used up
        self._running: set[int] = set()

    # ------------------------------------------------------------------ learning

    def learn(self, event: AnyEvent) -> None:
        """Takes in an event of the journal."""
        match event:
            case SessionOpened():
                self._running = set(event.adopted)
            case JobStarted():
                self._running.add(event.trial)
            case JobEnded():
                self._learn_end(event)
                self._running.discard(event.trial)

    def _learn_end(self, event: JobEnded) -> None:
        usage, kind = event.usage, event.failure.kind if event.failure is not None else ""
        if usage is not None and usage.peak_bytes is not None:
            self._host_bytes = max(self._host_bytes, usage.peak_bytes)
        if usage is not None and usage.gpu_peak_bytes is not None and event.end is not End.KILLED:
            self.seen(event.trial, usage.gpu_peak_bytes)
        if kind == OUT_OF_GPU_MEMORY:
            share = usage.gpu_share if usage is not None and usage.gpu_share is not None else 1
            if share > 1:
                self._short[event.trial] = share
            else:
                # Alone it does not fit either: it says nothing about sharing.
                self._short.pop(event.trial, None)
                self._peaks.pop(event.trial, None)
        elif kind in OUT_OF_HOST_MEMORY:
            here = len(self._running | {event.trial})
            if here > 1:
                self._short_of_host = min(here, self._short_of_host or here)

    def seen(self, trial: int, peak_bytes: int) -> None:
        """So much a trial has held on a GPU, its context included."""
        self._peaks[trial] = max(peak_bytes, self._peaks.get(trial, 0))

    def ask(self, number: int | str) -> None:
        """A person wants another number: what was learnt against it is known to them."""
        self.asked = number
        self._short.clear()

    # ------------------------------------------------------------------ what follows

    @property
    def most_at_once(self) -> int | None:
        """Trials on the whole machine; None: nothing is known against any number."""
        return None if self._short_of_host is None else max(1, self._short_of_host - 1)

    def cap(self, gpu: Gpu, gpus: int, host_bytes: int) -> int:
        """Trials at once on this GPU, one of `gpus`; `host_bytes` is the memory of the machine that trials may take."""
        most = self._asked(gpu, gpus, host_bytes) if self.asked == "auto" else int(self.asked)
        if self._short:
            most = min(most, min(self._short.values()) - 1)
        if self.most_at_once is not None:
            most = min(most, self.most_at_once // max(1, gpus))
        return max(1, most)

    def _asked(self, gpu: Gpu, gpus: int, host_bytes: int) -> int:
        fits = self._fits(gpu)
        if fits is None:
            return 1
        if self._host_bytes:
            fits = min(fits, int(host_bytes / (self._host_bytes * MARGIN)) // max(1, gpus))
        return min(fits, len(self._peaks) + 1, MOST)

    def _fits(self, gpu: Gpu) -> int | None:
        if not self._peaks or gpu.total_bytes is None:
            return None
        return int(_room(gpu) / (max(self._peaks.values()) * MARGIN))

    def why(self, gpu: Gpu, gpus: int, host_bytes: int) -> str:
        """Why the number of trials on this GPU is what it is; empty where it is what was asked for."""
        cap = self.cap(gpu, gpus, host_bytes)
        head = f"gpu {gpu.label}: {cap} at once"
        if self._short and cap == max(1, min(self._short.values()) - 1) and cap != self.asked:
            trial = min(self._short, key=lambda each: (self._short[each], each))
            return f"{head}: trial {trial} ran out of memory as one of {self._short[trial]}"
        if self.most_at_once is not None and cap == max(1, self.most_at_once // max(1, gpus)) and cap != self.asked:
            return f"{head}: {self._short_of_host} trials at once were too many for the machine's memory"
        if self.asked != "auto":
            return ""
        if gpu.total_bytes is None:
            return f"{head}: the driver does not tell its memory"
        if not self._peaks:
            return f"{head}: how much memory a trial needs is not known yet"
        peak = max(self._peaks.values())
        known = f"the largest of {len(self._peaks)} known trials held {size(peak)}"
        fits = self._fits(gpu) or 0
        if cap >= fits or cap == 1:
            return f"{head}: {known}, and {size(_room(gpu))} hold {max(fits, 0)} of these with a margin"
        if cap == MOST:
            return f"{head}: {known}; more would only take turns"
        if cap == len(self._peaks) + 1:
            return f"{head}: {known}; {fits} fit, each that is known admits one"
        return f"{head}: {known}, but a process takes up to {size(self._host_bytes)} of the machine's memory"


def _room(gpu: Gpu) -> int:
    """Bytes that trials may fill together."""
    others = sum(process.used_bytes or 0 for process in gpu.processes if process.kind != "compute")
    return max(0, int(((gpu.total_bytes or 0) - others) * FILL))
