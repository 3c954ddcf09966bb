"""Strategies of tf.distribute that a caller made, as they travel to the trials, which make them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpusched.errors import UsageError

#: Names for what users of Keras Tuner pass as objects. An object would start the runtime where it is made.
NAMES = ("mirrored", "data_parallel")

#: Classes of TensorFlow's whose objects a trial can make again, over its own devices.
_MADE_AGAIN = ("MirroredStrategy", "OneDeviceStrategy", "CentralStorageStrategy", "CollectiveAllReduceStrategy")


@dataclass(frozen=True)
class Recipe:
    """How a trial makes a strategy that its caller made: the class, and what it was told apart from devices.

    The devices are the trial's: the caller's have other numbers there, or belong to other trials.
    """

    kind: type
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> Any:
        return self.kind(**self.settings)


def portable(strategy: Any) -> Any:
    """What travels to the trials in a strategy's place: the object itself belongs to a started runtime.

    Raises UsageError for one that only its own script can set up.
    """
    kind = type(strategy)
    if kind.__name__ == "DataParallel" and kind.__module__.startswith("keras"):
        return "data_parallel"
    extended = getattr(strategy, "extended", None)
    if extended is None or not hasattr(strategy, "scope"):
        return strategy
    names = [each.__name__.removesuffix("V1") for each in kind.__mro__]
    if "_DefaultDistributionStrategy" in names:  # What tf.distribute.get_strategy() returns where there is none.
        return None
    known = next((name for name in names if name in _MADE_AGAIN), None)
    if known is None:
        raise UsageError(
            f"distribution_strategy: a {kind.__name__} cannot be made in a trial; "
            'give "mirrored", or a function that makes the strategy there'
        )
    return Recipe(kind, _settings(known, extended))


def _settings(name: str, extended: Any) -> dict[str, Any]:
    """By the private names of tf.distribute's classes, as of TensorFlow 2.16 to 2.22; there are no public ones."""
    if name == "OneDeviceStrategy":
        return {"device": f"{'GPU' if 'GPU' in extended.worker_devices[0] else 'CPU'}:0"}
    if name == "MirroredStrategy":
        given = getattr(extended, "_cross_device_ops", None)
        return {} if given is getattr(extended, "_collective_ops", None) else {"cross_device_ops": given}
    if name == "CollectiveAllReduceStrategy":
        options = getattr(extended, "_communication_options", None)
        return {} if options is None else {"communication_options": options}
    return {}
