"""The process that searches: a script's or a notebook's own, whose frameworks may hold memory of the GPUs.

It is no trial and no stranger. It is not waited for, what it holds is not the trials' to take, and a GPU that it fills
is no place for a trial.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from msgspec.structs import replace

from gpusched.devices import Gpu
from gpusched.devices.placement import CONTEXT_BYTES
from gpusched.system import growth

#: A GPU of which less than this is left by the caller is full: a framework that takes all leaves about so much.
_PART, _BYTES = 1 / 8, 2 * CONTEXT_BYTES
_GIB = 2**30


class Caller(NamedTuple):
    """A process, and why it holds what it holds."""

    pid: int
    awake: tuple[str, ...] = ()  #: frameworks that it has started
    too_late: tuple[str, ...] = ()  #: those of them that had started before gpusched was imported

    def marked(self, gpu: Gpu) -> Gpu:
        """The same GPU, the caller among its processes named as such."""
        processes = tuple(
            replace(each, kind="caller") if each.pid == self.pid and each.kind == "compute" else each
            for each in gpu.processes
        )
        return replace(gpu, processes=processes) if processes != gpu.processes else gpu

    def way_out(self) -> str:
        """Behind what it holds: why, and what to do."""
        run = "search with `gpusched run SCRIPT`, which starts no framework in the process that searches"
        if self.too_late:
            names = " and ".join(self.too_late)
            return f"because {names} started before gpusched was imported; import gpusched first, or {run}"
        names = " and ".join(self.awake) or "it"
        return f"because {names} took it for the script's own work; give it back before search(), or {run}"


#: Of a machine on which the caller is not.
NOBODY = Caller(pid=0)


def this_process() -> Caller:
    return Caller(os.getpid(), tuple(growth.awake()), tuple(growth.too_late))


def filled(gpu: Gpu) -> str | None:
    """What the caller holds of this GPU, if that leaves too little for a trial."""
    own = [process.used_bytes or 0 for process in gpu.processes if process.kind == "caller"]
    held, total = sum(own), gpu.total_bytes
    if own and gpu.exclusive:
        return "this process is the only one that compute mode Exclusive_Process allows, and holds all"
    if total is None or not own or total - held >= max(total * _PART, _BYTES):
        return None
    return f"this process holds {held / _GIB:.1f} of {total / _GIB:.1f} GiB"
