"""What is written to disk and sent over sockets, as typed records.

Knows the shape of the JSON, and nothing of who writes it when. Numbers that JSON has no form for
(NaN, infinity) are written as null and read back as None.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gpusched.core.outcome import End, Failure


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process, told apart from a later one that was given the same pid, and the run directory it works in."""

    pid: int
    start_ticks: int  #: field 22 of /proc/PID/stat: clock ticks since boot
    boot_id: str
    host: str = ""  #: see storage.identity.host; empty: written by an earlier version
    device: int = 0  #: of the run directory, with its inode: a copy of it is another one
    inode: int = 0  #: 0: not known


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a trial's process needs to know to train one job."""

    run: str  #: absolute path of the run directory
    trial: int
    attempt: int  #: 1, 2, … over all jobs of this trial
    values: dict[str, Any]  #: the trial's hyperparameters by name
    start_epoch: int
    stop_epoch: int
    seed: int
    slot: int = 0
    env: dict[str, str] = {}
    cores: tuple[int, ...] = ()  #: empty: not pinned
    other_slots: dict[int, tuple[int, ...]] = {}  #: of this machine's CPU, by index: their cores
    memory_limit_bytes: int | None = None  #: GPU memory this trial may take where several share one
    gpu_bytes: int | None = None  #: memory of the smallest of its GPUs
    share: int = 1  #: trials at once on this GPU
    checkpoint_every: str = "rung"  #: "rung" or "epoch"
    space: dict[str, Any] = {}  #: HyperParameters.get_config()
    start: str = ""  #: the search's, see SearchRecord


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """outcome.json: how an attempt ended, in the trial's own words."""

    trial: int
    attempt: int
    end: End
    start_epoch: int  #: of the job, not of the attempt
    epochs: int  #: epochs reported when it ended, counted from the trial's beginning
    scores: dict[str, list[float | None]] = {}  #: by objective: after each epoch start_epoch+1 … epochs
    stopped_early: bool = False
    failure: Failure | None = None
    retry: bool = True  #: false: the trial said itself that trying again is useless
    late: list[dict[str, Any]] = []  #: hyperparameters first met in this attempt: class_name and config
    values: dict[str, Any] = {}  #: the trial's values, late ones included
    warnings: list[str] = []
    identity: Identity | None = None
    start: str = ""  #: of the job
    lines: int | None = None  #: that metrics.jsonl has now; None where nobody has counted them


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """trial.json: what this trial is."""

    trial: int
    values: dict[str, Any]
    iteration: int | None = None  #: counted from 1
    bracket: int | None = None
    index: int | None = None


class Older(msgspec.Struct, frozen=True, kw_only=True):
    """A trial of an older search that a new one starts from."""

    trial: int
    values: dict[str, Any]
    scores: list[float | None]  #: the objective after each epoch


class Narrowed(msgspec.Struct, frozen=True, kw_only=True):
    """Which search this one narrows, and how."""

    run: str  #: its name
    fixed: dict[str, Any]  #: what was settled there, by name
    older: list[Older] = []  #: its trials that have these values, best first


class Imported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Results that came from elsewhere before the search began."""

    project: str  #: the folder of a Keras Tuner project
    trials: int = 0  #: so many stand at the journal's beginning; their values were not drawn here
    older: list[Older] = []  #: those that the algorithm learned from instead


class Learned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which older run this search has learned from."""

    run: str  #: its directory
    older: list[Older]  #: its trials, with values as this search's space has them
    first: int = 1  #: so many of the best are tried first
    done: list[dict[str, Any]] = []  #: configurations that need not be trained again


class SearchRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """search.json: what was asked. Written once at the start; a resumed search is held against it."""

    format: int = 1
    algorithm: str  #: a key of gpusched.oracles.ORACLES
    arguments: dict[str, Any]  #: of the oracle: max_epochs, factor, iterations, max_trials, sampler, …
    objectives: list[dict[str, str]]  #: name and direction of each
    seed: int
    space: dict[str, Any]  #: HyperParameters.get_config()
    policy: dict[str, Any] = {}  #: retries and the like, see core.search.Policy
    executions: int = 1  #: trainings of each trial, whose mean is its score
    script: str | None = None
    script_digest: str | None = None
    words: list[str] = []  #: that stood behind the script in `gpusched run`: what continues the search needs them too
    backend: str | None = None
    versions: dict[str, str] = {}
    created: float = 0.0  #: seconds since the epoch (wall clock)
    start: str = ""  #: drawn when it began: what another search left in this directory is none of its own
    narrowed: Narrowed | None = None
    imported: Imported | None = None
    learned: Learned | None = None
