"""Scripts whose data only their own process can have: TensorFlow is awake in it, and nothing of it can be pickled."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.keras, pytest.mark.slow]

BUILD = """
def build(hp):
    model = keras.Sequential([
        keras.layers.Input((8,)), keras.layers.Dense(hp.Int("units", 4, 16, step=4)), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model

def tuner(name):
    return keras_tuner.RandomSearch(
        build, objective="val_accuracy", max_trials=2, directory="runs", project_name=name, overwrite=True)
"""


def test_a_dataset_at_the_top_of_a_script(python: Callable[..., Any]) -> None:
    """tf.data given to search() starts TensorFlow in the caller; what stands behind search() happens once."""
    result = python(
        BUILD
        + """
import tensorflow as tf
train = tf.data.Dataset.from_tensor_slices((x_train, y_train)).batch(32)
one = tuner("one")
one.search_space_summary()
one.search(train, validation_data=train, epochs=2)
model = one.get_best_models()[0]
two = tuner("two")
two.search(train.map(lambda x, y: (x + 0.0, y)), validation_data=train, epochs=2)
with open("behind", "a") as file:
    file.write("2")
print(json.dumps([len(one.get_best_trials(5)), len(two.get_best_trials(5)), open("behind").read()]))
"""
    )
    assert result == [2, 2, "2"]


def test_a_generator_within_a_function(python: Callable[..., Any]) -> None:
    """Nothing has started: a fork of the caller has the generator, wherever search() stands."""
    result = python(
        BUILD
        + """
def batches():
    while True:
        yield x_train[:32], y_train[:32]

def main(found):
    for name in ("one", "two"):
        this = tuner(name)
        this.search(batches(), steps_per_epoch=2, validation_data=(x_val, y_val), epochs=1)
        found.append(len(this.get_best_trials(5)))
    return found

if __name__ == "__main__":
    print(json.dumps(main([])))
"""
    )
    assert result == [2, 2]


def test_what_stands_between_two_searches_happens_once(python: Callable[..., Any]) -> None:
    """A later search of plain arrays does not execute it again, and has Keras's settings as they are by then."""
    result = python(
        BUILD
        + """
one = tuner("one")
one.search(x_train, y_train, validation_data=(x_val, y_val), epochs=1)
one.get_best_models()[0].predict(x_val, verbose=0)
with open("between", "a") as file:
    file.write("b")
keras.config.set_dtype_policy("mixed_bfloat16")
keras.config.set_epsilon(1e-5)

def seen(hp):
    hp.Fixed("seen", f"{keras.config.dtype_policy().name} {keras.config.epsilon():g}")
    return build(hp)

two = keras_tuner.RandomSearch(seen, objective="val_accuracy", max_trials=2, directory="runs", project_name="two")
two.search(x_train, y_train, validation_data=(x_val, y_val), epochs=1)
print(json.dumps([open("between").read(), two.get_best_hyperparameters()[0].get("seen")]))
"""
    )
    assert result == ["b", "mixed_bfloat16 1e-05"]


def test_layers_that_learnt_from_data(python: Callable[..., Any]) -> None:
    """An adapted layer and a seed set at the top of the script reach the trials through build's closure."""
    result = python(
        """
keras.utils.set_random_seed(1)
normalize = keras.layers.Normalization()
normalize.adapt(x_train)

def build(hp):
    model = keras.Sequential([
        keras.layers.Input((8,)), normalize, keras.layers.Dense(hp.Int("units", 4, 8, step=4)),
        keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model

tuner = keras_tuner.GridSearch(build, objective="val_loss", directory="runs", project_name="layers")
tuner.search(x_train, y_train, validation_data=(x_val, y_val), epochs=1)
print(json.dumps(sorted(trial.hyperparameters.get("units") for trial in tuner.get_best_trials(5))))
"""
    )
    assert result == [4, 8]


def test_data_that_start_a_framework_are_read_once(python: Callable[..., Any]) -> None:
    """What load_data does before its tf.data is done once for all trials, and only the rest again by each."""
    result = python(
        BUILD
        + """
def load_data():
    with open("read", "a") as file:
        file.write("r")
    x, y = x_train + 0.0, y_train
    import tensorflow as tf
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    with open("made", "a") as file:
        file.write("m")
    return dict(x=data, validation_data=data, epochs=1)

one = tuner("one")
one.search(load_data)
print(json.dumps([len(one.get_best_trials(5)), open("read").read(), len(open("made").read()) > 2]))
"""
    )
    assert result == [2, "r", True]


def test_results_of_an_overwritten_search_while_the_script_is_executed_again(loop: Callable[..., Any]) -> None:
    """A thread in the caller: the second search's launcher executes what stands behind the first, which has ended."""
    assert loop("""
        import threading, time

        def train(hp, trial):
            trial.report(loss=hp.Float("x", 0, 1))

        def tuner(name):
            return gs.RandomSearch(train=train, objective="loss", max_trials=1, seed=1, overwrite=True, cpu_slots=1,
                                   project_name=name)

        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        first, second = tuner("first"), tuner("second")
        first.search()
        score = first.get_best_trials()[0].score
        second.search(number for number in range(2))
        print(json.dumps(score == second.get_best_trials()[0].score))
    """)


def test_a_framework_that_was_awake_before(tmp_path: Path) -> None:
    """No copy can be made any more: what search() is given is pickled, and one more process imports Keras, once."""
    script = tmp_path / "late it.py"
    script.write_text(
        """
import keras
import numpy as np
keras.ops.convert_to_numpy(keras.ops.ones((2,)))
import gpusched as kt

x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
y = (x.sum(axis=1) > 0).astype("int32")

def build(hp):
    layers = [keras.layers.Input((8,)), keras.layers.Dense(hp.Int("units", 1, 2)), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    return model

for name in ("one", "two"):
    optimizer = keras.optimizers.Adam(0.01)  # Its variables start the runtime where it is unpickled.
    tuner = kt.GridSearch(build, objective="val_loss", directory="runs", project_name=name, optimizer=optimizer)
    tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    print(name, len(tuner.get_best_trials(5)))
"""
    )
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "LATE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-2:] == ["one 2", "two 2"]
    until = time.monotonic() + 60
    while left := processes_with(f"LATE={tmp_path}".encode()):
        assert time.monotonic() < until, left
        time.sleep(0.05)


def processes_with(variable: bytes) -> list[Path]:
    return [each for each in Path("/proc").iterdir() if each.name.isdigit() and variable in environment(each)]


def environment(process: Path) -> list[bytes]:
    with contextlib.suppress(OSError):
        return (process / "environ").read_bytes().split(b"\0")
    return []
