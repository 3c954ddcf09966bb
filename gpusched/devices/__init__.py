"""The devices of this machine, and the slots that trials run in.

`inventory` looks, `place` and `slots_for` decide. A machine without a driver is an inventory with a
note, not an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gpusched.devices import cpu, visible
from gpusched.devices.gpu import CPU_DEVICE, Cpu, Fault, Gpu, Inventory, Process, Sample
from gpusched.devices.nvml import Nvml, NvmlMissing
from gpusched.devices.placement import BusyPolicy, Placement, Slot, memory_limit, place, slots_for, usable

__all__ = [
    "CPU_DEVICE",
    "BusyPolicy",
    "Cpu",
    "Fault",
    "Gpu",
    "Inventory",
    "Nvml",
    "NvmlMissing",
    "Placement",
    "Process",
    "Sample",
    "Slot",
    "inventory",
    "memory_limit",
    "place",
    "slots_for",
    "usable",
]


def inventory(environ: Mapping[str, str] = os.environ, nvml: Nvml | None = None) -> Inventory:
    """Look at the machine: its GPUs as `environ` shows them, its cores, its memory.

    `nvml` is a conversation with the driver that is open already; without one, one is opened and
    closed. Never raises for want of a driver: then there are no GPUs, and a note says why.
    """
    machine = cpu.detect()
    try:
        if nvml is None:
            with Nvml() as own:
                return _look(own, environ, machine)
        return _look(nvml, environ, machine)
    except NvmlMissing as missing:
        return Inventory(cpu=machine, notes=(str(missing),))


def _look(nvml: Nvml, environ: Mapping[str, str], machine: Cpu) -> Inventory:
    gpus, notes = visible.restrict(nvml.gpus(), environ)
    driver, cuda = nvml.versions()
    if not gpus:
        notes = ("the NVIDIA driver is loaded but shows no GPU", *notes)
    return Inventory(cpu=machine, gpus=gpus, driver=driver, cuda=cuda, notes=notes)
