"""One training on several GPUs: TensorFlow's strategies, or Keras's own data parallelism."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gpusched.errors import FatalError
from gpusched.storage.records import JobSpec
from gpusched.trial.fitting.strategies import NAMES
from gpusched.trial.settings import Asked


def scope(asked: Asked, spec: JobSpec) -> AbstractContextManager[Any]:
    """The scope in which the model is built. A name or a function stands for the strategy itself."""
    import keras

    strategy = asked.distribution_strategy
    if callable(strategy) and not hasattr(strategy, "scope"):
        strategy = strategy()
    if strategy is None or strategy in NAMES:
        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            strategy = tf.distribute.MirroredStrategy()
        else:
            keras.distribution.set_distribution(keras.distribution.DataParallel())
            return nullcontext()
    if not hasattr(strategy, "scope"):
        raise FatalError(
            f"distribution_strategy: {strategy!r} is unknown; choose one of {', '.join(NAMES)}, "
            "a tf.distribute.Strategy, or a function that returns one"
        )
    made: AbstractContextManager[Any] = strategy.scope()
    return made


def maybe_distribute(strategy: Any) -> AbstractContextManager[Any]:
    """The scope of a tf.distribute.Strategy; for None, one that does nothing."""
    made: AbstractContextManager[Any] = nullcontext() if strategy is None else strategy.scope()
    return made
