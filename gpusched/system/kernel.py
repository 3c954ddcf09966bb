"""What the kernel does about a process's parent and orphans (prctl, procfs). Linux alone has these."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Whatever this process's descendants leave behind becomes its child, and escapes nobody."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """From now on this process is killed when its parent ends; it exits at once if that has happened already."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def outlive_parent() -> None:
    """Takes die_with() back."""
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def own_children() -> set[int]:
    """Pids of this process's children, those that have ended and were not waited for among them."""
    found: set[int] = set()
    try:
        # The kernel's own list: looking through all of /proc would cost a slot's time.
        for thread in os.listdir("/proc/self/task"):
            found.update(map(int, Path(f"/proc/self/task/{thread}/children").read_bytes().split()))
    except OSError:  # A kernel without CONFIG_PROC_CHILDREN.
        found = {pid for pid, parent in _parents() if parent == os.getpid()}
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{name}/stat").read_bytes()
                yield int(name), int(stat[stat.rfind(b")") + 2 :].split()[1])


def end_children(known: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    """Kills this process's children but for the known, and what they leave to it in turn, and waits for them all.

    Only for a process that adopts orphans.
    """
    while strays := own_children() - known:
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
