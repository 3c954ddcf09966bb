"""TensorBoard's event files, written without TensorFlow.

The forms are public: records as in tensorflow/core/lib/io/record_writer.h, messages as in event.proto, summary.proto
and TensorBoard's plugins/hparams/plugin_data.proto and api.proto; the numbers below are those files' field numbers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

PLUGIN = "hparams"
#: Status of a session (api.proto).
SUCCESS, FAILURE, RUNNING = 1, 2, 3


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # Castagnoli's polynomial, reflected
        table.append(crc)
    return table


_TABLE = _crc_table()


def crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class EventWriter:
    """One event file; closes with the file it was given."""

    def __init__(self, file: BinaryIO, wall_time: float) -> None:
        self._file = file
        self._record(_double(1, wall_time) + _text(3, "brain.Event:2"))

    def summary(self, wall_time: float, step: int, values: Iterable[bytes]) -> None:
        """An event with these values of a summary (see `scalar` and the functions of HParams)."""
        body = b"".join(_bytes(1, value) for value in values)
        self._record(_double(1, wall_time) + _integer(2, step) + _bytes(5, body))

    def _record(self, content: bytes) -> None:
        length = struct.pack("<Q", len(content))
        self._file.write(length + _masked(length) + content + _masked(content))


def scalar(tag: str, value: float) -> bytes:
    return _text(1, tag) + b"\x15" + _float32(value)


def _float32(value: float) -> bytes:
    """TensorBoard's numbers have 32 bits: what is beyond them is infinite."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def experiment(
    name: str, created: float, hyperparameters: Mapping[str, str], metrics: Iterable[tuple[str, str]]
) -> bytes:
    """`hyperparameters` is name to "string", "bool" or "float"; `metrics` are (tag, name shown)."""
    kinds = {"string": 1, "bool": 2, "float": 3}
    body = _text(6, name) + _double(3, created)
    for hyperparameter, kind in hyperparameters.items():
        body += _bytes(4, _text(1, hyperparameter) + _integer(4, kinds[kind]))
    for tag, shown in metrics:
        body += _bytes(5, _bytes(1, _text(2, tag)) + _text(3, shown))
    return _hparams("experiment", 2, body)


def session_start(values: Mapping[str, Any], group: str, started: float) -> bytes:
    body = b"".join(_bytes(1, _text(1, name) + _bytes(2, _value(value))) for name, value in values.items())
    return _hparams("session_start_info", 3, body + _text(4, group) + _double(5, started))


def session_end(status: int, ended: float) -> bytes:
    return _hparams("session_end_info", 4, _integer(1, status) + _double(2, ended))


def _hparams(tag: str, number: int, body: bytes) -> bytes:
    content = _integer(1, 0) + _bytes(number, body)
    metadata = _bytes(1, _text(1, PLUGIN) + _bytes(2, content))
    # TensorBoard reads no summary without a tensor: one float, zero.
    tensor = _integer(1, 1) + _bytes(2, _bytes(2, _integer(1, 1))) + _bytes(5, struct.pack("<f", 0.0))
    return _text(1, f"_hparams_/{tag}") + _bytes(9, metadata) + _bytes(8, tensor)


def _value(value: Any) -> bytes:
    """google.protobuf.Value"""
    if isinstance(value, bool):
        return _integer(4, int(value))
    if isinstance(value, int | float):
        return _double(2, float(value))
    return _text(3, str(value))


# ------------------------------------------------------------------ protocol buffers


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("utf-8", "replace"))
