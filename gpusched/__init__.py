"""gpusched: tunes Keras models on every GPU of this machine.

    import gpusched as gs

    tuner = gs.Hyperband(build_model, objective="val_accuracy", max_epochs=27)
    tuner.search(load_data)

`import gpusched as kt` stands in for Keras Tuner's: all its public names and module paths are there. Importing it loads
neither Keras nor NVML.
"""

from typing import TYPE_CHECKING, Any

from gpusched.system.early import Importing

with Importing():
    from gpusched import errors
    from gpusched.engines.simulated import simulate
    from gpusched.hypermodel import HyperModel
    from gpusched.hyperparameters import HyperParameters
    from gpusched.keras_tuner import paths
    from gpusched.launcher.standby import at_import
    from gpusched.objective import Objective
    from gpusched.system.growth import ask_for_growth
    from gpusched.tuners import ASHA, BayesianOptimization, GridSearch, Hyperband, RandomSearch, Tuner

if TYPE_CHECKING:  # Loaded when they are asked for.
    from gpusched import applications, oracles, tuners
    from gpusched.hyperparameters import HyperParameter
    from gpusched.tuners.oracle import Oracle, synchronized
    from gpusched.tuners.sklearn import SklearnTuner

__all__ = [
    "ASHA",
    "BayesianOptimization",
    "GridSearch",
    "HyperModel",
    "HyperParameter",
    "HyperParameters",
    "Hyperband",
    "Objective",
    "Oracle",
    "RandomSearch",
    "SklearnTuner",
    "Tuner",
    "applications",
    "errors",
    "oracles",
    "simulate",
    "synchronized",
    "tuners",
]

paths.install()
at_import.keep_ready()  # Now: a script may start a framework's runtime as soon as it has imported this.
ask_for_growth()


if not TYPE_CHECKING:  # To a type checker every name would be there.

    def __getattr__(name: str) -> Any:
        return paths.lookup("", name)
