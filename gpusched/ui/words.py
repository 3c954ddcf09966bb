"""Numbers, times and states in words.

Pure: what is said, not where.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpusched.figures import size as size
from gpusched.printable import clean as clean
from gpusched.printable import plain_lines as plain_lines

#: Significant digits of a figure that people read.
DIGITS = 4
#: Whole numbers are written as such below this.
_WHOLE = 10**15


def score(value: float | None) -> str:
    """Four significant digits, zeros included: 0.9820. Very large and small ones as 1.235e+06."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:#.{DIGITS}g}".rstrip(".")


def column(values: Sequence[float | None]) -> list[str]:
    """Scores that stand below each other: all with as many decimals as the middle one needs for four digits."""
    sizes = sorted(abs(value) for value in values if value and math.isfinite(value))
    middle = sizes[(len(sizes) - 1) // 2] if sizes else 1.0
    if not 1e-4 <= middle < 10**DIGITS:
        return [score(value) for value in values]
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(middle)))
    return [_with(decimals, value) for value in values]


def _with(decimals: int, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return score(value)
    # What would be nothing but zeros, or much longer than its neighbours, stands in scientific form.
    fits = value == 0 or 10.0**-decimals <= abs(value) < 1e6
    return f"{value:.{decimals}f}" if fits else f"{value:.{DIGITS - 1}e}"


def value(given: Any) -> str:
    """A hyperparameter's value: a float to four digits, so that 0.1 + 0.2 is 0.3; --json has all of them."""
    if isinstance(given, float):
        return f"{given:.0f}" if given.is_integer() and abs(given) < _WHOLE else f"{given:.{DIGITS}g}"
    return clean(str(given))


def values(given: Mapping[str, Any]) -> str:
    """`lr=0.01, units=64`."""
    return ", ".join(f"{clean(name)}={value(each)}" for name, each in given.items())


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


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def lost(failed: int, stopped: int) -> str:
    """`3 failed, 1 stopped`, of trials; empty where there are none."""
    counts = ((failed, "failed"), (stopped, "stopped"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)
