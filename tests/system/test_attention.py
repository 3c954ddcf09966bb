"""Time that nobody watched."""

from __future__ import annotations

from gpusched.system.attention import Attention


def test_what_nobody_saw_does_not_count() -> None:
    """Looks that come in time count in full, a little late or not; of a gap one tick counts."""
    clock = Attention(1.0)
    assert [clock.look(now) for now in (100.0, 101.0, 101.25, 103.25)] == [0.0, 1.0, 1.25, 3.25]
    assert clock.look(148.0) == 4.25
    assert clock.look(149.0) == 5.25
