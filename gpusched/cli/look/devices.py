"""gpusched devices"""

from __future__ import annotations

from typing import Any

import click

from gpusched.cli.options import json_option, print_json


@click.command("devices")
@json_option
def command(as_json: bool) -> int:
    """Every GPU or MIG slice with memory, load, owners, and why one is refused; CPU slots where there is none."""
    from gpusched.devices import inventory, place

    found = inventory()
    placement = place(found) if found.usable or not found.gpus else None
    slots = placement.slots if placement else ()
    if as_json:
        facts = found.to_dict()
        facts["slots"] = [
            {"index": slot.index, "label": slot.label, "devices": list(slot.devices), "cores": list(slot.cores)}
            for slot in slots
        ]
        print_json(facts)
        return 0
    from rich.console import Console
    from rich.table import Table

    from gpusched.ui import words

    console = Console(highlight=False, soft_wrap=True)
    if found.gpus:
        driver = f"NVIDIA driver {found.driver}, CUDA {found.cuda}" if found.driver else "NVIDIA"
        console.print(driver)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black")
        for name in ("gpu", "name", "memory", "load", "temp", "power", "state", "uuid"):
            table.add_column(name, no_wrap=name != "state", overflow="fold")
        for gpu in found.gpus:
            used = f"{words.size(gpu.used_bytes)} of {words.size(gpu.total_bytes)}" if gpu.total_bytes else ""
            table.add_row(
                gpu.label,
                words.clean(gpu.name),
                used,
                "" if gpu.utilisation is None else f"{100 * gpu.utilisation:.0f} %",
                "" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} °C",
                "" if gpu.power_watts is None else f"{gpu.power_watts:.0f} W",
                _state(gpu),
                gpu.uuid,
            )
        console.print(table)
        for gpu in found.gpus:
            for process in gpu.processes:
                size = f", {words.size(process.used_bytes)}" if process.used_bytes else ""
                console.print(f"gpu {gpu.label}: {words.clean(str(process))}{size}, {process.kind}")
    else:
        cpu = found.cpu
        logical = sum(map(len, cpu.cores))
        console.print(
            f"{words.clean(cpu.name)}: {words.plural(len(cpu.cores), 'core')} ({logical} logical), "
            f"{words.size(cpu.available_bytes)} of memory free"
        )
        for slot in slots:
            console.print(f"{slot.label}: logical CPUs {', '.join(map(str, slot.cores))}")
    notes = (*found.notes, *(placement.notes if placement else ()))
    for note in notes:
        console.print(f"note: {words.clean(note)}")
    return 0


def _state(gpu: Any) -> str:
    from gpusched.ui import words

    if gpu.refused:
        return f"not used: {words.clean(gpu.refused)}"
    others = gpu.foreign()
    return f"in use by {words.plural(len(others), 'process').replace('processs', 'processes')}" if others else "free"
