"""A process for callers that cannot be forked any more: what they pickle is unpickled in forks of it.

It is the copy that an earlier search has used, or else a process with Keras alone: either way the framework is imported
once for all searches of the caller, and while its script goes on. It ends with the caller.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil

from gpusched.launcher.standby import wakes
from gpusched.launcher.standby.copies import Copy

#: Of the machine's memory: a caller that had more keeps no copy, in which all that it had by then would stay.
_KEPT_PART = 0.1

_prepared: Copy | None = None


def keep(copy: Copy) -> None:
    """Keeps a copy of this process that its search needs no more, for searches to come; closes it otherwise."""
    global _prepared
    large = psutil.Process().memory_info().rss > _KEPT_PART * psutil.virtual_memory().total
    if large or not _wanted() or not copy.usable:
        copy.close()
        return
    if _prepared is not None:
        _prepared.close()
    _prepared = copy


def kept() -> Copy | None:
    """That of this process, where there is one already."""
    return _prepared if _prepared is not None and _prepared.usable else None


def prepared() -> Copy | None:
    """The same, started if need be; None where it is not to be or cannot be had."""
    global _prepared
    if not _wanted():
        return None
    if kept() is None:
        try:
            _prepared = _start()
        except OSError:
            return None  # A launcher from nothing says why none can be started, or can be again.
    return _prepared


def _wanted() -> bool:
    return os.environ.get(wakes.SWITCH) != "0"


def _start() -> Copy:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gpusched.launcher.standby", str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    process.returncode = 0  # Who uses it waits for it.
    return Copy(process.pid, ours, os.getpid(), fresh=True)
