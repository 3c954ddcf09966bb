"""What a user asks for, checked; and the part of it that a scheduler needs, as plain JSON.

Knows every argument of a tuner and every option of the command line that stands for one. Refuses to
know what is done with them: values are checked here, once, so that wrong ones are named before anything starts.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gpusched.errors import UsageError
from gpusched.hypermodel import HyperModel
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.system.origin import working_directory

#: Algorithms that decide the epochs of a job themselves.
RESUMING = ("hyperband", "asha")
#: Arguments of oracles, as a user calls them here.
TUNABLE = ("max_epochs", "factor", "iterations", "max_trials", "sampler", "num_initial_points", "alpha", "beta")

#: What tuner's arguments were called in earlier versions: still taken.
_OLDER = {"busy": "when_busy"}
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that a scheduler needs to know of a search; no object of the user's."""

    algorithm: str
    arguments: dict[str, Any]  #: of the oracle
    objectives: list[dict[str, str]]
    seed: int | None
    directory: str
    folder: str = ""  #: from where the directory is meant, if it is relative
    project_name: str
    gpus: str | list[str]
    per_gpu: int | str  #: a number, or "auto"
    gpus_per_trial: int
    cpu_slots: int | None
    when_busy: str = "wait"
    trial_timeout: float | None = None  #: seconds without an epoch
    max_trials: int | None
    max_time: float | None  #: seconds
    overwrite: bool
    max_retries_per_trial: int
    max_consecutive_failed_trials: int
    executions_per_trial: int
    max_model_size: int | None
    keep: int  #: best trials whose checkpoints stay
    checkpoint_every: str  #: "rung" or "epoch"
    engine: str
    kind: str  #: keras, function or run_trial
    keras: bool  #: whether trials will import Keras
    backend: str | None  #: Keras's, where there is one
    script: str | None
    script_digest: str | None
    words: list[str] = []  #: how the script was called: options of `gpusched run`, and behind -- the script's own
    learn_from: str | None = None  #: an older run
    enqueued: list[dict[str, Any]] = []  #: configurations that the tuner was asked to try
    notify: list[str] = []  #: who is told of the search's end
    hooks: list[str] = []  #: methods of the tuner's own that are called beside the search, not in a trial
    script_rest: int | None = None  #: its line behind search(), where executing it ended


@dataclass(kw_only=True)
class Asked:
    """The arguments of a tuner. Raises UsageError for a value that cannot be meant."""

    algorithm: str
    hypermodel: HyperModel | None = None
    train: Callable[..., Any] | None = None
    objective: Any = None
    max_epochs: int | None = None
    factor: int = 3
    iterations: int | None = 1
    max_trials: int | None = None
    sampler: str | None = None
    num_initial_points: int | None = None
    alpha: float | None = None
    beta: float | None = None
    seed: int | None = None
    hyperparameters: HyperParameters | None = None
    tune_new_entries: bool = True
    allow_new_entries: bool = True
    max_retries_per_trial: int = 0
    max_consecutive_failed_trials: int = 3
    max_model_size: int | None = None
    executions_per_trial: int = 1
    optimizer: Any = None
    loss: Any = None
    metrics: Any = None
    distribution_strategy: Any = None
    directory: str | None = None
    project_name: str | None = None
    overwrite: bool = False
    gpus: Any = "all"
    per_gpu: int | str = 1
    gpus_per_trial: int = 1
    cpu_slots: int | None = None
    when_busy: str = "wait"
    trial_timeout: float | str | None = None
    max_time: float | str | None = None
    engine: str = "local"
    keep: int = 10
    checkpoint_every: str = "rung"
    notify: Any = None
    learn_from: str | None = None
    objectives: list[Objective] = field(init=False)
    #: Where the tuner was made: a relative directory is meant from there, wherever the script goes afterwards.
    folder: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parsed: Any = Objective.parse(self.objective)
        self.objectives = parsed if isinstance(parsed, list) else [parsed]
        whole("max_epochs", self.max_epochs, 1, none=True)
        whole("factor", self.factor, 2)
        whole("hyperband_iterations", self.iterations, 1, none=True)
        whole("max_trials", self.max_trials, 1, none=True)
        whole("num_initial_points", self.num_initial_points, 1, none=True)
        whole("seed", self.seed, 0, none=True)
        whole("max_retries_per_trial", self.max_retries_per_trial, 0)
        whole("max_consecutive_failed_trials", self.max_consecutive_failed_trials, 1)
        whole("max_model_size", self.max_model_size, 1, none=True)
        whole("executions_per_trial", self.executions_per_trial, 1)
        if isinstance(self.per_gpu, str) and self.per_gpu != "auto":
            raise UsageError(f"per_gpu: {self.per_gpu!r} is not possible; give an integer of at least 1, or 'auto'")
        if self.per_gpu != "auto":
            whole("per_gpu", self.per_gpu, 1)
        whole("gpus_per_trial", self.gpus_per_trial, 1)
        whole("cpu_slots", self.cpu_slots, 1, none=True)
        whole("keep", self.keep, 0)
        positive("alpha", self.alpha)
        positive("beta", self.beta)
        one_of("when_busy", self.when_busy, ("wait", "skip", "share"))
        one_of("sampler", self.sampler, (None, "random", "model"))
        one_of("engine", self.engine, ("local", "ray"))
        one_of("checkpoint_every", self.checkpoint_every, ("rung", "epoch"))
        self.notify = _texts("notify", self.notify)
        self.max_time = seconds(self.max_time)
        self.trial_timeout = seconds(self.trial_timeout, "trial_timeout")
        self.directory = _path("directory", self.directory)
        self.learn_from = _path("learn_from", self.learn_from)
        self.folder = working_directory()
        self.project_name = _path("project_name", self.project_name)
        if self.project_name in (".", ".."):
            raise UsageError(f"project_name: {self.project_name!r} is no name for a folder; give one like 'digits'")
        if self.hyperparameters is not None and not isinstance(self.hyperparameters, HyperParameters):
            raise UsageError(
                f"hyperparameters: {self.hyperparameters!r} is a {type(self.hyperparameters).__name__}; "
                "give a gpusched.HyperParameters"
            )
        if self.train is not None and not callable(self.train):
            raise UsageError(f"train: {self.train!r} is not a function; give train(hp, trial)")
        if self.train is not None and self.hypermodel is not None:
            raise UsageError("both a hypermodel and train= are given: say which of the two trains the trials")

    def __getstate__(self) -> dict[str, Any]:
        """What travels to the trials."""
        from gpusched.trial.fitting.strategies import portable

        return {**self.__dict__, "distribution_strategy": portable(self.distribution_strategy)}


def renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names they have now. Raises UsageError where one is given by both of its names."""
    for name in _OLDER.keys() & given.keys():
        if _OLDER[name] in given:
            raise UsageError(f"{name} is the older name of {_OLDER[name]}; give one of the two")
    return {_OLDER.get(name, name): value for name, value in given.items()}


def whole(name: str, value: Any, least: int, *, none: bool = False) -> None:
    """Raises UsageError unless value is an integer of at least `least`, or None where that may be."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}: {value!r} is not possible; give an integer of at least {least}")


def positive(name: str, value: Any) -> None:
    """Raises UsageError unless value is a positive number or None."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0 or math.isinf(value):
        raise UsageError(f"{name}: {value!r} is not possible; give a positive number")


def one_of(name: str, value: Any, possible: tuple[Any, ...]) -> None:
    """Raises UsageError unless value is one of those."""
    if value not in possible:
        raise UsageError(f"{name}: {value!r} is unknown; choose one of {', '.join(p for p in possible if p)}")


def seconds(value: Any, name: str = "max_time") -> float | None:
    """A span of time in seconds: of a number, or of text like "90", "30m", "2h", "1h30m"."""
    if value is None:
        return None
    found: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str):
        text = value.strip().lower()
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*(min|[smhd]?)\s*", text)
        if parts and re.fullmatch(r"(?:\d+(?:\.\d+)?\s*(?:min|[smhd]?)\s*)+", text):
            found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if found is None or not 0 < found < math.inf:
        raise UsageError(f'{name}: {value!r} is not a span of time; give seconds, or text like "30m" or "2h"')
    return found


def _texts(name: str, value: Any) -> list[str]:
    """One text or several as a list. Raises UsageError for anything else."""
    given = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) and each for each in given):
        raise UsageError(f"{name}: {value!r} is not possible; give text, or a list of texts")
    return list(given)


def _path(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise UsageError(f"{name}: {value!r} is not a path; give text like 'runs'")
    return os.fsdecode(value)


# ---------------------------------------------------------------------------- what the scheduler is told


def override(asked: Asked, options: Mapping[str, Any]) -> Asked:
    """The same with the command line's options, which beat the script; None stands for an option not given."""
    given = {name: value for name, value in options.items() if value is not None}
    known = {each.name for each in dataclasses.fields(Asked) if each.init}
    for name in given:
        if name not in known:
            raise UsageError(f"{name}: there is no such option for a search")
    refuse_idle(given.get("algorithm", asked.algorithm), given)
    changed = dataclasses.replace(asked, **given)
    changed.folder = asked.folder
    return changed


def refuse_idle(algorithm: str, given: Mapping[str, Any]) -> None:
    """Raises UsageError for an argument that would have no effect on this algorithm."""
    takes = _arguments_of(algorithm)
    for name in TUNABLE:
        if given.get(name) is not None and name not in takes:
            raise UsageError(f"{name}: {algorithm} takes no such argument; it takes {', '.join(sorted(takes))}")


def _arguments_of(algorithm: str) -> set[str]:
    from gpusched.oracles import KINDS, ORACLES

    if algorithm not in KINDS:
        raise UsageError(f"algorithm: {algorithm!r} is unknown; choose one of {', '.join(ORACLES)}")
    return set(inspect.signature(KINDS[algorithm].__init__).parameters) & set(TUNABLE)


def oracle_arguments(asked: Asked, epochs: int | None) -> dict[str, Any]:
    """What the algorithm's oracle is made with. `epochs` are those the user asked fit for."""
    takes = _arguments_of(asked.algorithm)
    values = {name: getattr(asked, name) for name in TUNABLE if name in takes}
    if asked.algorithm in RESUMING:
        values["max_epochs"] = 100 if asked.max_epochs is None else asked.max_epochs
    else:
        # Keras trains one epoch where nobody says how many.
        values["max_epochs"] = epochs or asked.max_epochs or 1
    # None means "as the algorithm has it", but for iterations, where it means without end.
    return {name: value for name, value in values.items() if value is not None or name == "iterations"}


def gpu_names(gpus: Any) -> str | list[str]:
    """`gpus` as plain text: "all", "none", or a list of indices and UUIDs."""
    if gpus is None:
        return "all"
    if isinstance(gpus, bool) or not isinstance(gpus, str | int | list | tuple):
        raise UsageError(f"gpus: {gpus!r} is not understood; give 'all', 'none', or a list of indices or UUIDs")
    if isinstance(gpus, str) and gpus in ("all", "none"):
        return gpus
    parts = gpus.split(",") if isinstance(gpus, str) else [gpus] if isinstance(gpus, int) else gpus
    names = [str(part).strip() for part in parts]
    if not all(names):
        raise UsageError(f"gpus: {gpus!r} names no GPU; give 'all', 'none', or a list of indices or UUIDs")
    return names
