"""Thread pools of the libraries that compute, held to the cores that a process has.

OpenBLAS, MKL and OpenMP count the cores when they are loaded, and so does torch: a fork that is pinned to fewer
inherits a pool for all of them. TensorFlow and JAX count when they start, which is after the fork.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

_found: list[Any] | None = None
_resting = 0


def find() -> None:
    """Looks which pools are loaded. It takes some milliseconds, which forks of this process are then spared."""
    global _found
    from threadpoolctl import ThreadpoolController

    _found = ThreadpoolController().lib_controllers


def forget() -> None:
    """Looks again when it limits: more has been loaded."""
    global _found
    _found = None


def resting() -> int:
    """Threads of BLAS that were limited away: they are there and have nothing to do."""
    return _resting


def limit(most: int) -> None:
    """Gives no pool more threads than `most`. A smaller number is somebody's wish and stays."""
    global _resting
    if _found is None:
        find()
    for pool in _found or ():
        if (pool.num_threads or 1) > most:
            if pool.user_api == "blas":
                _resting += pool.num_threads - most
            pool.set_num_threads(most)
    torch = sys.modules.get("torch")
    with contextlib.suppress(AttributeError):  # It is being imported.
        if torch is not None and torch.get_num_threads() > most:
            torch.set_num_threads(most)
