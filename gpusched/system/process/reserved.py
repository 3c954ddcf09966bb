"""Names that one process at a time has, and loses with its end, however that comes."""

from __future__ import annotations

import socket
from hashlib import blake2b


def reserve(name: str) -> socket.socket | None:
    """That name on this machine, until this is closed; None where somebody has it.

    It is in the abstract namespace of Unix sockets: no file is left, and the kernel frees it when the last process ends
    that has it. A forked child has it too.
    """
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        held.bind(f"\0gpusched-{blake2b(name.encode(), digest_size=16).hexdigest()}")
    except OSError:
        held.close()
        return None
    return held
