"""gpusched: tunes Keras models on every GPU of this machine."""

from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective

__all__ = ["HyperParameters", "Objective"]
