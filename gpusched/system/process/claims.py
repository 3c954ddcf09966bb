"""Claims that one process at a time holds, and that end with it however it ends."""

from __future__ import annotations

import socket
from hashlib import blake2b


def claim(name: str) -> socket.socket | None:
    """A claim to that name on this machine, held until it is closed; None where somebody holds it.

    A name in the abstract namespace of Unix sockets: no file is left, and the kernel gives it back when its last
    holder ends. A forked child holds it too.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        held.bind(f"\0gpusched-{blake2b(name.encode(), digest_size=16).hexdigest()}")
    except OSError:
        held.close()
        return None
    return held
