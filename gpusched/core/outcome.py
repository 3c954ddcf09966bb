"""How an attempt at a job can end, and what is known of it afterwards."""

from __future__ import annotations

import enum
import re

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
    where: str = ""  #: the line of the user's own code that it came from: `train.py:5`
    classes: list[str] = []  #: of an error that ends the search: module:name, see errors.fatal_classes

    @property
    def brief(self) -> str:
        """What it is and where, on part of a line: `ValueError: no such layer (train.py:5)`."""
        said = _essence(self.message)
        if self.kind not in _UNNAMED and not said.startswith(self.kind):
            said = f"{self.kind}: {said}" if said else self.kind
        said = said if len(said) <= _BRIEF else said[:_BRIEF].rsplit(None, 1)[0] + " …"
        return f"{said} ({self.where})" if self.where else said


#: Kinds that are no exception's name.
_UNNAMED = {"", "signal", "exit", "nan", "hang", "launch", "oversize", "superseded", "unreadable", "unreported"}
_UNNAMED |= {"objective"}
#: Characters of a message that people are shown in a line; the log and `--json` have all of it.
_BRIEF = 200
#: What Keras and TensorFlow put around the one sentence that says what is wrong.
_AROUND = (
    (re.compile(r"^Exception encountered when calling (layer )?\S+( \(type \S+\))?\. "), ""),
    (re.compile(r"\s*(Call a|A)rguments received by .*"), ""),
    (re.compile(r"^Graph execution error: Detected at node (\S+) defined at .*line \d+, in \S+ "), r"\1: "),
    (re.compile(r" \[\[\{\{node .*"), ""),
    (re.compile("\x1b\\[[0-9;]*m"), ""),
)


def _essence(message: str) -> str:
    """A message in one line, without what frameworks put around it."""
    found = " ".join(message.split())
    for pattern, instead in _AROUND:
        found = pattern.sub(instead, found) or found
    return found


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
