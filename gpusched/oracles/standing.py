"""Where an algorithm stands and what it is going to do, as views read it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gpusched.oracles.brackets import BracketPlan


class Place(NamedTuple):
    """Where a trial stands; ``bracket`` is its number s, ``rung`` the highest it has entered."""

    iteration: int
    bracket: int
    rung: int
    index: int  # type: ignore[assignment]  # the field's name for it; tuple.index is of no use here


class RungState(msgspec.Struct, frozen=True):
    """A rung of an opened bracket as it stands. ``trials`` are the ids that entered it."""

    iteration: int
    bracket: int
    rung: int
    start_epoch: int
    stop_epoch: int
    size: int
    promotes: int
    finished: int
    failed: int
    missing: int
    promoted: int
    trials: tuple[int, ...]

    @property
    def entered(self) -> int:
        return len(self.trials)


class Plan(msgspec.Struct, frozen=True):
    """What a search will do if nothing fails; the totals are None when it has no end.

    ``brackets`` are those of every iteration, or of the first one when there is no end.
    """

    brackets: tuple[BracketPlan, ...]
    trials: int | None
    epochs: int | None
