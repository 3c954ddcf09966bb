"""A process with Keras alone, for callers that cannot be forked any more.

What they pickle is unpickled in forks of it: the framework is imported once for all searches of the caller, and while
its script goes on. It ends with the caller.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from gpusched.launcher.standby import wakes
from gpusched.launcher.standby.copies import Copy

_prepared: Copy | None = None


def prepared() -> Copy | None:
    """That of this process, started if need be; None where it is not to be or cannot be had."""
    global _prepared
    if os.environ.get(wakes.SWITCH) == "0":
        return None
    if _prepared is None or not _prepared.usable:
        try:
            _prepared = _start()
        except OSError:
            return None  # A launcher from nothing says why none can be started, or can be again.
    return _prepared


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
