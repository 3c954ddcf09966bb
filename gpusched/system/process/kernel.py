"""What the kernel does about a process's parent and orphans (prctl, procfs). Linux alone has these."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator, Set
from pathlib import Path

from gpusched.storage.identity import pids, stat_of

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: How long a process that was killed may take before nobody waits for it any more.
END_SECONDS = 2.0
#: … where somebody has waited for it before.
SHORT_SECONDS = 0.5
#: Children that are still there, or again, after this pause are taken for a fork bomb; and how often one is looked for.
_STORM_PAUSE = 0.005
_STORM_ROUNDS = 100

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
    return _children(os.getpid())


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    try:
        # The kernel's own list: looking through all of /proc would cost a slot's time.
        for thread in os.listdir(f"/proc/{pid}/task"):
            found.update(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()))
    except OSError:  # A kernel without CONFIG_PROC_CHILDREN.
        found = {child for child, parent in _parents() if parent == pid}
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for pid in pids():
        with contextlib.suppress(OSError):
            yield pid, int(stat_of(pid)[1])


def session_of(pid: int) -> int:
    """The pid that leads its session: a trial's, for all that the trial has started; -1 for a process unknown here."""
    with contextlib.suppress(OSError, OverflowError):  # Another container's numbers may be anything.
        return os.getsid(pid)
    return -1


def ask_children(known: Set[int], seconds: float) -> None:
    """Asks this process's children, but for the known, to end by SIGTERM, and gives them so many seconds for it."""
    until = time.monotonic() + seconds
    strays = own_children() - known
    for pid in strays:
        send(pid, signal.SIGTERM)
    while strays and time.monotonic() < until:
        strays = {pid for pid in strays if not bury(pid)}
        if strays:
            time.sleep(0.005)


def end_children(known: Set[int] = frozenset(), seconds: float = END_SECONDS) -> set[int]:
    """Kills this process's children but for the known, and what they leave to it in turn, and waits for their ends.

    Returns those that have not ended after so many seconds. Only for a process that adopts orphans.
    """
    until = time.monotonic() + seconds
    pause = 0.0005
    while strays := own_children() - known:
        # Those that end leave room for what a fork bomb forks next: one that goes on is stopped first.
        for pid in strays if pause < _STORM_PAUSE else _held(strays):
            send(pid, signal.SIGKILL)
        ended = [pid for pid in strays if bury(pid)]
        if len(ended) == len(strays):
            continue
        if time.monotonic() >= until:
            return strays
        time.sleep(pause)
        pause = min(0.02, 2 * pause)
    return set()


def send(pid: int, number: signal.Signals) -> None:
    """Another user's process, of a program that is setuid, takes no signal."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _held(roots: Set[int]) -> set[int]:
    """Stops these processes with all below them, so that none forks any more; returns them all."""
    held: set[int] = set()
    for _ in range(_STORM_ROUNDS):
        found = _with_descendants(roots) - held
        if not found:
            break
        for pid in found:
            send(pid, signal.SIGSTOP)
        held |= found
    return held


def _with_descendants(roots: Set[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, new = set(roots), list(roots)
    while new:
        below = [child for child in children.get(new.pop(), ()) if child not in found]
        found.update(below)
        new += below
    return found


def bury(pid: int) -> bool:
    """Whether the child has ended, without waiting for it. Its status is taken."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def ended_within(pid: int, seconds: float) -> bool:
    """Waits so long for a child's end, and takes no status."""
    until = time.monotonic() + seconds
    try:
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
    except ChildProcessError:
        pass
    return True


def stopped_below(pid: int) -> int | None:
    """That process, or a child of it, which a signal has stopped; None where none is."""
    return next((each for each in (pid, *_children(pid)) if _state(each) == "T"), None)


def _state(pid: int) -> str:
    try:
        return stat_of(pid)[0].decode(errors="replace")
    except OSError:
        return ""


def state_of(pid: int) -> str:
    """Why a process that was killed may not have ended, for people."""
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return "it is just ending"
    if os.geteuid() not in (0, owner):
        return f"it is user {owner}'s"
    state = _state(pid)
    return {"": "it is just ending", "D": "it is stuck in the kernel or frozen", "Z": "it has ended"}.get(
        state, f"its state is {state}"
    )
