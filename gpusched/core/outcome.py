"""How an attempt at a job can end, and what is known of it afterwards."""

from __future__ import annotations

import enum

import msgspec


class End(enum.StrEnum):
    """How one attempt at a job ended."""

    COMPLETED = "completed"  #: trained to stop_epoch, or stopped itself early: the scores stand
    FAILED = "failed"  #: raised, crashed or reported NaN
    STOPPED = "stopped"  #: stopped by hand: the trial counts as failed
    INTERRUPTED = "interrupted"  #: asked to stop, checkpointed, will go on later
    KILLED = "killed"  #: killed from outside, or lost with its machine: no fault of the trial
    OVERSIZE = "oversize"  #: the model has more parameters than max_model_size
    FATAL = "fatal"  #: the search cannot go on (FatalError, or an objective that nobody reports)


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an attempt failed, for people."""

    kind: str  #: the exception's class name, or "signal", "exit", "nan", "hang", or one of core.faults
    message: str  #: one line
    traceback: str = ""
    classes: list[str] = []  #: of an error that ends the search: module:name, see errors.fatal_classes


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt used, as the kernel counted it (wait4) and the devices showed it."""

    peak_bytes: int | None = None  #: largest resident memory of the process
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    gpu_seconds: float | None = None  #: summed over its GPUs; one that n trials share counts 1/n to each
    gpu_peak_bytes: int | None = None  #: on one GPU, by the driver's samples
    gpu_utilisation: float | None = None  #: mean of its GPUs', 0 … 1
    gpu_others_bytes: int | None = None  #: on one GPU, what no trial of this search held, at most
    gpu_share: int | None = None  #: trials that were on its GPU at once, itself included, at most
