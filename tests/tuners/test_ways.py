"""Scripts whose data only their own process can have: TensorFlow is awake in it, and nothing of it can be pickled."""

from __future__ import annotations

from collections.abc import Callable
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
