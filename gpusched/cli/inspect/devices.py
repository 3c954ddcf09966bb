"""gpusched devices"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from gpusched.cli.options import json_option, print_json, say

if TYPE_CHECKING:
    from gpusched.devices import Gpu


@click.command("devices")
@json_option
def command(as_json: bool) -> int:
    """Every GPU or MIG slice with memory, load, owners, and why one is refused; CPU slots where there is none."""
    from gpusched.devices import inventory, place

    found = inventory()
    placement = place(found) if found.usable or not found.gpus else None
    slots = placement.slots if placement else ()
    if as_json:
        from gpusched.ui.answers import Devices, DeviceSlot

        told = [
            DeviceSlot(index=slot.index, label=slot.label, devices=list(slot.devices), cores=list(slot.cores))
            for slot in slots
        ]
        print_json(Devices(**msgspec.structs.asdict(found), slots=told))
        return 0
    from gpusched.ui import words

    if found.gpus:
        say(f"NVIDIA driver {found.driver}, CUDA {found.cuda}" if found.driver else "NVIDIA")
        _print_gpus(found.gpus)
    else:
        cpu = found.cpu
        logical = sum(map(len, cpu.cores))
        say(
            f"{words.clean(cpu.name)}: {words.plural(len(cpu.cores), 'core')} ({logical} logical), "
            f"{words.size(cpu.available_bytes)} of memory free"
        )
        for slot in slots:
            say(f"{slot.label}: logical CPUs {', '.join(map(str, slot.cores))}")
    notes = (*found.notes, *(placement.notes if placement else ()))
    for note in notes:
        say(f"note: {words.clean(note)}")
    return 0


def _print_gpus(gpus: tuple[Gpu, ...]) -> None:
    """A line each that fits a narrow terminal; its UUID, its processes and what is wrong with it below."""
    from gpusched.system.process.tags import of_a_search
    from gpusched.ui import words

    own = {process.pid for gpu in gpus for process in gpu.processes if of_a_search(process.pid)}
    rows = [
        (
            f"gpu {gpu.label}",
            words.clean(gpu.name),
            f"{words.size(gpu.used_bytes)} of {words.size(gpu.total_bytes)}" if gpu.total_bytes else "",
            "" if gpu.utilisation is None else f"{100 * gpu.utilisation:.0f} %",
            "" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} °C",
            "" if gpu.power_watts is None else f"{gpu.power_watts:.0f} W",
            "not used" if gpu.refused else "in use" if gpu.foreign() else "free",
        )
        for gpu in gpus
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for gpu, row in zip(gpus, rows, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True) if width]
        say("  ".join(cells).rstrip())
        if gpu.uuid:
            say(f"    {gpu.uuid}")
        if gpu.refused:
            say(f"    not used: {words.clean(gpu.refused)}")
        elif gpu.foreign(own):
            say("    others compute on it: a search waits for it, unless --when-busy skip or share says otherwise")
        elif gpu.foreign():
            say("    a search of yours computes on it")
        for process in gpu.processes:
            size = f", {words.size(process.used_bytes)}" if process.used_bytes else ""
            say(f"    {words.clean(str(process))}{size}, {'a search of yours' if process.pid in own else process.kind}")
