"""What differs from framework to framework: memory of GPUs, whether they are seen, and random numbers.

Everything else about training goes through Keras alone. Nothing here imports a framework that the
trial does not use.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np

from gpusched.core.outcome import End
from gpusched.errors import words_of
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir
from gpusched.system import growth
from gpusched.system.streams import quiet_unless_it_fails
from gpusched.trial.record import Ending

#: Of a GPU that several trials share, so much stays for the driver's contexts.
_USABLE = 0.92
#: A program's part of a GPU, by the names that JAX reads.
_XLA_PARTS = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
#: "0" lets each trial compile for itself.
_SHARE_COMPILED = "GPUSCHED_SHARE_COMPILED"
_NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
#: What to install for a GPU.
_CUDA_BUILDS = {"tensorflow": "'tensorflow[and-cuda]'", "jax": "'jax[cuda12]'", "torch": "torch"}
#: What took JAX longer than this to compile is kept for other trials.
_WORTH_KEEPING_SECONDS = 0.2


def seed_of(seed: int, trial: int, execution: int, start_epoch: int) -> int:
    """The seed of a training's random generators: 32 bits that depend on nothing else."""
    key = f"{seed}/{trial}/{execution}/{start_epoch}".encode()
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "little")


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and whichever frameworks are loaded; loads none."""
    random.seed(seed)
    np.random.seed(seed)
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.utils.set_random_seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def pinned(env: Mapping[str, str]) -> list[str]:
    """The GPUs that a job's environment gives it."""
    visible = env.get("CUDA_VISIBLE_DEVICES", "")
    return [] if visible in ("", "-1") else visible.split(",")


def prepare(spec: JobSpec) -> None:
    """Says by environment how much GPU memory a framework may take, for one that is loaded later too. Twice is once.

    Memory grows, up to the limit where several share a GPU: what a trial holds is then what it needs, and can be
    learnt from. (TensorFlow refuses both of one program; of the environment its allocator takes the growth, see
    GetAllowGrowthValue in gpu_bfc_allocator.cc.)
    """
    os.environ.setdefault(growth.TENSORFLOW, "true")
    os.environ.setdefault(growth.JAX, "false")
    os.environ[growth.TORCH_ASKS_NVML] = "0"  # Here CUDA may start, and its own word counts.
    if _shares_compiled():
        # Read when inductor first compiles; see torch/_inductor/runtime/cache_dir_utils.py and triton/knobs.py.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_compiled(spec) / "inductor"))
        os.environ.setdefault("TRITON_CACHE_DIR", str(_compiled(spec) / "triton"))
    # Keras chose torch's device at its import, which may have been in the launcher, that sees no GPU, or in a caller
    # that sees all; see keras/src/backend/torch/core.py. What is imported later chooses by this job's environment.
    core = sys.modules.get("keras.src.backend.torch.core")
    if hasattr(core, "DEFAULT_DEVICE") and "KERAS_TORCH_DEVICE" not in os.environ:
        setattr(core, "DEFAULT_DEVICE", "cuda" if pinned(spec.env) else "cpu")  # noqa: B010
    # XLA knows no limit in bytes, only a share of the whole: 0.75 where nothing is said. It refuses both names at once.
    asked = next((value for name in _XLA_PARTS if (value := _part(os.environ.get(name))) is not None), None)
    most = memory_fraction(spec)
    if most is None and pinned(spec.env):
        most = asked or _USABLE
    if most is not None:
        for name in _XLA_PARTS:
            os.environ.pop(name, None)
        os.environ[_XLA_PARTS[0]] = f"{min(most, asked or most):.3f}"


def _shares_compiled() -> bool:
    """Trials of like shapes, and promotions above all, need not be compiled again, unless the user says so."""
    return os.environ.get(_SHARE_COMPILED, "1") != "0"


def _compiled(spec: JobSpec) -> Path:
    """What frameworks have compiled for the trials of this run: it goes with the run directory."""
    return RunDir(Path(spec.run)).launcher / "compiled"


def _part(text: str | None) -> float | None:
    try:
        return float(text or "") or None
    except ValueError:
        return None


def memory_fraction(spec: JobSpec) -> float | None:
    """What the job may take of its GPU's memory, 0 … 1; None: all of it."""
    if spec.memory_limit_bytes is not None and spec.gpu_bytes:
        return min(1.0, spec.memory_limit_bytes / spec.gpu_bytes)
    return _USABLE / spec.share if spec.share > 1 else None


def wake(spec: JobSpec) -> list[str]:
    """Loads Keras, starts its backend's runtime, and computes something with it; returns warnings.

    Raises Ending where the job has GPUs of its own and the framework sees none.
    """
    import keras

    backend = keras.config.backend()
    # Without a GPU, TensorFlow's CUDA library tells every process that it finds none: it was not to.
    with contextlib.nullcontext() if pinned(spec.env) else quiet_unless_it_fails():
        warnings = configure(backend, spec)
        check_gpus([backend], spec.env)
        keras.ops.convert_to_numpy(keras.ops.zeros((1,)))
    return warnings


def configure(backend: str, spec: JobSpec) -> list[str]:
    """Sets the backend's memory of GPUs: growing, or limited where several trials share one; returns warnings."""
    gpus = pinned(spec.env)
    if backend == "tensorflow" and gpus:  # Without any, asking TensorFlow for them would take a slot's time.
        try:
            _configure_tensorflow(spec.memory_limit_bytes)
        except RuntimeError as error:
            return [
                "the script started TensorFlow before this trial could limit its GPU memory "
                f"({error}); move that into build_model or load_data"
            ]
    elif backend == "jax":
        import jax

        if _shares_compiled():
            jax.config.update("jax_compilation_cache_dir", str(_compiled(spec) / "jax"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING_SECONDS)
    elif backend == "torch":
        _configure_torch(gpus, spec.memory_limit_bytes)
    return []


def _configure_tensorflow(limit_bytes: int | None) -> None:
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        if limit_bytes is not None:
            # TensorFlow refuses a limit and growth together, and scripts ask for growth: before this, or in their loop.
            tf.config.experimental.set_memory_growth(gpu, False)
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=limit_bytes >> 20)
            tf.config.set_logical_device_configuration(gpu, [limit])
            tf.config.experimental.set_memory_growth = lambda device, enable: None
        else:
            tf.config.experimental.set_memory_growth(gpu, True)


def _configure_torch(gpus: list[str], limit_bytes: int | None) -> None:
    if gpus and limit_bytes is not None:
        import torch

        for index in range(torch.cuda.device_count()):
            whole = torch.cuda.get_device_properties(index).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / whole), index)


def check_gpus(backends: list[str], env: Mapping[str, str]) -> None:
    """Raises Ending where there are GPUs for this job and none of the frameworks sees one."""
    gpus = pinned(env)
    if not gpus or not backends or any(_seen(backend) for backend in backends):
        return
    names = [_NAMES.get(backend, backend) for backend in backends]
    see = f"{names[0]} sees no GPU" if len(names) == 1 else f"neither {' nor '.join(names)} sees a GPU"
    raise Ending(
        End.FATAL,
        "NoGPU",
        f"{see}, though this trial's slot is {', '.join(gpus)}: "
        f"install its CUDA build (pip install {' or '.join(_CUDA_BUILDS[b] for b in backends if b in _CUDA_BUILDS)}), "
        "or search on the CPU with --gpus none",
    )


def _seen(backend: str) -> bool:
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return any(device.platform != "cpu" for device in jax.devices())
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    return True


def check_loaded(spec: JobSpec) -> None:
    """For a loop of the user's: the frameworks that it has loaded see the GPU that its slot stands for.

    PyTorch can be limited after its start too, so that one loaded by the loop itself is.
    """
    if pinned(spec.env):
        if "torch" in sys.modules:
            configure("torch", spec)
        check_gpus([name for name in ("tensorflow", "jax", "torch") if name in sys.modules], spec.env)


#: Of CUDA and its libraries: what a want of memory looks like where no allocator was asked first.
_SHORT = (
    *("resource_exhausted", "out of memory", "out_of_memory", "status_alloc_failed", "cudaerrormemoryallocation"),
    # CUDA's libraries need memory of their own when they begin, and say no more than this where they get none.
    *("dnn library initialization failed", "cudnn failed to initialize", "cudnn_status_internal_error"),
    *("cublas_status_not_initialized", "cudnn_status_not_initialized", "cusolver_status_not_initialized"),
    *("bytes for new constant", "failed to allocate"),
)
#: The same of the host's memory: torch's allocator, and what the kernel does to the workers that load data for it.
_SHORT_OF_HOST = ("defaultcpuallocator", "is killed by signal: killed", "bus error. it is possible that dataloader")
#: What only a broken device makes of a program, or at least may: another device will show.
_BROKEN = (
    *("uncorrectable ecc", "ecc_uncorrectable", "eccuncorrectable", "gpu is lost", "hardware_stack_error"),
    *("devicesunavailable", "device_unavailable", "devices are busy or unavailable", "system_not_ready"),
    *("launch_failed", "unspecified launch failure", "cuda error: unknown error", "cuda_error_unknown"),
)
_OF_FRAMEWORKS = (
    *("XlaRuntimeError", "JaxRuntimeError", "InternalError", "UnknownError", "AbortedError"),
    *("NotFoundError", "FailedPreconditionError", "UnimplementedError"),
)


def fault_kind(error: BaseException) -> str | None:
    """A kind of core.faults where memory ran out or the device may be broken, by the exception or its causes."""
    seen: BaseException | None = error
    known: set[int] = set()
    while seen is not None and id(seen) not in known:  # An error may be made its own cause.
        known.add(id(seen))
        name, text = type(seen).__name__, words_of(seen).lower()
        if isinstance(seen, MemoryError):
            return "MemoryError"
        of_framework = name in _OF_FRAMEWORKS or "RuntimeError" in {kind.__name__ for kind in type(seen).__mro__}
        if of_framework and _any(_SHORT_OF_HOST, text):
            return "MemoryError"
        if name in ("ResourceExhaustedError", "OutOfMemoryError") or (of_framework and _any(_SHORT, text)):
            # TensorFlow says the same of the host's memory.
            return "MemoryError" if "device:cpu" in text or "allocator cpu" in text else "ResourceExhaustedError"
        if of_framework and _any(_BROKEN, text):
            return "DeviceError"
        seen = seen.__cause__
    return None


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
