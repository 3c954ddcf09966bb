"""Files that others wrote, in every state they can be in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gpusched.errors import UsageError
from gpusched.storage.metrics import read_metrics
from gpusched.storage.reading import Unreadable, read
from gpusched.storage.records import Identity
from gpusched.storage.rundir import read_record

GOOD = b'{"pid": 1, "start_ticks": 2, "boot_id": "x"}'

DAMAGED = {
    "empty": b"",
    "torn": GOOD[:-4],
    "of a wrong type": b'{"pid": "one", "start_ticks": 2, "boot_id": "x"}',
    "another record": b'{"epoch": 1}',
    "an invalid byte": GOOD.replace(b"x", b"\xff"),
    "a lone surrogate": GOOD.replace(b"x", b"\\ud800"),
    "a huge number": b'{"pid": 1e999, "start_ticks": 2, "boot_id": "x"}',
    "nested without end": b"[" * 100_000,
    "null bytes": bytes(64),
}

IN_ITS_PLACE: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "a forbidden file": lambda path: path.touch(0),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_an_answer(content: bytes, tmp_path: Path) -> None:
    """Whatever the bytes are: a reason that names the file, and no exception."""
    path = tmp_path / "identity.json"
    path.write_bytes(content)
    found = read(path, Identity)
    assert isinstance(found, Unreadable)
    assert (found.refused, str(path) in found.reason, "\n" in found.reason) == (False, True, False)
    with pytest.raises(UsageError, match="move it aside to go on"):
        read_record(path, Identity)
    path.write_bytes(b'{"epoch": 1}\n' + content + b'\n{"epoch": 2}\n')
    assert [line["epoch"] for line in read_metrics(path)] == [1, 1, 2][content != DAMAGED["another record"] :]


@pytest.mark.parametrize("put", IN_ITS_PLACE.values(), ids=IN_ITS_PLACE)
def test_a_refusal_is_an_answer(put: Callable[[Path], object], tmp_path: Path) -> None:
    """What the system does not let one read may be there later: that is told apart from damage."""
    path = tmp_path / "identity.json"
    put(path)
    if path.is_file() and os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    found = read(path, Identity)
    assert isinstance(found, Unreadable)
    assert (found.refused, f"{path}: cannot be read (" in found.reason) == (True, True)
    with pytest.raises(UsageError, match="mend that to go on"):
        read_record(path, Identity)


def test_what_is_whole_or_absent(tmp_path: Path) -> None:
    """The record, or nothing."""
    path = tmp_path / "identity.json"
    assert read(path, Identity) is None
    path.write_bytes(GOOD)
    assert read(path, Identity) == Identity(pid=1, start_ticks=2, boot_id="x")
