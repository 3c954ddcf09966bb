"""The tuners: what Keras Tuner's users know, over a search that has processes of its own."""

from gpusched.tuners.algorithms import ASHA, BayesianOptimization, GridSearch, Hyperband, RandomSearch
from gpusched.tuners.base import BaseTuner
from gpusched.tuners.tuner import MultiExecutionTuner, Tuner

__all__ = [
    "ASHA",
    "BaseTuner",
    "BayesianOptimization",
    "GridSearch",
    "Hyperband",
    "MultiExecutionTuner",
    "RandomSearch",
    "Tuner",
]
