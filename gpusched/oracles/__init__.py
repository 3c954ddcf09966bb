"""The algorithms alone, without processes or files: ask for a job, tell how it went.

>>> oracle = Hyperband(hp, Objective("val_loss", "min"), max_epochs=27, factor=3, seed=0)
>>> job = oracle.ask()
>>> oracle.tell(job, [0.9])
"""

from gpusched.oracles.asha import ASHA
from gpusched.oracles.base import Oracle, Scores
from gpusched.oracles.custom import Custom
from gpusched.oracles.full_training import BayesianOptimization, GridSearch, RandomSearch
from gpusched.oracles.hyperband import Hyperband
from gpusched.oracles.types import Answer, Done, Job, Place, Plan, RungState, Wait

#: By the name that the command line knows them by.
ORACLES: dict[str, type[Oracle]] = {
    "hyperband": Hyperband,
    "asha": ASHA,
    "random": RandomSearch,
    "grid": GridSearch,
    "bayesian": BayesianOptimization,
}

#: The name of what is none of these: an oracle of the user's own.
CUSTOM = "custom"
KINDS: dict[str, type[Oracle]] = {**ORACLES, CUSTOM: Custom}

__all__ = [
    "ASHA",
    "CUSTOM",
    "KINDS",
    "ORACLES",
    "Answer",
    "BayesianOptimization",
    "Custom",
    "Done",
    "GridSearch",
    "Hyperband",
    "Job",
    "Oracle",
    "Place",
    "Plan",
    "RandomSearch",
    "RungState",
    "Scores",
    "Wait",
]
