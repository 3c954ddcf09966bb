"""Numbers, times and states in words.

Pure: what is said, not where.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpusched.printable import clean as clean
from gpusched.printable import plain_lines as plain_lines


def score(value: float | None) -> str:
    """Enough digits to tell neighbours apart: six."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:.6g}"


def value(given: Any) -> str:
    """A hyperparameter's value in full: what is printed can be typed back."""
    return clean(str(given))


def short(given: Any) -> str:
    """A value for people: floats to four digits, so that 0.1 + 0.2 is 0.3."""
    return f"{given:.4g}" if isinstance(given, float) else value(given)


def values(given: Mapping[str, Any], digits: int | None = None) -> str:
    """`lr=0.01, units=64`; floats to so many digits where that is asked."""

    def one(each: Any) -> str:
        return f"{each:.{digits}g}" if digits and isinstance(each, float) else value(each)

    return ", ".join(f"{clean(name)}={one(each)}" for name, each in given.items())


def duration(seconds: float | None) -> str:
    """`4 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(seconds: float) -> str:
    """`0:01:20`, for the start of a line."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def size(count: int | None) -> str:
    """`812 MB`, `23.1 GB`."""
    if count is None:
        return "?"
    for unit, power in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            scaled = count / power
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.1f} {unit}"
    return f"{count} B"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def lost(failed: int, stopped: int) -> str:
    """`3 failed, 1 stopped`, of trials; empty where there are none."""
    counts = ((failed, "failed"), (stopped, "stopped"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def first_line(text: str) -> str:
    """What fits a table of a message that may have many lines."""
    lines = [line for line in text.splitlines() if line.strip()]
    return clean(lines[0]) if lines else ""
