"""What a caller defined reaches the launcher whole, its arrays once."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from gpusched.errors import UsageError
from gpusched.launcher.transport import pack, unpack


def carried(value: dict[str, Any]) -> dict[str, Any]:
    fd = pack(value, value)
    try:
        return unpack(fd)
    finally:
        os.close(fd)


def test_functions_closures_and_arrays_travel() -> None:
    """Lambdas, what they close over, and arrays of any layout arrive equal."""
    table = np.arange(12.0).reshape(3, 4)
    value = {"f": lambda x: x + table.sum(), "arrays": [table, table.T, np.zeros(0), np.array([1, 2], "i1")], "n": 3}
    got = carried(value)
    assert got["f"](1.0) == 67.0
    assert got["n"] == 3
    for there, here in zip(got["arrays"], value["arrays"], strict=True):
        np.testing.assert_array_equal(there, here)


def test_arrays_are_views_of_one_mapping() -> None:
    """An array costs no copy where it arrives, and cannot be written there by one trial under another's eyes."""
    got = carried({"x": np.ones(1 << 16)})
    assert not got["x"].flags.owndata
    assert not got["x"].flags.writeable


def test_what_cannot_travel_is_named_with_the_way_out() -> None:
    """The error says which argument, and shows load_data."""
    with pytest.raises(UsageError, match=r"^y: lock cannot be carried .*def load_data\(\)"):
        carried({"x": 1, "y": threading.Lock()})
