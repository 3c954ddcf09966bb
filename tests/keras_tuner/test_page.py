"""The page "From Keras Tuner" names every public name of Keras Tuner 1.4, and what it says is so."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from gpusched.hyperparameters import HyperParameters
from gpusched.objective import Objective
from gpusched.trials import Trial

PAGE = (Path(__file__).parents[2] / "docs" / "from-keras-tuner.md").read_text()

_HYPERPARAMETER = "default values random_sample prob_to_value value_to_prob get_config from_config"
_BASE_TUNER = """
    get_best_hyperparameters get_best_models get_state get_trial_dir load_model on_search_begin on_search_end
    on_trial_begin on_trial_end pre_create_trial project_dir reload remaining_trials results_summary run_trial save
    save_model search search_space_summary set_state
"""

#: The public surface of keras_tuner 1.4.8: what its modules export, and the public members of its classes.
SURFACE = {
    "": """BayesianOptimization GridSearch HyperModel HyperParameters Hyperband Objective Oracle RandomSearch
        SklearnTuner Tuner synchronized""",
    "applications": "HyperEfficientNet HyperImageAugment HyperResNet HyperXception",
    "engine.base_tuner": "BaseTuner",
    "engine.hypermodel": "HyperModel",
    "engine.hyperparameters": "Boolean Choice Fixed Float HyperParameter HyperParameters Int deserialize serialize",
    "engine.metrics_tracking": "infer_metric_direction",
    "engine.oracle": "Objective Oracle",
    "engine.trial": "Trial TrialStatus",
    "engine.tuner": "Tuner maybe_distribute",
    "errors": "FailedTrialError FatalError FatalRuntimeError FatalTypeError FatalValueError",
    "oracles": "BayesianOptimizationOracle GridSearchOracle HyperbandOracle RandomSearchOracle",
    "tuners": "BayesianOptimization GridSearch Hyperband RandomSearch SklearnTuner Tuner",
    "Tuner": f"{_BASE_TUNER} on_batch_begin on_batch_end on_epoch_begin on_epoch_end",
    "Oracle": """create_trial end_trial get_best_trials get_space get_state get_trial populate_space reload
        remaining_trials save score_trial set_state update_space update_trial verbose""",
    "HyperModel": "build declare_hyperparameters fit",
    "HyperParameters": """Boolean Choice Fixed Float Int conditional_scope copy ensure_active_values from_config
        from_proto get get_config is_active merge name_scope space to_proto values active_scopes inactive_scopes""",
    "Objective": "better_than get_value has_value",
    "engine.hyperparameters.HyperParameter": _HYPERPARAMETER,
    "engine.trial.Trial": """display_hyperparameters from_proto from_state get_state load reload save set_state summary
        to_proto trial_id hyperparameters score best_step status message metrics""",
    "engine.trial.TrialStatus": "COMPLETED FAILED IDLE INVALID RUNNING STOPPED from_proto to_proto",
}
PUBLIC = [f"{path}.{name}".lstrip(".") for path, names in SURFACE.items() for name in names.split()]


def rows() -> dict[str, str]:
    """What the page says of each name."""
    found = {}
    for names, verdict in re.findall(r"^\| (`kt\..*?) \| (same|differs|instead) \|", PAGE, re.M):
        found.update(dict.fromkeys(re.findall(r"`kt\.([\w.]+)`", names), verdict))
    return found


SAID = rows()
#: What has its attributes once it is made.
MADE: dict[str, Any] = {
    "HyperParameters": HyperParameters(),
    "Objective": Objective("loss", "min"),
    "engine.trial.Trial": Trial(HyperParameters()),
}


def resolve(name: str) -> Any:
    """The object that gpusched has under a dotted name. Raises AttributeError where it has none."""
    above, _, last = name.rpartition(".")
    there = MADE[above] if above in MADE else resolve(above) if above else importlib.import_module("gpusched")
    return getattr(there, last)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_on_the_page(name: str) -> None:
    """What Keras Tuner exports is same, differs, or has something in its place."""
    assert name in SAID


@pytest.mark.parametrize("name", [name for name, verdict in SAID.items() if verdict != "instead"])
def test_what_is_said_to_be_there_is_there(name: str) -> None:
    """It can be reached from gpusched as it is from keras_tuner."""
    resolve(name)


@pytest.mark.parametrize("name", [name for name, verdict in SAID.items() if verdict == "instead"])
def test_what_is_said_not_to_be_there_is_not_there(name: str) -> None:
    """The page is not older than the code."""
    with pytest.raises(AttributeError):
        resolve(name)
