"""What frameworks are told about GPUs, and what is made of their errors; no framework is loaded."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gpusched.storage.records import JobSpec
from gpusched.trial.fitting import framework

GIB = 2**30
GPU = {"CUDA_VISIBLE_DEVICES": "GPU-a"}
NEWER = "XLA_CLIENT_MEM_FRACTION"
VARIABLES = ("TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION")


def spec(**more: Any) -> JobSpec:
    return JobSpec(run="/run", trial=0, attempt=1, values={}, start_epoch=0, stop_epoch=1, seed=0, env=GPU, **more)


def told(job: JobSpec, monkeypatch: pytest.MonkeyPatch, **said: str) -> dict[str, str | None]:
    """What frameworks read, where the user has said this and nothing else."""
    with monkeypatch.context() as patch:
        plain = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, NEWER)}
        patch.setattr(os, "environ", plain | said)
        framework.prepare(job)
        framework.prepare(job)
        return {name: os.environ.get(name) for name in (*VARIABLES, NEWER)}


@pytest.mark.parametrize(
    ("job", "fraction"),
    [
        (spec(gpu_bytes=24 * GIB), "0.920"),
        (spec(gpu_bytes=24 * GIB, share=2, memory_limit_bytes=9 * GIB), "0.375"),
        (spec(share=4), "0.230"),
    ],
    ids=["alone", "shared", "of unknown size"],
)
def test_memory_grows_up_to_the_limit(job: JobSpec, fraction: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken in advance; where several share a GPU, XLA is told the trial's part of it."""
    assert told(job, monkeypatch) == dict(zip((*VARIABLES, NEWER), ("true", "false", fraction, None), strict=True))


@pytest.mark.parametrize(
    ("said", "inductor"),
    [
        ({}, "/run/launcher/compiled/inductor"),
        ({"GPUSCHED_SHARE_COMPILED": "0"}, None),
        ({"TORCHINDUCTOR_CACHE_DIR": "/mine"}, "/mine"),
    ],
)
def test_what_torch_compiles_is_shared_by_the_runs_trials(
    said: dict[str, str], inductor: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the run directory, unless the user has said where, or that it is not to be."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(said))
        framework.prepare(spec())
        assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == inductor


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says otherwise is meant."""
    growth = {"TF_FORCE_GPU_ALLOW_GROWTH": "false", "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
    said = told(spec(), monkeypatch, **growth)
    assert {name: said[name] for name in growth} == growth


@pytest.mark.parametrize("name", ["XLA_PYTHON_CLIENT_MEM_FRACTION", NEWER])
@pytest.mark.parametrize(
    ("job", "asked", "given"),
    [(spec(), ".5", "0.500"), (spec(share=4), ".9", "0.230"), (spec(share=4), ".1", "0.100"), (spec(), "?", "0.920")],
)
def test_a_part_of_the_gpu_that_the_user_asks_for(
    name: str, job: JobSpec, asked: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands, by either of JAX's names, up to the trial's own; JAX refuses both names at once."""
    said = told(job, monkeypatch, **{name: asked})
    assert (said["XLA_PYTHON_CLIENT_MEM_FRACTION"], said[NEWER]) == (given, None)


@pytest.mark.parametrize(
    ("environ", "gpus", "device"),
    [({}, GPU, "cuda"), ({}, {"CUDA_VISIBLE_DEVICES": "-1"}, "cpu"), ({"KERAS_TORCH_DEVICE": "cuda:0"}, GPU, "chosen")],
)
def test_keras_computes_where_the_trial_is(
    environ: dict[str, str], gpus: dict[str, str], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch Keras chooses its device at import, for the launcher or the caller; a trial has another."""
    core = SimpleNamespace(DEFAULT_DEVICE="chosen")
    monkeypatch.setitem(sys.modules, "keras.src.backend.torch.core", core)
    told(msgspec.structs.replace(spec(), env=gpus), monkeypatch, **environ)
    assert device == core.DEFAULT_DEVICE


def error(name: str, text: str, base: type[Exception] = Exception) -> Exception:
    made: Exception = type(name, (base,), {})(text)
    return made


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (MemoryError(), "MemoryError"),
        (error("_ArrayMemoryError", "Unable to allocate 9 GiB", MemoryError), "MemoryError"),
        (error("ResourceExhaustedError", "OOM when allocating tensor on GPU:0"), "ResourceExhaustedError"),
        (error("ResourceExhaustedError", "OOM ... on /job:localhost/device:CPU:0 by allocator cpu"), "MemoryError"),
        (error("OutOfMemoryError", "CUDA out of memory", RuntimeError), "ResourceExhaustedError"),
        (error("NotFoundError", "No algorithm worked! Error messages: RESOURCE_EXHAUSTED"), "ResourceExhaustedError"),
        (error("NotFoundError", "no file weights.h5"), None),
        (error("FailedPreconditionError", "DNN library initialization failed. Look"), "ResourceExhaustedError"),
        (error("InternalError", "Failed to allocate 4096 bytes for new constant"), "ResourceExhaustedError"),
        (error("RuntimeError", "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED", RuntimeError), "ResourceExhaustedError"),
        (error("RuntimeError", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", RuntimeError), "ResourceExhaustedError"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 GB"), "MemoryError"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "MemoryError"),
        (ValueError("cannot interpret CUBLAS_STATUS_NOT_INITIALIZED"), None),
        (error("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to", RuntimeError),
         "ResourceExhaustedError"),
        (error("JaxRuntimeError", "RESOURCE_EXHAUSTED: ..."), "ResourceExhaustedError"),
        (error("InternalError", "cudnn: CUDNN_STATUS_ALLOC_FAILED"), "ResourceExhaustedError"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "DeviceError"),
        (error("AcceleratorError", "CUDA error: unspecified launch failure", RuntimeError), "DeviceError"),
        (error("InternalError", "CUDA_ERROR_LAUNCH_FAILED"), "DeviceError"),
        (ValueError("the shelf is out of memory sticks"), None),
        (RuntimeError("shapes do not match"), None),
    ],
    ids=lambda value: None if isinstance(value, Exception) else str(value),
)  # fmt: skip
def test_errors_of_memory_and_devices_are_told_from_others(raised: Exception, kind: str | None) -> None:
    """By class and text of every backend; a cause counts as the error itself."""
    assert framework.fault_kind(raised) == kind
    wrapped = ValueError("training failed")
    wrapped.__cause__ = raised
    assert framework.fault_kind(wrapped) == kind
