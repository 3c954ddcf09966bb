"""An oracle and the tuner that holds it: what the one says is what the other was asked for.

An oracle of a kind that gpusched has an algorithm for, with nothing overridden, becomes that algorithm. Any other is
asked itself, trial by trial.
"""

from __future__ import annotations

from typing import Any

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.hyperparameters.conditions import WrongType
from gpusched.objective import MultiObjective, create_objective
from gpusched.oracles import CUSTOM, ORACLES
from gpusched.trial.settings import Asked
from gpusched.tuners.oracle.base import Oracle
from gpusched.tuners.oracle.brackets import HyperbandOracle
from gpusched.tuners.oracle.full import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle

_KINDS: dict[str, type[Oracle]] = {
    "random": RandomSearchOracle,
    "grid": GridSearchOracle,
    "bayesian": BayesianOptimizationOracle,
    "hyperband": HyperbandOracle,
}
#: What all oracles have, by the name that a tuner has it under.
_COMMON = (
    *("objective", "max_trials", "tune_new_entries", "allow_new_entries"),
    *("max_retries_per_trial", "max_consecutive_failed_trials"),
)
_OWN: dict[str, tuple[str, ...]] = {
    "bayesian": ("num_initial_points", "alpha", "beta"),
    "hyperband": ("max_epochs", "factor", "hyperband_iterations"),
}
#: Where one of these is overridden, no algorithm of gpusched's can stand in.
_DECIDING = (
    *("populate_space", "_populate_space", "score_trial", "_score_trial", "create_trial", "update_trial", "end_trial"),
    *("update_space", "_random_values", "_new_trial", "_duplicate", "_compute_values_hash", "set_state", "get_state"),
)


def algorithm_of(oracle: Oracle) -> str:
    """The name of gpusched's algorithm that decides as this oracle does."""
    for name, kind in _KINDS.items():
        if isinstance(oracle, kind):
            same = all(getattr(type(oracle), each, None) is getattr(kind, each, None) for each in _DECIDING)
            return name if same else CUSTOM
    return CUSTOM


def asked_of(oracle: Any) -> tuple[str, dict[str, Any]]:
    """The algorithm and a tuner's arguments that say what this oracle says. Raises TypeError for what is none."""
    if not isinstance(oracle, Oracle):
        raise WrongType(f"oracle: {oracle!r} is a {type(oracle).__name__}; give an instance of gpusched.Oracle")
    algorithm = algorithm_of(oracle)
    asked = {name: getattr(oracle, name) for name in (*_COMMON, *_OWN.get(algorithm, ()))}
    if "hyperband_iterations" in asked:
        asked["iterations"] = asked.pop("hyperband_iterations")
    known = oracle.__dict__["hyperparameters"]
    return algorithm, {**asked, "seed": oracle._given_seed, "hyperparameters": known if known.space else None}


def taken(oracle: Any, asked: dict[str, Any]) -> tuple[str, dict[str, Any], Oracle | None]:
    """What a tuner was asked for: by the name of an algorithm, or by an oracle.

    Raises UsageError where oracle and argument say the same thing.
    """
    if isinstance(oracle, str) and oracle in ORACLES:
        return oracle, asked, None
    algorithm, said = asked_of(oracle)
    twice = [name for name in asked if name in said]
    if twice:
        raise UsageError(f"{twice[0]}: the oracle says it; give it to the oracle alone")
    return algorithm, {**said, **asked}, oracle


def oracle_of(asked: Asked) -> Oracle:
    """The oracle of a tuner that was made without one."""
    kind = _KINDS.get(asked.algorithm, RandomSearchOracle)
    values = {name: getattr(asked, name) for name in _COMMON if name != "objective"}
    for name in _OWN.get(asked.algorithm, ()):
        values[name] = getattr(asked, "iterations" if name == "hyperband_iterations" else name)
    if asked.algorithm == "hyperband":
        values.pop("max_trials")
        values["max_epochs"] = values["max_epochs"] or 100
    several = len(asked.objectives) > 1
    objective = MultiObjective(asked.objectives) if several else create_objective(asked.objective)
    given = asked.hyperparameters
    if given is None:
        given = HyperParameters()  # Said in full: an empty space is not one that was forgotten.
    return kind(objective, seed=asked.seed, hyperparameters=given, **values)
