"""TensorBoard callbacks, moved into a folder for each trial, with the HParams plugin's data beside."""

from __future__ import annotations

import os
from typing import Any

from gpusched.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameters, Int
from gpusched.trials import name_of


def move(callbacks: list[Any], trial: int, execution: int, hp: HyperParameters) -> list[Any]:
    """Gives each TensorBoard callback a folder of its own; returns callbacks to add."""
    added = []
    for callback in callbacks:
        if type(callback).__name__ == "TensorBoard":
            callback.log_dir = os.path.join(str(callback.log_dir), name_of(trial), f"execution{execution}")
            plugin = _plugin(callback.log_dir, trial, hp)
            if plugin is not None:
                added.append(plugin)
    return added


def _plugin(folder: str, trial: int, hp: HyperParameters) -> Any:
    import keras

    if keras.config.backend() != "tensorflow":
        return None  # The plugin's writer would import TensorFlow.
    try:
        from tensorboard.plugins.hparams import api
    except ImportError:
        return None
    values = {
        api.HParam(each.name, _domain(api, each)): hp.values[each.name] for each in hp.space if hp.is_active(each)
    }
    return api.KerasCallback(writer=folder, hparams=values, trial_id=name_of(trial))


def _domain(api: Any, each: Any) -> Any:
    match each:
        case Boolean():
            return api.Discrete([True, False])
        case Choice() | Fixed():
            return api.Discrete(list(each.values))
        case Int() if each.step is None:
            return api.IntInterval(each.min_value, each.max_value)
        case Float() if each.step is None:
            return api.RealInterval(each.min_value, each.max_value)
        case _:
            return api.Discrete(list(each.values))
