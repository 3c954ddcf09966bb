"""Unix sockets in folders whose paths may be longer than the 107 bytes an address holds."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

#: The longest message that people's orders may be: the ids of two million trials.
MOST_BYTES = 16 << 20


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """A short name of the socket's path, good while the context lasts."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A listening socket at path that only its owner may connect to; a stale one there is replaced."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        with _address(path) as address:
            server.bind(address)
    finally:
        os.umask(before)
    server.listen(16)
    return server


def connect(path: Path) -> socket.socket | None:
    """A socket connected to the one at path; None where nobody listens there."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _address(path) as address:
            client.connect(address)
    except OSError:
        client.close()
        return None
    return client
