"""The cores and the memory that trials may use, and how many slots they make.

`detect` reads the machine (topology from sysfs, this process's affinity, its cgroup, psutil);
`share` and `count` are pure. A physical core's hyperthreads always stay together.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from gpusched.devices import cgroup
from gpusched.devices.gpu import Cpu
from gpusched.errors import UsageError
from gpusched.figures import size

#: What a trial of a small Keras model needs, its framework included.
TRIAL_BYTES = 750_000_000

_SYSFS = Path("/sys/devices/system")


def detect(sysfs: Path = _SYSFS, proc: Path = Path("/proc/self")) -> Cpu:
    """What this process may use of the machine."""
    import psutil

    allowed = os.sched_getaffinity(0)
    quota = cgroup.cpu_quota(proc)
    left = cgroup.memory_left(proc)
    available = psutil.virtual_memory().available
    # Two containers with a quota but all of the host's cores must not pin themselves to the same few.
    offset = zlib.crc32(os.uname().nodename.encode())
    cores = granted(physical_cores(allowed, sysfs), quota, offset)
    logical = {cpu for core in cores for cpu in core}
    return Cpu(
        name=_model_name(),
        cores=cores,
        quota=quota,
        nodes={node: tuple(sorted(logical & cpus)) for node, cpus in _nodes(sysfs).items() if logical & cpus},
        available_bytes=available if left is None else min(available, left),
    )


def physical_cores(allowed: set[int], sysfs: Path = _SYSFS) -> tuple[tuple[int, ...], ...]:
    """The allowed logical CPUs, grouped by physical core, in order of each core's first."""
    groups = set()
    for cpu in allowed:
        topology = sysfs / "cpu" / f"cpu{cpu}" / "topology"
        listed = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
        groups.add(tuple(sorted((parse_list(listed) | {cpu}) & allowed)))
    return tuple(sorted(groups))


def granted(cores: tuple[tuple[int, ...], ...], quota: float | None, offset: int = 0) -> tuple[tuple[int, ...], ...]:
    """As many logical CPUs as the quota pays for, spread over physical cores first.

    More threads than the quota pays for would be stopped by the kernel for the rest of every period.
    """
    total = sum(map(len, cores))
    if quota is None or quota >= total:
        return cores
    wanted = max(1, round(quota))
    start = offset % len(cores)
    turned = cores[start:] + cores[:start]
    by_thread = [core[k] for k in range(max(map(len, turned))) for core in turned if k < len(core)]
    kept = set(by_thread[:wanted])
    trimmed = (tuple(cpu for cpu in core if cpu in kept) for core in cores)
    return tuple(core for core in trimmed if core)


def parse_list(text: str | None) -> set[int]:
    """The kernel's list format: "0-3,8" is {0, 1, 2, 3, 8}."""
    numbers: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal():
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def share(cores: Sequence[tuple[int, ...]], slots: int) -> list[tuple[int, ...]]:
    """The logical CPUs of each slot.

    Every slot gets equally many physical cores and what does not divide stays idle: a trial's result
    depends on its number of threads, and must not depend on its slot. With more slots than cores,
    each slot has one core, shared with the slots that come around to it.
    """
    if not cores:
        return [()] * slots
    each = len(cores) // slots
    if each == 0:
        return [tuple(sorted(cores[slot % len(cores)])) for slot in range(slots)]
    parts = (cores[slot * each : (slot + 1) * each] for slot in range(slots))
    return [tuple(sorted(cpu for core in part for cpu in core)) for part in parts]


def count(cpu: Cpu, wanted: int | None, trial_bytes: int = TRIAL_BYTES) -> tuple[int, tuple[str, ...]]:
    """How many CPU slots there are, and what the user should know about that number.

    By default one per physical core, within the cgroup's quota, and no more than memory holds; never
    less than one. An explicit number is honoured. Raises UsageError if it is not a positive integer.
    """
    holds = cpu.available_bytes // trial_bytes
    have = f"{size(cpu.available_bytes)} of memory"
    if wanted is not None:
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
            raise UsageError(f"cpu_slots={wanted!r} must be a whole number of at least 1, or left out")
        if wanted > max(1, holds):
            need = f"about {size(trial_bytes)} a trial"
            return wanted, (f"cpu_slots={wanted}: {have} hold about {max(1, holds)} trials at once ({need})",)
        return wanted, ()
    cores = max(1, len(cpu.cores))
    if holds >= cores:
        return cores, ()
    slots = max(1, holds)
    return slots, (f"{slots} CPU slots for {cores} cores: {have} hold no more at {size(trial_bytes)} a trial",)


def _nodes(sysfs: Path) -> dict[int, set[int]]:
    folders = (sysfs / "node").glob("node[0-9]*")
    return {int(folder.name[4:]): parse_list(_read(folder / "cpulist")) for folder in sorted(folders)}


def _model_name() -> str:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
