"""What a search is told to put up with, what phase it is in, and by which rules it decides."""

from __future__ import annotations

import enum

import msgspec

#: What a session decides by, noted in its first event, so that older journals are replayed as they were written.
#: 1: faults of devices and want of memory are not the trial's.
RULES = 1


class Phase(enum.StrEnum):
    CLOSED = "closed"  #: no scheduler works on it
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"  #: nothing new starts; running trials are on their way out


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about trials that fail."""

    max_retries: int = 0  #: of a trial that raised or crashed
    max_consecutive_failed: int = 3  #: neighbours in the order (iteration, bracket, index)
    max_kills: int = 5  #: times in a row a trial may be killed from outside without training one epoch more
