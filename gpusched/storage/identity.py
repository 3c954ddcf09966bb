"""Processes told apart for good: a pid comes round again, pid + start time + boot id does not."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from gpusched.storage.records import Identity


@functools.cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command's name may hold spaces and brackets: what follows its last bracket starts with field 3.
    fields = stat[stat.rfind(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def identity_of(pid: int) -> Identity | None:
    """The identity of a live process; None where there is none, or only its zombie."""
    ticks = _start_ticks(pid)
    return None if ticks is None else Identity(pid=pid, start_ticks=ticks, boot_id=boot_id())


def own_identity() -> Identity:
    identity = identity_of(os.getpid())
    assert identity is not None
    return identity


def alive(identity: Identity) -> bool:
    """Whether this very process still runs."""
    return identity.boot_id == boot_id() and _start_ticks(identity.pid) == identity.start_ticks


def pidfd(identity: Identity) -> int | None:
    """A descriptor that becomes readable when the process ends; None where it is gone. The caller closes it."""
    if not alive(identity):
        return None
    try:
        fd = os.pidfd_open(identity.pid)
    except OSError:
        return None
    if alive(identity):  # The pid may have changed hands before it was opened.
        return fd
    os.close(fd)
    return None
