"""What to do: the outputs of the search's state machine.

Imperative, frozen, small. The shell journals a command before it performs it, so that the journal
shows every decision beside the events it followed from.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of all commands."""


class Launch(Command, frozen=True, kw_only=True, tag="launch"):
    """Start an attempt at a job in a slot."""

    trial: int
    attempt: int
    slot: int
    start_epoch: int
    stop_epoch: int
    values: dict[str, Any]
    alone: bool = False  #: with no other trial on its devices, and no limit of memory


class Interrupt(Command, frozen=True, kw_only=True, tag="interrupt"):
    """Ask a running trial to stop: at the end of its epoch with a checkpoint, or at once."""

    trial: int
    attempt: int
    now: bool = False


class Release(Command, frozen=True, kw_only=True, tag="release"):
    """No decision can ask for these trials' checkpoints any more."""

    trials: list[int]


class Consult(Command, frozen=True, kw_only=True, tag="consult"):
    """Ask the user's own oracle for this trial's values."""

    trial: int
    patient: bool = False  #: nothing runs that it could wait for: ask until it has an answer


class Report(Command, frozen=True, kw_only=True, tag="report"):
    """Tell the user's own oracle that this trial has ended."""

    trial: int


class Finish(Command, frozen=True, kw_only=True, tag="finish"):
    """Nothing runs and nothing is left to do in this session."""

    reason: str
    code: int  #: exit code: 0 complete or budget used, 1 failed, 130 stopped


AnyCommand = Launch | Interrupt | Release | Consult | Report | Finish
