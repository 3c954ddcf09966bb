"""Where trials run: slots over GPUs, MIG slices or CPU cores, and what pins a trial to its slot.

Pure: from an Inventory and the user's wishes to a list of slots, and from a GPU's load to whether
it may be used. Who runs in a slot, and when, is not its business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, get_args

import msgspec

from gpusched.devices import cpu
from gpusched.devices.gpu import CPU_DEVICE, Cpu, Gpu, Inventory
from gpusched.devices.visible import select
from gpusched.errors import UsageError

BusyPolicy = Literal["wait", "skip", "share"]

#: A CUDA context with the frameworks' kernels lives outside what their memory limits count.
CONTEXT_BYTES = 512 * 2**20
#: Of a GPU's memory, what trials that share it may fill together.
FILL = 0.94


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A place for one trial at a time."""

    index: int
    devices: tuple[str, ...]  #: GPU or MIG UUIDs, or ("cpu",)
    env: dict[str, str]
    cores: tuple[int, ...]  #: logical CPUs for sched_setaffinity; empty: not pinned
    share: int = 1  #: trials at once on these devices
    memory_limit_bytes: int | None = None  #: on each of its GPUs, where several trials share one
    total_bytes: int | None = None  #: memory of its smallest GPU
    label: str = ""
    node: str = ""  #: the machine it is on, where there are several


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The slots, and lines that tell the user what limits them."""

    slots: tuple[Slot, ...]
    notes: tuple[str, ...] = ()


def slots_for(
    inventory: Inventory,
    gpus: str | int | Iterable[str | int] | None = "all",
    per_gpu: int = 1,
    gpus_per_trial: int = 1,
    cpu_slots: int | None = None,
) -> list[Slot]:
    """The slots of `place`, without its notes."""
    return list(place(inventory, gpus, per_gpu, gpus_per_trial, cpu_slots).slots)


def place(
    inventory: Inventory,
    gpus: str | int | Iterable[str | int] | None = "all",
    per_gpu: int | Mapping[str, int] = 1,
    gpus_per_trial: int = 1,
    cpu_slots: int | None = None,
    own_pids: Collection[int] = (),
    without: Collection[str] = (),
) -> Placement:
    """Lay slots over the devices.

    Numbers run breadth first, the freest GPU first: filling slots in ascending order gives every GPU a
    trial before one gets its second. Raising `per_gpu` (trials on a GPU; by UUID, where they differ) on the
    same inventory appends slots and moves none. `own_pids` are processes whose memory is ours to reckon
    with. GPUs in `without` get no slot; the others' keep their number, cores and order, unless several
    GPUs make a slot, which are then grouped anew. Raises UsageError for what cannot be: an unknown GPU,
    a count below one, groups larger than the machine, only broken GPUs.
    """
    if isinstance(per_gpu, int):
        _whole("per_gpu", per_gpu)
    _whole("gpus_per_trial", gpus_per_trial)
    chosen = select(inventory.gpus, gpus, why_none="; ".join(inventory.notes))
    if not chosen:
        if gpus_per_trial > 1:
            raise UsageError(f"gpus_per_trial={gpus_per_trial}, but no GPU is in use here")
        return _on_cpu(inventory.cpu, cpu_slots)
    if gpus_per_trial > 1 and without:
        chosen = tuple(gpu for gpu in chosen if gpu.uuid not in without)
        if len(chosen) < gpus_per_trial:
            return Placement(slots=(), notes=(f"gpus_per_trial={gpus_per_trial}: {len(chosen)} GPUs are there now",))
    groups, notes = _groups(chosen, gpus_per_trial)
    caps = [_cap(group, per_gpu) for group in groups]
    asked = per_gpu if isinstance(per_gpu, int) else max(per_gpu.values(), default=1)
    if asked > 1 and any(gpu.exclusive for gpu in chosen):
        labels = ", ".join(gpu.label for gpu in chosen if gpu.exclusive)
        notes.append(f"per_gpu={asked}: GPU {labels} is in compute mode Exclusive_Process and takes one trial")
    places = [
        (group, turn, cap)
        for turn in range(max(caps, default=0))
        for group, cap in zip(groups, caps, strict=True)
        if turn < cap
    ]
    cores = _near(inventory.cpu, [group for group, _, _ in places])
    slots = tuple(
        _gpu_slot(index, group, turn, cap, cores[index], own_pids)
        for index, (group, turn, cap) in enumerate(places)
        if not any(gpu.uuid in without for gpu in group)
    )
    return Placement(slots=slots, notes=tuple(notes))


def _cap(group: tuple[Gpu, ...], per_gpu: int | Mapping[str, int]) -> int:
    if any(gpu.exclusive for gpu in group):
        return 1
    return per_gpu if isinstance(per_gpu, int) else min(max(1, per_gpu.get(gpu.uuid, 1)) for gpu in group)


def usable(gpu: Gpu, own_pids: Collection[int], policy: BusyPolicy) -> str | None:
    """None if a trial may start on this GPU now, else the reason for `devices` and `status`.

    Others' compute processes make a GPU busy; under "share" they do not, and a display never does.
    """
    if policy not in get_args(BusyPolicy):
        raise UsageError(f"when_busy={policy!r}: give wait, skip or share")
    if gpu.refused is not None:
        return gpu.refused
    others = gpu.foreign(own_pids)
    if policy == "share" or not others:
        return None
    named = ", ".join(map(str, others[:3])) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    verb = "computes" if len(others) == 1 else "compute"
    return f"{named} {verb} on it: {'waiting' if policy == 'wait' else 'skipped'} (--when-busy {policy})"


def memory_limit(gpu: Gpu, share: int, own_pids: Collection[int] = ()) -> int | None:
    """Bytes each of `share` trials may take; None: no limit is wanted, or the GPU's size is unknown.

    What others hold is theirs, and each trial's CUDA context comes on top of its limit.
    """
    if share < 2 or gpu.total_bytes is None:
        return None
    taken = sum(process.used_bytes or 0 for process in gpu.processes if process.pid not in own_pids)
    part = int(max(0, gpu.total_bytes - taken) * FILL) // share
    # On a GPU so small that contexts alone would fill it, half a part is still a fair start.
    return max(part - CONTEXT_BYTES, part // 2)


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name}={value!r} must be a whole number of at least 1")


def _groups(gpus: tuple[Gpu, ...], size: int) -> tuple[list[tuple[Gpu, ...]], list[str]]:
    """Groups of `size` GPUs, of one NUMA node where it can be, the freest group first."""
    notes: list[str] = []
    if size > len(gpus):
        there = ", ".join(gpu.label for gpu in gpus)
        raise UsageError(f"gpus_per_trial={size} is more than the {len(gpus)} GPUs in use ({there})")
    if size > 1 and any(gpu.mig_parent is not None for gpu in gpus):
        raise UsageError(
            f"gpus_per_trial={size}: CUDA gives a process only one MIG slice; leave the slices out of gpus"
        )
    nodes: dict[int | None, list[Gpu]] = {}
    for gpu in gpus:
        nodes.setdefault(gpu.numa_node, []).append(gpu)
    groups, rest = [], []
    for members in nodes.values():
        whole = len(members) - len(members) % size
        groups += [tuple(members[i : i + size]) for i in range(0, whole, size)]
        rest += members[whole:]
    whole = len(rest) - len(rest) % size
    groups += [tuple(rest[i : i + size]) for i in range(0, whole, size)]
    if rest[whole:]:
        left = ", ".join(gpu.label for gpu in rest[whole:])
        notes.append(f"gpus_per_trial={size}: {len(gpus)} GPUs do not divide, GPU {left} stays unused")

    def freest(group: tuple[Gpu, ...]) -> tuple[int, tuple[int, int]]:
        first = group[0]
        return -min(gpu.free_bytes or 0 for gpu in group), (first.index, first.mig_index or 0)

    return sorted(groups, key=freest), notes


def _near(machine: Cpu, groups: list[tuple[Gpu, ...]]) -> list[tuple[int, ...]]:
    """For each slot an even share of the cores near its GPUs, split among the slots near the same ones."""
    pools = [_pool(machine, group) for group in groups]
    shares = {pool: iter(cpu.share(pool, pools.count(pool))) for pool in set(pools)}
    return [next(shares[pool]) for pool in pools]


def _pool(machine: Cpu, group: tuple[Gpu, ...]) -> tuple[tuple[int, ...], ...]:
    near: set[int] = set()
    for gpu in group:
        near.update(gpu.cores or machine.nodes.get(-1 if gpu.numa_node is None else gpu.numa_node, ()))
    pool = tuple(core for core in machine.cores if near.issuperset(core))
    return pool or machine.cores  # none near, or none of those is ours


def _gpu_slot(
    index: int, group: tuple[Gpu, ...], turn: int, share: int, cores: tuple[int, ...], own_pids: Collection[int]
) -> Slot:
    uuids = tuple(gpu.uuid for gpu in group)
    limits = [memory_limit(gpu, share, own_pids) for gpu in group]
    return Slot(
        index=index,
        devices=uuids,
        env=_environment(index, ",".join(uuids)),
        cores=cores,
        share=share,
        memory_limit_bytes=min((limit for limit in limits if limit is not None), default=None),
        total_bytes=min((gpu.total_bytes for gpu in group if gpu.total_bytes is not None), default=None),
        label="gpu " + "+".join(gpu.label for gpu in group) + (f" #{turn + 1}" if share > 1 else ""),
    )


def _on_cpu(machine: Cpu, cpu_slots: int | None) -> Placement:
    slots, notes = cpu.count(machine, cpu_slots)
    return Placement(
        notes=notes,
        slots=tuple(
            # CUDA's word for none: an empty string would do, but some frameworks read it as unset.
            Slot(index=index, devices=(CPU_DEVICE,), env=_environment(index, "-1"), cores=cores, label=f"cpu {index}")
            for index, cores in enumerate(cpu.share(machine.cores, slots))
        ),
    )


def _environment(index: int, devices: str) -> dict[str, str]:
    # UUIDs, not indices: NVML counts by bus, CUDA by speed.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": devices, "GPUSCHED_SLOT": str(index)}
