"""Values drawn from a key, never from a running stream: the same trial gets the same values in any order.

Pure: a hash of (seed, trial id, the hyperparameter's full conditional name). It can be used inside a
trial's process, where there is no oracle, for a hyperparameter that nobody knew of before.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Protocol


class Drawable(Protocol):
    """What a hyperparameter must have to be drawn."""

    @property
    def full_name(self) -> str: ...

    def prob_to_value(self, prob: float, /) -> Any: ...


def uniform(seed: int, trial_id: int, name: str, attempt: int = 0) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = blake2b(f"{seed}/{trial_id}/{attempt}/{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def late_value(seed: int, trial_id: int, hyperparameter: Drawable) -> Any:
    """The value a trial gets for a hyperparameter that was not in the space when the search began.

    The trial id stands for (iteration, bracket, index), which it numbers.
    """
    return hyperparameter.prob_to_value(uniform(seed, trial_id, hyperparameter.full_name))
