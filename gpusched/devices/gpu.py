"""What a machine has to train on: GPUs, MIG slices, CPU cores, as frozen records.

Knows no driver and reads no file: `nvml` and `cpu` fill these records, `visible` and `placement`
reason about them. A figure that a device does not give is None, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

#: What a slot without a GPU stands for, where a UUID would stand.
CPU_DEVICE = "cpu"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds memory on a GPU, as the driver names it."""

    pid: int
    kind: Literal["compute", "graphics", "caller"]  #: "caller": the process that searches, and is no trial
    used_bytes: int | None = None
    name: str | None = None  #: None where the process is another container's, or gone
    user: str | None = None

    def __str__(self) -> str:
        by = " of " + self.user if self.user else ""
        return f"{self.name or 'a process'} (pid {self.pid}{by})"


def is_mps(name: str | None) -> bool:
    """Whether a process of that name is CUDA's Multi-Process Service: it computes nothing for itself."""
    return name is not None and name.startswith("nvidia-cuda-mps")


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU, or one MIG slice of one: whatever CUDA can be pinned to by UUID."""

    index: int  #: NVML's and nvidia-smi's number; a slice has its GPU's
    uuid: str  #: "GPU-…" or "MIG-…"; empty only where the driver does not tell it (then `refused` is set)
    name: str = "GPU"
    total_bytes: int | None = None
    free_bytes: int | None = None
    used_bytes: int | None = None
    processes: tuple[Process, ...] = ()
    utilisation: float | None = None  #: 0 … 1
    temperature_celsius: int | None = None
    power_watts: float | None = None
    pci_bus_id: str | None = None
    numa_node: int | None = None
    cores: tuple[int, ...] = ()  #: logical CPUs near it; empty where unknown
    exclusive: bool = False  #: compute mode Exclusive_Process: one process at a time
    ecc_errors: int | None = None  #: uncorrected memory errors since the driver was loaded
    mig_parent: str | None = None  #: the UUID of the GPU this is a slice of
    mig_index: int | None = None
    mig_instance: tuple[int, int] | None = None  #: (GPU instance, compute instance)
    refused: str | None = None  #: why nothing is placed here
    hidden: bool = False  #: refused by the environment's CUDA_VISIBLE_DEVICES, not by a fault

    @property
    def label(self) -> str:
        """`0`, or `0:2` for the third slice of GPU 0: what `gpus=` takes and tables show."""
        return str(self.index) if self.mig_index is None else f"{self.index}:{self.mig_index}"

    def foreign(self, own_pids: Iterable[int] = ()) -> tuple[Process, ...]:
        """The compute processes that are not ours. A display server is nobody's rival, nor is one that only serves."""
        own = frozenset(own_pids)
        return tuple(
            process
            for process in self.processes
            if process.kind == "compute" and process.pid not in own and not is_mps(process.name)
        )


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """The cores and the memory this process may use."""

    cores: tuple[tuple[int, ...], ...]  #: per physical core its logical CPUs, hyperthread siblings together
    available_bytes: int  #: memory that trials may take, cgroup limits included
    quota: float | None = None  #: CPUs' worth of time the cgroup grants; None is no limit
    nodes: dict[int, tuple[int, ...]] = {}  #: NUMA node: its logical CPUs among `cores`
    name: str = "CPU"


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """All devices of the machine, the refused ones with their reasons."""

    cpu: Cpu
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None  #: the NVIDIA driver's version
    cuda: str | None = None  #: the newest CUDA that driver serves
    notes: tuple[str, ...] = ()  #: why there is no GPU, or what else a person should know

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """The GPUs and slices that trials may be placed on."""
        return tuple(gpu for gpu in self.gpus if gpu.refused is None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        plain: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        return plain


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU's load at one moment: cheap enough to take every second."""

    uuid: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    used_bytes: int | None = None
    utilisation: float | None = None  #: 0 … 1
    processes: dict[int, int | None] = {}  #: pid of each compute process: its bytes
    drawing: frozenset[int] = frozenset()  #: pids that use it for graphics, and may compute too: a desktop's
    ecc_errors: int | None = None
    refused: str | None = None  #: why there are no figures
    lost: bool = False  #: refused for good: it has fallen off the bus, or wants a reset


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went wrong on a GPU, as the driver reported it."""

    uuid: str
    kind: Literal["xid", "ecc"]
    code: int  #: the XID; 0 for an ECC event without one
    fatal: bool  #: the device is to blame, not the program that ran on it
    text: str
