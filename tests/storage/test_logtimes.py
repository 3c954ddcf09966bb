"""When a log had how many bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpusched.storage.logtimes import note, offset_at


@pytest.mark.parametrize(("wall", "offset"), [(50.0, 0), (100.0, 10), (150.0, 10), (200.0, 30), (1e12, 30)])
def test_where_to_begin(tmp_path: Path, wall: float, offset: int) -> None:
    """At what was there at the last note before; torn lines say nothing."""
    (tmp_path / "log.times").write_bytes(b"[100.000,10]\n[2\n[200.000,30]\n[250")
    assert offset_at(tmp_path / "log.txt", wall) == offset


def test_notes(tmp_path: Path) -> None:
    """Each says the size of the log; without a log, and while it is empty, there is none."""
    log = tmp_path / "log.txt"
    note(log)
    log.touch()
    note(log)
    assert offset_at(log, 1e12) == 0
    assert not (tmp_path / "log.times").exists()
    log.write_text("12345")
    note(log)
    assert offset_at(log, 1e12) == 5
    assert offset_at(log, 0.0) == 0
