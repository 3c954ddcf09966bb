"""Curves in characters."""

from __future__ import annotations

import math

from gpusched.ui.top.chart import Curve, chart


def test_a_rising_line_rises() -> None:
    """From the lower left to the upper right, with the range at the left and the epochs below."""
    lines = chart([Curve("up", [(1, 0.0), (2, 1.0)], "cyan")], 20, 5)
    assert [line.plain.rstrip() for line in lines] == [
        "  1            ⣀⠤⠔⠒⠉",
        "         ⣀⡠⠤⠒⠊⠉",
        "  0 ⣀⠤⠔⠒⠉",
        "    1        epoch 2",
        "    ━ up",
    ]


def test_gaps_and_constants_are_drawn() -> None:
    """NaN leaves a gap; a value that never changes is a line in the middle, not an error."""
    assert len(chart([Curve("x", [(1, 0.5), (2, math.nan), (3, None), (4, 0.5)], "cyan")], 30, 6)) == 6
    assert [line.plain for line in chart([Curve("x", [(1, math.nan)], "cyan")], 30, 6)] == ["no epoch reported yet"]
