"""Processes told apart for good: a pid comes round again, pid + start time + boot id does not.

A process that a run directory speaks of is one of this directory only if it says so itself: the directory may be a
copy, and then those processes are the original's. One on another host cannot be seen from here.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gpusched.storage.records import Identity


@functools.cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@functools.cache
def host() -> str:
    """This machine or container: its name, and what tells it from another of the same name. Stays over reboots."""
    try:
        machine = Path("/etc/machine-id").read_bytes().strip()
    except OSError:  # Containers have none, and a name of their own.
        machine = b""
    # Not the id itself, which is not to be given away: `man machine-id`.
    return f"{os.uname().nodename}/{hashlib.sha256(b'gpusched ' + machine).hexdigest()[:8]}"


def pids() -> Iterator[int]:
    """All processes that can be seen from here."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def stat_of(pid: int | None, proc: Path = Path("/proc")) -> list[bytes]:
    """The fields of a process's stat, see proc(5), from the third on: its state. Raises OSError where there is none."""
    stat = Path(f"{proc}/{pid}/stat").read_bytes()
    # The command's name, the second, may hold spaces and brackets.
    return stat[stat.rindex(b")") + 2 :].split()


def _start_ticks(pid: int) -> int | None:
    try:
        fields = stat_of(pid)
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def identity_of(pid: int) -> Identity | None:
    """The identity of a live process; None where there is none, or only its zombie."""
    ticks = _start_ticks(pid)
    return None if ticks is None else Identity(pid=pid, start_ticks=ticks, boot_id=boot_id(), host=host())


def own_identity(run: Path | None = None) -> Identity:
    """This process's, as one that works in that run directory. Raises OSError where the directory is gone."""
    own = identity_of(os.getpid())
    assert own is not None
    if run is None:
        return own
    where = os.stat(run)
    return msgspec.structs.replace(own, device=where.st_dev, inode=where.st_ino)


def alive(identity: Identity) -> bool:
    """Whether this very process still runs, and can be seen from here."""
    return (
        not on_another_host(identity)
        and identity.boot_id == boot_id()
        and _start_ticks(identity.pid) == identity.start_ticks
    )


def on_another_host(identity: Identity) -> bool:
    """Whether nobody here can know if this process runs: it is on another machine, or in another container."""
    return identity.host not in ("", host())


def same_process(one: Identity, other: Identity) -> bool:
    """Whether both name one process, whatever is known of where it works."""
    return (one.pid, one.start_ticks, one.boot_id) == (other.pid, other.start_ticks, other.boot_id)


def place(run: Path) -> str:
    """What tells this run directory from its copies. Raises OSError where it is gone."""
    where = os.stat(run)
    return f"{where.st_dev}:{where.st_ino}"


def works_in(identity: Identity, run: Path) -> bool:
    """Whether the process works in this run directory, and not in the one that this is a copy of."""
    if not identity.inode:
        return True
    try:
        here = os.stat(run)
    except OSError:
        return False
    # Hosts number the devices of a shared folder each for itself; its inodes are the file server's.
    return identity.inode == here.st_ino and (identity.device == here.st_dev or on_another_host(identity))


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
