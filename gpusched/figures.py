"""Bytes for people, in the units of nvidia-smi: the same in what is decided, said and drawn. Pure."""

from __future__ import annotations


def size(count: int | None) -> str:
    """`812 MiB`, `23.1 GiB`."""
    if count is None:
        return "?"
    for unit, power in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        scaled = count / 2**power
        # What would be rounded up to 1024 is said in the next unit.
        if scaled >= 0.9995:
            return f"{scaled:.0f} {unit}" if scaled >= 99.95 else f"{scaled:.1f} {unit}"
    return f"{count} B"
