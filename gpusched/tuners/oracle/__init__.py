"""Oracles as Keras Tuner's users know them."""

from gpusched.tuners.oracle.base import Oracle
from gpusched.tuners.oracle.brackets import HyperbandOracle
from gpusched.tuners.oracle.full import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle
from gpusched.tuners.oracle.locking import synchronized

__all__ = [
    "BayesianOptimizationOracle",
    "GridSearchOracle",
    "HyperbandOracle",
    "Oracle",
    "RandomSearchOracle",
    "synchronized",
]
