"""What trials use of their devices while they run: the driver's figures for GPUs, the kernel's for CPU slots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from gpusched.system.process.kernel import session_of
from gpusched.ui.draw import Load
from gpusched.ui.facts import Row

if TYPE_CHECKING:
    import psutil

    from gpusched.devices import Nvml, Sample


class Meter:
    """Samples the load of slots. A figure that cannot be had is left out; nothing here raises for want of one."""

    def __init__(self) -> None:
        self._nvml: Nvml | None = None
        self._tried = False
        self._processes: dict[int, psutil.Process] = {}

    def sample(self, rows: list[Row]) -> dict[int, Load]:
        """The load by slot."""
        loads: dict[int, Load] = {}
        gpus = {device for row in rows for device in row.devices if device != "cpu"}
        samples = {}
        if gpus and (nvml := self._driver()) is not None:
            samples = nvml.sample(gpus)
        for row in rows:
            here = [samples[device] for device in row.devices if device in samples]
            if here:
                known = [sample.utilisation for sample in here if sample.utilisation is not None]
                loads[row.slot] = Load(
                    used_bytes=_held(here, row.pid),
                    total_bytes=sum(sample.total_bytes or 0 for sample in here) or None,
                    utilisation=sum(known) / len(known) if known else None,
                )
            elif row.pid is not None and row.devices == ("cpu",):
                load = self._process(row.pid)
                if load is not None:
                    loads[row.slot] = load
        for gone in self._processes.keys() - {row.pid for row in rows}:
            del self._processes[gone]
        return loads

    def _process(self, pid: int) -> Load | None:
        import psutil

        try:
            process = self._processes.get(pid)
            if process is None:
                process = self._processes[pid] = psutil.Process(pid)
                process.cpu_percent()  # the first call only starts the count
                return Load(used_bytes=process.memory_info().rss)
            cores = max(1, len(process.cpu_affinity()))
            return Load(used_bytes=process.memory_info().rss, utilisation=process.cpu_percent() / 100 / cores)
        except (psutil.Error, OSError):
            return None

    def _driver(self) -> Nvml | None:
        if not self._tried:
            self._tried = True
            from gpusched.devices import Nvml, NvmlMissing

            with contextlib.suppress(NvmlMissing):
                self._nvml = Nvml().__enter__()
        return self._nvml

    def close(self) -> None:
        if self._nvml is not None:
            self._nvml.__exit__(None, None, None)
            self._nvml = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _held(samples: Iterable[Sample], trial: int | None) -> int | None:
    """Bytes that the processes of this trial hold, by its pid; None where the driver does not say.

    What is in use on the whole GPU would say nothing of one of several trials on it.
    """
    processes = [held for sample in samples for held in sample.processes.items()]
    own = [count for pid, count in processes if trial is not None and trial in (pid, session_of(pid))]
    known = [count for count in own if count is not None]
    return sum(known) if known else None
