"""The full state of a Keras training, as files that are only data.

Weights with the optimizer's variables (Keras's format), the seeds of layers, the random generators
of Python, NumPy and Keras, and what callbacks have counted. Knows how each is taken and put back.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from gpusched.errors import GpuschedError
from gpusched.trial.checkpoint import States

_SKIPPED = frozenset(("model", "_model", "params", "_params", "validation_data"))


def save(
    model: Any, states: States, epoch: int, execution: int, callbacks: Sequence[Any], meta: dict[str, Any]
) -> None:
    """Puts the training's present state in the place of its last one. `callbacks` are Tracked."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for i, variable in enumerate(_seeds(model)):
        arrays[f"seed/{i}"] = _numpy(variable)
    kept = [tracked.take(arrays, f"callback/{i}") for i, tracked in enumerate(callbacks)]
    states.put(
        epoch,
        {".weights.h5": lambda path: save_weights(model, path), ".npz": lambda path: _savez(path, arrays)},
        {
            **meta,
            "iterations": _iterations(model),
            **shape_of(model),
            "callbacks": kept,
            "random": _take_random(arrays),
        },
        execution,
    )


def save_weights(model: Any, path: Path) -> None:
    """Weights and optimizer as Keras writes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of layers that hold nothing.
        model.save_weights(path)


def _savez(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(model: Any, states: States, execution: int) -> list[str]:
    """Puts weights, optimizer and seeds back into a model that is built, or can be; returns warnings.

    Raises GpuschedError where the optimizer's steps do not come back: Keras skips an optimizer that it finds unbuilt,
    and training would go on with its moments lost.
    """
    meta = states.meta(execution)
    weights = states.file(".weights.h5", execution)
    assert meta is not None
    assert weights is not None
    said = load_weights(model, weights)
    steps = _iterations(model)
    if steps != meta["iterations"]:
        raise GpuschedError(
            f"{weights}: the optimizer's step count is {steps} after loading, but was {meta['iterations']} when saved; "
            "build_model must return the same model and optimizer for the same hyperparameters"
        )
    arrays = _arrays(states, execution)
    seeds = _seeds(model)
    saved = [arrays[f"seed/{i}"] for i in range(sum(name.startswith("seed/") for name in arrays))]
    if [tuple(variable.shape) for variable in seeds] != [value.shape for value in saved]:
        said.append("the random states of the model's layers could not be restored: the model has others now")
    else:
        for variable, value in zip(seeds, saved, strict=True):
            variable.assign(value)
    return said


def load_weights(model: Any, path: Path) -> list[str]:
    """Loads weights and optimizer; returns what Keras warned of."""
    build_optimizer(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.load_weights(path)
    return [" ".join(str(each.message).split()) for each in caught if "Skipping" in str(each.message)]


def build_optimizer(model: Any) -> None:
    """Gives the optimizer of a built model its variables.

    Keras would do that while TensorFlow traces the first step, which then has to be traced a second time.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or getattr(optimizer, "built", True):
        return
    # TensorFlow's strategies: variables are made in their scope. Other models have none.
    strategy = getattr(model, "distribute_strategy", None)
    with nullcontext() if strategy is None else strategy.scope():
        optimizer.build(model.trainable_variables)


def build_if_possible(model: Any, meta: Mapping[str, Any]) -> bool:
    """Builds a model from what a built one said of its inputs; whether it has all its weights now."""
    if model.built:
        return True
    if meta.get("build"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Where it fails, fit will build the model from the data.
                model.build_from_config(dict(meta["build"]))
        except Exception:
            return False
    if not model.built and len(model.weights) == meta.get("weights", -1):
        model.built = True  # A model of the user's class says so only when it has been called.
    return bool(model.built)


def shape_of(model: Any) -> dict[str, Any]:
    """What build_if_possible wants to know of a built model, as JSON."""
    try:
        config = model.get_build_config()
    except Exception:
        config = None
    return {"build": _plain(config) if isinstance(config, dict) else None, "weights": len(model.weights)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _iterations(model: Any) -> int | None:
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(_numpy(optimizer.iterations))


def _numpy(variable: Any) -> np.ndarray[Any, Any]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable))


def _seeds(model: Any) -> list[Any]:
    """The model's variables that no weights file holds: the seeds of dropout and its like."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _arrays(states: States, execution: int) -> dict[str, np.ndarray[Any, Any]]:
    file = states.file(".npz", execution)
    assert file is not None
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# ---------------------------------------------------------------------------- random generators


def _take_random(arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    arrays["random/python"] = np.asarray(words, dtype=np.uint64)
    arrays["random/numpy"] = np.asarray(keys)
    keras_seed = _global_seed()
    if keras_seed is not None:
        arrays["random/keras"] = _numpy(keras_seed.state)
    return {
        "python": [version, gauss],
        "numpy": [str(name), int(position), int(has_gauss), float(cached)],
    }


def restore_random(states: States, execution: int) -> None:
    """Python's, NumPy's and Keras's generators go on where they were."""
    meta = states.meta(execution)
    assert meta is not None
    arrays = _arrays(states, execution)
    version, gauss = meta["random"]["python"]
    random.setstate((version, tuple(int(word) for word in arrays["random/python"]), gauss))
    name, position, has_gauss, cached = meta["random"]["numpy"]
    np.random.set_state((name, arrays["random/numpy"], position, has_gauss, cached))
    keras_seed = _global_seed()
    if keras_seed is not None and "random/keras" in arrays:
        keras_seed.state.assign(arrays["random/keras"])


def _global_seed() -> Any:
    try:
        # Keras gives no public way to the generator behind unseeded random operations.
        from keras.src.random.seed_generator import global_seed_generator
    except ImportError:
        return None
    return global_seed_generator()


# ---------------------------------------------------------------------------- callbacks


class Tracked:
    """A callback, and what changed in it since its training began: EarlyStopping's patience, say.

    Only numbers, None, and arrays are followed. `on_train_begin` resets a callback, so its state is what differs from
    how it looked right after that.
    """

    def __init__(self, callback: Any) -> None:
        self.callback = callback
        self.baseline = self._look()

    def rebase(self) -> None:
        """To be called right after the callback's on_train_begin."""
        self.baseline = self._look()

    def _look(self) -> dict[str, Any]:
        attributes = getattr(self.callback, "__dict__", {})
        return {name: _copied(value) for name, value in attributes.items() if name not in _SKIPPED and _followed(value)}

    def take(self, arrays: dict[str, np.ndarray[Any, Any]], prefix: str) -> dict[str, Any]:
        """The state: numbers into the returned dict, arrays beside."""
        values: dict[str, Any] = {}
        for name, value in self._look().items():
            if name in self.baseline and _same(self.baseline[name], value):
                continue
            if isinstance(value, list):
                values[name] = {"list": len(value)}
                arrays.update({f"{prefix}/{name}/{i}": each for i, each in enumerate(value)})
            elif isinstance(value, np.ndarray):
                values[name] = {"array": True}
                arrays[f"{prefix}/{name}"] = value
            elif isinstance(value, float) and not math.isfinite(value):
                values[name] = {"float": str(value)}
            else:
                values[name] = value
        return {"class": type(self.callback).__name__, "values": values}

    def restore(self, kept: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]], prefix: str) -> None:
        for name, value in kept["values"].items():
            if isinstance(value, Mapping):
                if "list" in value:
                    value = [arrays[f"{prefix}/{name}/{i}"] for i in range(value["list"])]
                elif "array" in value:
                    value = arrays[f"{prefix}/{name}"]
                else:
                    value = float(value["float"])
            setattr(self.callback, name, value)
        self._keep_when_direction_is_found(kept["values"])

    def _keep_when_direction_is_found(self, names: Iterable[str]) -> None:
        """Keras's monitors look for their metric's direction at the end of an epoch, once, and start over with that:
        `min_delta` turns its sign, and `best` is forgotten before Keras 3.7."""
        find = getattr(self.callback, "_set_monitor_op", None)
        if find is None or getattr(self.callback, "monitor_op", None) is not None:
            return

        def find_and_keep() -> None:
            restored = {name: getattr(self.callback, name) for name in names}
            find()
            for name, value in restored.items():
                setattr(self.callback, name, value)
            del self.callback._set_monitor_op

        self.callback._set_monitor_op = find_and_keep


def restore_callbacks(callbacks: Sequence[Tracked], states: States, execution: int) -> list[str]:
    """Callbacks go on counting where they were; returns warnings."""
    meta = states.meta(execution)
    assert meta is not None
    kept = meta["callbacks"]
    names = [type(tracked.callback).__name__ for tracked in callbacks]
    if [each["class"] for each in kept] != names:
        return [f"the callbacks begin anew: they are {', '.join(names) or 'none'} now, and were others when saved"]
    arrays = _arrays(states, execution)
    for i, (tracked, state) in enumerate(zip(callbacks, kept, strict=True)):
        tracked.restore(state, arrays, f"callback/{i}")
    return []


def _followed(value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float | np.number | np.ndarray):
        return not (isinstance(value, np.ndarray) and value.dtype == object)
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, np.ndarray) and each.dtype != object for each in value)
    )


def _copied(value: Any) -> Any:
    if isinstance(value, np.number):
        return value.item()
    if isinstance(value, list):
        return [each.copy() for each in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b or (a != a and b != b))
