"""What a caller defined, carried to the launcher by value, its arrays once.

Functions and classes travel by cloudpickle; the memory of arrays travels out of band (pickle
protocol 5) in one memfd that the launcher maps read-only, so that all the trials it forks share it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from typing import Any

from gpusched.errors import UsageError

_ALIGN = 64  # what NumPy and the frameworks' vector code like best


def pack(value: dict[str, Any], parts: dict[str, Any]) -> int:
    """A memfd that holds the value; the caller closes it.

    Raises UsageError naming the one of its parts that cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = _dumps(value, parts, buffers)
    views = [buffer.raw() for buffer in buffers]
    header = struct.pack(f"<{2 + len(views)}Q", len(views), len(body), *(view.nbytes for view in views))
    fd = os.memfd_create("gpusched-arguments")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(header)
        file.write(body)
        for view in views:
            file.write(b"\0" * (-file.tell() % _ALIGN))
            file.write(view)
    for view in views:
        view.release()
    return fd


def _dumps(value: dict[str, Any], parts: dict[str, Any], buffers: list[pickle.PickleBuffer]) -> bytes:
    import cloudpickle

    try:
        body: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        return body
    except UsageError:
        raise
    except Exception as whole:
        for name, part in parts.items():
            try:
                cloudpickle.dumps(part, protocol=5, buffer_callback=lambda _: None)
            except Exception as error:
                raise UsageError(
                    f"{name}: {type(part).__name__} cannot be carried to the trials ({error}); make it there instead: "
                    "def load_data(): ...; return dict(x=..., y=...) and tuner.search(load_data)"
                ) from None
        raise UsageError(f"the arguments of search() cannot be carried to the trials ({whole})") from None


def unpack(fd: int) -> dict[str, Any]:
    """The value in a memfd that pack() filled. Its arrays are read-only views of one shared mapping."""
    whole = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    view = memoryview(whole)
    count, length = struct.unpack_from("<2Q", view)
    sizes = struct.unpack_from(f"<{count}Q", view, 16)
    at = 16 + 8 * count
    body = view[at : at + length]
    at += length
    buffers = []
    for size in sizes:
        at += -at % _ALIGN
        buffers.append(view[at : at + size])
        at += size
    value: dict[str, Any] = pickle.loads(body, buffers=buffers)
    return value
