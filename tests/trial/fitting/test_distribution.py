"""Strategies of tf.distribute, given as objects that belong to the caller's runtime."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gpusched.errors import UsageError
from gpusched.trial.fitting.strategies import portable


def test_only_strategies_are_replaced() -> None:
    """Names and functions travel as they are."""

    def make() -> None:
        pass

    assert (portable("mirrored"), portable(make), portable(None)) == ("mirrored", make, None)


def test_a_strategy_that_needs_more_than_a_machine_is_refused() -> None:
    """In one line, with what to give in its place."""
    strategy = type("TPUStrategyV2", (SimpleNamespace,), {})(extended=None, scope=None)
    strategy.extended = SimpleNamespace()
    with pytest.raises(UsageError, match='a TPUStrategyV2 cannot be made in a trial; give "mirrored", or a function'):
        portable(strategy)


@pytest.mark.keras
def test_a_strategy_is_made_again_where_the_trial_trains(scenario: Callable[..., Any]) -> None:
    """It keeps its class and its settings, on the trial's devices; without any there is none."""
    result = scenario("""
        import cloudpickle
        import tensorflow as tf
        from gpusched.trial.fitting.strategies import portable

        def carried(strategy):
            tuner = gs.Hyperband(build, "val_loss", distribution_strategy=strategy)
            assert tuner.asked.distribution_strategy is strategy
            return cloudpickle.loads(cloudpickle.dumps(tuner))

        reduction = tf.distribute.ReductionToOneDevice("cpu:0")
        own = carried(tf.distribute.MirroredStrategy(cross_device_ops=reduction)).asked.distribution_strategy()
        tuner = carried(tf.distribute.MirroredStrategy())
        made = tuner.asked.distribution_strategy()
        one = carried(tf.distribute.OneDeviceStrategy("/cpu:0")).asked.distribution_strategy()
        result = [
            type(made).__name__, made.num_replicas_in_sync,
            own.extended._cross_device_ops.reduce_to_device, one.extended.worker_devices[0][-5:],
            carried(tf.distribute.get_strategy()).asked.distribution_strategy,
            job(0, 1, tuner)["end"],
        ]
    """)
    assert result == ["MirroredStrategy", 1, "cpu:0", "CPU:0", None, "completed"]
