"""Whether this process can be forked, so that the fork computes as it would.

A started TensorFlow, JAX or CUDA runtime has threads and locks that a fork inherits half: it would hang, or see no GPU.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from gpusched.system.process import threads

#: Modules whose threads do nothing that a fork would wait for: they show, serve and record.
_HARMLESS = (
    *("gpusched", "tqdm", "ipykernel", "IPython", "debugpy", "pydevd"),
    *("werkzeug", "http.server", "socketserver", "tornado"),
)
#: GNU's OpenMP does not survive a fork once it has computed with several threads: the next parallel region hangs.
_OPENMP = "libgomp"
#: NVIDIA's, and its driver's on the Windows Subsystem for Linux.
_DEVICES = ("/dev/nvidia", "/dev/dxg")


def unforkable() -> str | None:
    """What in this process would not survive a fork; None where all is well."""
    return started() or _threads() or _pool() or _device()


def started() -> str | None:
    """Which framework's runtime has started; None: none has."""
    if tensorflow_started():
        return "it started TensorFlow's runtime"
    bridge = sys.modules.get("jax._src.xla_bridge")
    if bridge is not None and getattr(bridge, "_backends", None):
        return "it started JAX's runtime"
    torch = sys.modules.get("torch")
    if torch is not None and (torch.cuda.is_initialized() or _poisoned(torch)):
        return "it started torch's CUDA runtime"
    return None


def _poisoned(torch: Any) -> bool:
    """Whether torch has asked CUDA for its devices, after which it refuses CUDA to every fork. A fork can tell."""
    if not _is_mapped("libcuda.so") or not hasattr(torch.cuda, "_is_in_bad_fork"):
        return False
    pid = os.fork()
    if not pid:
        os._exit(bool(torch.cuda._is_in_bad_fork()))
    _, status = os.waitpid(pid, 0)
    return status != 0


def tensorflow_started() -> bool:
    """Whether TensorFlow has looked at its devices or started its runtime."""
    context = sys.modules.get("tensorflow.python.eager.context")
    started = getattr(context, "_context", None)
    return started is not None and bool(
        getattr(started, "_initialized", False) or getattr(started, "_physical_devices", None) is not None
    )


def _threads() -> str | None:
    current = (threading.main_thread(), threading.current_thread())
    others = [thread for thread in threading.enumerate() if thread not in current and not _is_harmless(thread)]
    return f"it started threads ({', '.join(thread.name for thread in others)})" if others else None


def _is_harmless(thread: threading.Thread) -> bool:
    # By its class, or by the function that it runs.
    target = getattr(thread, "_target", None)
    owner = getattr(target, "__self__", None)
    origins = (type(thread).__module__, getattr(target, "__module__", None), type(owner).__module__)
    return any(f"{origin}.".startswith(f"{module}.") for origin in origins for module in _HARMLESS)


def _pool() -> str | None:
    """Threads of OpenMP, which nothing names: those that are neither Python's nor of a BLAS that can be forked."""
    if not _is_mapped(_OPENMP):
        return None
    from threadpoolctl import threadpool_info

    blas = threads.resting()
    blas += sum(each["num_threads"] - 1 for each in threadpool_info() if each["user_api"] == "blas")
    return "it computed with OpenMP's threads" if len(_nameless()) > blas else None


def _nameless() -> list[str]:
    """Native threads that bear the process's own name, as all do that do not give themselves another."""
    known = {str(thread.native_id) for thread in threading.enumerate()}
    known.add(str(threading.get_native_id()))  # In a fork, threading still has the parent's number for this one.
    own = _name(str(os.getpid()))
    return [task for task in os.listdir("/proc/self/task") if task not in known and _name(task) == own]


def _name(task: str) -> str | None:
    try:
        with open(f"/proc/self/task/{task}/comm", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None  # It has ended meanwhile.


def _is_mapped(library: str) -> bool:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return any(library in line for line in maps)


def _device() -> str | None:
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # The listing's own descriptor is gone by now.
        if target.startswith(_DEVICES):
            return f"it opened {target}"
    return None
