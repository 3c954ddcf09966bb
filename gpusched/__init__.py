"""gpusched: tunes Keras models on every GPU of this machine.

    import gpusched as gs

    tuner = gs.Hyperband(build_model, objective="val_accuracy", max_epochs=27)
    tuner.search(load_data)

Importing it loads neither Keras nor NVML.
"""

from gpusched.engines.simulated import simulate
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective

__all__ = ["HyperParameters", "Objective", "simulate"]
