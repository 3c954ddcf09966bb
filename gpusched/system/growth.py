"""What frameworks are asked by environment in a process that holds no trial, and which of them have started already.

By default TensorFlow takes nearly all memory of every GPU it sees when it starts, and JAX three quarters. A script that
searches from its own process needs that memory for its trials. Both read the environment when they start, not when
they are imported. Torch takes what it needs; but its torch.cuda.is_available(), which Keras asks at import, starts
CUDA, and then no fork can use it: asked so, it asks the driver's NVML instead.
"""

from __future__ import annotations

import os
import sys

#: What a framework that is loaded later reads: TensorFlow, JAX.
TENSORFLOW, JAX = "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"
#: Where it is "1", torch.cuda.is_available() asks NVML; see torch/cuda/__init__.py, `_nvml_based_avail`.
TORCH_ASKS_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
#: Where one of these is set, the user has decided how JAX takes memory.
_OF_JAX = (JAX, "XLA_PYTHON_CLIENT_ALLOCATOR", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")

#: Frameworks that had started before growth was asked for.
too_late: list[str] = []


def ask_for_growth() -> None:
    """For this process and those it starts, where the user has said nothing else. Loads no framework."""
    started = awake()
    too_late[:] = [name for name in started if name != "torch"]
    if "TensorFlow" not in started:
        os.environ.setdefault(TENSORFLOW, "true")
    if "JAX" not in started and not any(name in os.environ for name in _OF_JAX):
        os.environ[JAX] = "false"
    os.environ.setdefault(TORCH_ASKS_NVML, "1")


def awake() -> list[str]:
    """The frameworks whose runtimes this process has started: they may hold GPUs. Loads none."""
    found = []
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    if getattr(context, "_initialized", False):
        found.append("TensorFlow")
    if getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None):
        found.append("JAX")
    # While torch is being imported it has no `cuda` yet.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and getattr(cuda, "is_initialized", bool)():
        found.append("torch")
    return found
