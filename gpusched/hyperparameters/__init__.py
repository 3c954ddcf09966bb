"""Hyperparameters: their types, the space they make, and how it is found. Pure; knows no algorithm."""

from gpusched.hyperparameters.conditions import Parent, Value
from gpusched.hyperparameters.discrete import Boolean, Choice, Fixed
from gpusched.hyperparameters.explore import explore
from gpusched.hyperparameters.numeric import Float, Int
from gpusched.hyperparameters.parameter import HyperParameter
from gpusched.hyperparameters.space import HyperParameters, deserialize, serialize

__all__ = [
    "Boolean",
    "Choice",
    "Fixed",
    "Float",
    "HyperParameter",
    "HyperParameters",
    "Int",
    "Parent",
    "Value",
    "deserialize",
    "explore",
    "serialize",
]
