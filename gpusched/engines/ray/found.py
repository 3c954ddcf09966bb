"""Which Ray clusters have a node on this machine, and whose they are.

Ray joins any that it finds. It talks to a node through files that only the node's owner may open, and where it may not
open them it ends the whole process: so it is asked for one's own clusters only.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from gpusched.storage.identity import pids

_ADDRESS = b"--gcs-address="
_HERE = ("localhost", "127.0.0.1", "[::1]")


def _users() -> list[tuple[str, int]]:
    """Of every node here its cluster's address and its user, the newest last."""
    return [(address, uid) for address, uid, _ in sorted(_nodes(), key=lambda node: node[2])]


def _nodes() -> Iterator[tuple[str, int, float]]:
    for pid in pids():
        process = Path(f"/proc/{pid}")
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            where = process.stat()
        except OSError:  # It has ended.
            continue
        if os.path.basename(words[0]) == b"raylet":
            address = next((word.removeprefix(_ADDRESS) for word in words if word.startswith(_ADDRESS)), b"")
            if address:
                yield address.decode(errors="replace"), where.st_uid, where.st_mtime


def own() -> str | None:
    """The address of the newest cluster here that this user may join; None where there is none."""
    user = os.getuid()
    return next((address for address, uid in reversed(_users()) if user in (0, uid)), None)


def owner(address: str) -> str | None:
    """The other user whose cluster has a node on this machine and is at this address; None where it may be joined."""
    user = os.getuid()
    nodes = [uid for there, uid in _users() if _same(there, address)]
    if not nodes or user == 0 or user in nodes:
        return None
    try:
        return pwd.getpwuid(nodes[0]).pw_name
    except KeyError:
        return f"user {nodes[0]}"


def _same(one: str, other: str) -> bool:
    """Whether two addresses mean one place: a host has several names, a port on it one owner."""
    (host, _, port), (name, _, number) = one.rpartition(":"), other.removeprefix("ray://").rpartition(":")
    return port == number and (host == name or name in _HERE)
