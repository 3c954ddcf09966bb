"""Curves in characters: two by four dots each (Unicode's Braille patterns). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from gpusched.ui import words

#: Bit of the dot at (column, row) within a character.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float | None]]  #: (epoch, value); None and NaN leave a gap
    style: str


def chart(curves: Sequence[Curve], width: int, height: int) -> list[Text]:
    """Lines of at most this width: values at the left, epochs below, names at the end. The first curve lies on top."""
    points = [(x, y) for curve in curves for x, y in curve.points if y is not None and math.isfinite(y)]
    if not points or width < 20 or height < 4:
        return [Text("no epoch reported yet", style="bright_black")]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if high == low:
        low, high = low - 0.5, high + 0.5
    labels = [words.value(high), words.value((low + high) / 2), words.value(low)]
    margin = max(map(len, labels)) + 1
    columns, rows = max(1, width - margin), height - 2
    dots = [[0] * columns for _ in range(rows)]
    styles: list[list[str]] = [[""] * columns for _ in range(rows)]

    def place(x: float, y: float) -> tuple[int, int]:
        across = 0.0 if right == left else (x - left) / (right - left)
        return round(across * (2 * columns - 1)), round((high - y) / (high - low) * (4 * rows - 1))

    for curve in reversed(curves):
        before: tuple[int, int] | None = None
        for x, y in curve.points:
            if y is None or not math.isfinite(y):
                before = None
                continue
            here = place(x, y)
            for column, row in _line(before or here, here):
                dots[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
                styles[row // 4][column // 2] = curve.style
            before = here
    lines = []
    for n in range(rows):
        label = (
            labels[0] if n == 0 else labels[2] if n == rows - 1 else labels[1] if n == rows // 2 and rows > 4 else ""
        )
        line = Text(f"{label:>{margin - 1}} ", style="bright_black")
        for column in range(columns):
            line.append(chr(0x2800 + dots[n][column]) if dots[n][column] else " ", styles[n][column])
        lines.append(line)
    first, last = f"{left:g}", f"epoch {right:g}"
    lines.append(Text(" " * margin + first + last.rjust(max(0, columns - len(first))), style="bright_black"))
    legend = Text(" " * margin)
    for curve in curves:
        legend.append("━ ", curve.style).append(f"{words.clean(curve.name)}   ", "default")
    return [*lines, legend]


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots from one to another."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (
            round(start[0] + (end[0] - start[0]) * step / steps),
            round(start[1] + (end[1] - start[1]) * step / steps),
        )
        for step in range(steps + 1)
    ]
