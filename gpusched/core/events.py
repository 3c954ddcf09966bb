"""What happened: the inputs of the search's state machine, and the lines of its journal.

Past tense, frozen, small. Each carries `at`, the seconds the search has been running (over all
its sessions), stamped by the shell: the core has no clock.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gpusched.core.outcome import End, Failure, Usage


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of all events."""

    at: float


class SlotInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place for one trial at a time, as the core sees it."""

    index: int
    devices: tuple[str, ...]  #: GPU UUIDs, or ("cpu",)
    label: str = ""
    total_bytes: int | None = None  #: memory of its smallest GPU
    node: str = ""  #: the machine it is on, where there are several


class SessionOpened(Event, frozen=True, kw_only=True, tag="session_opened"):
    """A scheduler began to work on the search: its first, or one that carries on."""

    wall: float  #: seconds since 1970
    pid: int
    slots: list[SlotInfo]
    adopted: list[int] = []  #: trials whose processes, started by an earlier session, still live
    max_trials: int | None = None
    max_time: float | None = None  #: seconds of running time over all sessions
    version: str = ""
    rules: int = 0  #: of core.search.RULES; journals from before there were any have none
    waiting: list[str] = []  #: why devices that may still come are not among the slots, a line each
    notes: list[str] = []  #: why the slots are as they are, a line each
    added: list[dict[str, Any]] = []  #: configurations that a person wants tried


class SlotsChanged(Event, frozen=True, kw_only=True, tag="slots_changed"):
    """The devices or the cap of trials per device are others now."""

    slots: list[SlotInfo]
    waiting: list[str] = []  #: as in SessionOpened
    notes: list[str] = []


class DeviceFailed(Event, frozen=True, kw_only=True, tag="device_failed"):
    """A GPU is lost, or the driver reported a fault of its own."""

    device: str  #: its UUID
    reason: str


class TrialHung(Event, frozen=True, kw_only=True, tag="trial_hung"):
    """An attempt has shown no sign of life for too long."""

    trial: int
    attempt: int
    reason: str


class JobStarted(Event, frozen=True, kw_only=True, tag="job_started"):
    """A trial's process lives."""

    trial: int
    attempt: int
    pid: int  #: 0 where it means nothing on the scheduler's machine
    adopted: bool = False  #: it was started by an earlier session


class JobEnded(Event, frozen=True, kw_only=True, tag="job_ended"):
    """An attempt at a job is over, however it went."""

    trial: int
    attempt: int
    end: End
    epochs: int  #: epochs reported, counted from the trial's beginning
    scores: dict[str, list[float | None]] = {}  #: by objective, after each epoch the job trained
    stopped_early: bool = False
    failure: Failure | None = None
    retry: bool = True
    usage: Usage | None = None
    late: list[dict[str, Any]] = []  #: hyperparameters first met in this attempt
    values: dict[str, Any] = {}  #: the trial's values where late ones were added
    warnings: list[str] = []
    lines: int | None = None  #: that the trial's metrics.jsonl had then; None where nobody has counted them


class TimeExpired(Event, frozen=True, kw_only=True, tag="time_expired"):
    """The search has used its max_time."""


class MaxTimeChanged(Event, frozen=True, kw_only=True, tag="max_time_changed"):
    """The search may use another time than it was begun with."""

    max_time: float  #: seconds of running time over all sessions


class StopAsked(Event, frozen=True, kw_only=True, tag="stop_asked"):
    """A person wants the search to stop; it can be carried on."""

    now: bool = False  #: do not wait for the end of the running epochs
    reason: str = "interrupted"


class TrialStopAsked(Event, frozen=True, kw_only=True, tag="trial_stop_asked"):
    """A person wants no more of one trial."""

    trial: int
    keep: bool = False  #: the score it has then counts; else the trial counts as failed


class TrialRetryAsked(Event, frozen=True, kw_only=True, tag="trial_retry_asked"):
    """A person wants one trial tried again: a running one. In older journals also a failed one, see Search."""

    trial: int


class TrialsGivenBack(Event, frozen=True, kw_only=True, tag="trials_given_back"):
    """A person wants trials that failed to train again."""

    trials: list[int]


class ConfigurationAdded(Event, frozen=True, kw_only=True, tag="configuration_added"):
    """A person wants this configuration tried."""

    values: dict[str, Any]


class PauseAsked(Event, frozen=True, kw_only=True, tag="pause_asked"):
    """A person wants the devices free for a while."""

    now: bool = False


class ResumeAsked(Event, frozen=True, kw_only=True, tag="resume_asked"):
    """A person gives the devices back."""


class Advised(Event, frozen=True, kw_only=True, tag="advised"):
    """The user's own oracle has answered what comes next."""

    trial: int
    status: str  #: RUNNING: here are values; IDLE: wait for a trial's end; STOPPED: there will be no more
    values: dict[str, Any] = {}
    name: str = ""  #: how it calls the trial
    state: dict[str, Any] = {}  #: what it wants to be reminded of, where that has changed


class Heard(Event, frozen=True, kw_only=True, tag="heard"):
    """The user's own oracle has taken in a trial's end."""

    trial: int
    score: float | None = None  #: its own for the trial; None: that of the objective stands
    step: int | None = None  #: the epoch of that score
    state: dict[str, Any] = {}


class OracleFailed(Event, frozen=True, kw_only=True, tag="oracle_failed"):
    """The user's own oracle has raised an error: the search cannot go on."""

    message: str


class SessionClosed(Event, frozen=True, kw_only=True, tag="session_closed"):
    """A scheduler ended in good order."""

    reason: str
    code: int


AnyEvent = (
    SessionOpened
    | SlotsChanged
    | DeviceFailed
    | TrialHung
    | JobStarted
    | JobEnded
    | TimeExpired
    | MaxTimeChanged
    | StopAsked
    | TrialStopAsked
    | TrialRetryAsked
    | TrialsGivenBack
    | ConfigurationAdded
    | PauseAsked
    | ResumeAsked
    | Advised
    | Heard
    | OracleFailed
    | SessionClosed
)
