"""What the commands print with `--json`, as types: the documented shape, and the schema of it.

Fields are added over time and never change their meaning. A figure that is not known is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from gpusched.devices import Inventory
from gpusched.runtime.forecast.planning import Calibration

#: Of a search.
State: TypeAlias = Literal["running", "paused", "stopping", "complete", "stopped", "failed", "abandoned", "new"]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of the answers."""


class Count(Answer, frozen=True, kw_only=True):
    """Of trials."""

    done: int
    started: int
    failed: Annotated[int, Meta(description="Failed, too large a model included, or stopped by hand without a score.")]
    stopped: Annotated[int, Meta(description="By hand, with a score or without.")]
    all: Annotated[int | None, Meta(description="Planned; null where the search has no end.")]


class Epochs(Answer, frozen=True, kw_only=True):
    """Of all trials."""

    done: int
    all: int | None
    saved: Annotated[int, Meta(description="Not trained, because trials stopped themselves early.")]


class Leader(Answer, frozen=True, kw_only=True):
    """The best trial so far: the one with the best score at any of its epochs, trials in training included."""

    trial: int
    score: float
    epoch: Annotated[int, Meta(description="Where the score was reached; epochs count from 1.")]
    budget: Annotated[int, Meta(description="Epochs it has been trained for.")]
    finished: Annotated[bool, Meta(description="False: it is in training, or waits to go on.")]
    values: dict[str, Any]


class Slot(Answer, frozen=True, kw_only=True):
    """A place where one trial runs, and the trial in it."""

    slot: int
    label: str
    devices: Annotated[list[str], Meta(description="UUIDs of GPUs or slices, or cpu.")]
    trial: int | None
    pid: int | None
    start_epoch: int
    stop_epoch: int
    epoch: int
    score: float | None
    seconds_left: float | None


class Rung(Answer, frozen=True, kw_only=True):
    """A rung of an opened bracket."""

    iteration: Annotated[int, Meta(description="Counts from 1.")]
    bracket: Annotated[int, Meta(description="How many times it halves: the last one has number 0.")]
    rung: Annotated[int, Meta(description="Counts from 1, the lowest.")]
    start_epoch: int
    stop_epoch: int
    size: int
    entered: int
    finished: int
    failed: int
    missing: Annotated[int, Meta(description="Trials that will not come, since too few survived the rung before.")]
    promoted: int


class Account(Answer, frozen=True, kw_only=True):
    """What a trial has used of GPUs; n trials that share one get 1/n of its time each."""

    trial: int
    gpu_seconds: float | None
    gpu_peak_bytes: int | None
    gpu_utilisation: Annotated[float | None, Meta(description="0 to 1: the GPU's, not the trial's alone.")]


class Lost(Answer, frozen=True, kw_only=True):
    """A trial that counts as failed."""

    trial: int
    state: Literal["failed", "stopped"]
    reason: Annotated[str, Meta(description="In full.")]
    where: Annotated[str, Meta(description="The line of your own code that it came from; empty where none is known.")]
    epochs: int


class Status(Answer, frozen=True, kw_only=True):
    """`gpusched status --json`"""

    run: str
    state: Annotated[State, Meta(description="abandoned: its scheduler was killed; new: nothing was started yet.")]
    reason: str | None
    exit_code: int | None
    pid: Annotated[int | None, Meta(description="Of its scheduler, while the search is running.")]
    algorithm: str
    objective: str
    direction: Literal["min", "max"]
    seed: int
    seconds: Annotated[float, Meta(description="Running time, over all sessions, without pauses.")]
    seconds_left: Annotated[float | None, Meta(description="Estimated.")]
    trials: Count
    epochs: Epochs
    best: Leader | None
    slots: list[Slot]
    rungs: list[Rung]
    waiting: Annotated[list[str], Meta(description="Devices that are waited for, and why.")]
    notes: list[str]
    quarantined: Annotated[dict[str, str], Meta(description="Devices out of use in this session, and why.")]
    accounts: list[Account]
    failures: list[Lost]


class Ranked(Answer, frozen=True, kw_only=True):
    """A trial with a score."""

    trial: int
    score: float
    epoch: Annotated[int, Meta(description="Where the score was reached; epochs count from 1.")]
    budget: Annotated[int, Meta(description="Epochs it has been trained for.")]
    state: Literal["running", "waiting", "completed", "eliminated", "stopped"]
    values: dict[str, Any]
    checkpoint: Annotated[str, Meta(description="The folder of its best weights, if they are kept.")]


class BestTrials(Answer, frozen=True, kw_only=True):
    """`gpusched best --json`: by score, the best value of the objective at any epoch."""

    run: str
    objective: str
    direction: Literal["min", "max"]
    trials: list[Ranked]
    advice: Annotated[list[str], Meta(description="Values on which the best trials agree, in words.")]


class DeviceSlot(Answer, frozen=True, kw_only=True):
    """A place that a search would have here."""

    index: int
    label: str
    devices: list[str]
    cores: list[int]


class Devices(Inventory, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gpusched devices --json`"""

    slots: list[DeviceSlot]


class PlannedRung(Answer, frozen=True, kw_only=True):
    """So many trials, each trained from one epoch to another."""

    trials: int
    start_epoch: int
    stop_epoch: int


class PlannedBracket(Answer, frozen=True, kw_only=True):
    """A bracket, its rungs lowest first."""

    iteration: Annotated[int, Meta(description="Counts from 1.")]
    bracket: int
    first_trial: int
    rungs: list[PlannedRung]


class Plan(Answer, frozen=True, kw_only=True):
    """What is trained if nothing fails; `brackets` are those of one iteration where there is no end."""

    brackets: list[PlannedBracket]
    trials: int | None
    epochs: int | None


class PlanTold(Answer, frozen=True, kw_only=True):
    """`gpusched plan --json`; without --calibrate the last four are null."""

    algorithm: str
    seed: Annotated[int | None, Meta(description="null: one is drawn at the start.")]
    objective: str
    space: Annotated[list[str], Meta(description="The hyperparameters in words.")]
    plan: Plan
    slots: list[str]
    notes: list[str]
    calibration: Calibration | None
    seconds: float | None
    busy: Annotated[float | None, Meta(description="Share of slot-seconds in use, 0 to 1.")]
    disk_bytes: Annotated[int | None, Meta(description="Of checkpoints, at most.")]


class Checked(Answer, frozen=True, kw_only=True):
    """`gpusched verify --json`"""

    run: str
    sound: bool
    events: int
    decisions: int
    trials: int
    complaints: list[str]


class Listed(Answer, frozen=True, kw_only=True):
    """`gpusched list --json`: one of these a run, the one that something has happened in last first."""

    run: str
    state: Annotated[
        State | Literal["damaged"], Meta(description="As in status; damaged: it cannot be read, see problem.")
    ]
    problem: str | None
    began: Annotated[float | None, Meta(description="Seconds since 1970; null: nothing was started yet.")]
    changed: Annotated[float, Meta(description="When something happened in it last, in seconds since 1970.")]
    trials: Annotated[int | None, Meta(description="That were started.")]
    objective: str | None
    best: Annotated[float | None, Meta(description="The best score; null: no trial has completed.")]
    bytes: Annotated[int, Meta(description="Of all its files.")]


class LogLine(Answer, frozen=True, kw_only=True):
    """`gpusched logs --json`: one of these a line."""

    trial: int
    line: str


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """`gpusched export --format json`: a row for each trial, execution and epoch.

    Beside these stand the hyperparameters and the metrics by their names; runs on GPUs have their accounts too.
    """

    trial: int
    execution: int
    epoch: Annotated[int | None, Meta(description="null: the trial has none.")]
    state: Literal["running", "waiting", "completed", "eliminated", "stopped", "failed"]
    iteration: Annotated[int | None, Meta(description="Counts from 1.")]
    bracket: int | None
    seconds: float | None
    failure: str | None


#: By command.
ANSWERS: dict[str, Any] = {
    "status": Status,
    "best": BestTrials,
    "devices": Devices,
    "plan": PlanTold,
    "verify": Checked,
    "logs": LogLine,
    "export": list[Epoch],
    "list": list[Listed],
}


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what a command prints."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(ANSWERS[command])}
