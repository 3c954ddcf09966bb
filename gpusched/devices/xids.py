"""What the numbers mean by which NVIDIA's driver reports that something went wrong on a GPU, and who is to blame.

The names are those of NVIDIA's document "XID Errors" (chapter "XID Error Listing"). Who is to blame follows that
document's columns of causes, held against the health check of NVIDIA's device plugin for Kubernetes, which passes
over 13, 31, 43, 45, 68 and 109 as a program's own doing. A number that is not listed here blames the GPU, as there.
"""

from __future__ import annotations

from typing import NamedTuple


class Xid(NamedTuple):
    name: str
    fatal: bool  #: nothing more is to run on that GPU


_PROGRAM = {  # A program's own doing, or the end of one.
    13: "graphics engine exception",
    31: "memory page fault",
    43: "GPU stopped processing",
    45: "preemptive cleanup after earlier errors",
    68: "video decoder exception",
    109: "context switch timeout",
}
_REPAIRED = {  # The GPU goes on, by that document; its uncorrected errors are counted beside.
    63: "memory page retired or row remapped",
    92: "high rate of single-bit memory errors",
    94: "contained memory error",
    121: "corrected error of the chip-to-chip link",
}
_DEVICE = {
    32: "invalid or corrupted push buffer stream",
    38: "driver firmware error",
    48: "double-bit memory error",
    61: "internal micro-controller breakpoint or warning",
    62: "internal micro-controller halt",
    64: "memory page or row could not be retired",
    69: "graphics engine class error",
    74: "NVLink error",
    79: "GPU has fallen off the bus",
    95: "uncontained memory error",
    119: "GPU system processor does not answer",
    120: "GPU system processor error",
    140: "unrecovered memory error",
    143: "GPU could not be initialised",
}


def xid(code: int) -> Xid:
    """What that number stands for."""
    for names, fatal in ((_PROGRAM, False), (_REPAIRED, False), (_DEVICE, True)):
        if code in names:
            return Xid(f"XID {code}, {names[code]}", fatal)
    return Xid(f"XID {code}", fatal=True)
