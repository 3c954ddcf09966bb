"""The state of Keras trainings: carried through promotions, stops and crashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.keras

Scenario = Callable[..., Any]


def test_a_promotion_is_the_same_with_and_without_an_interruption(scenario: Scenario) -> None:
    """A job killed in its middle and begun again from the rung's end has equal weights and metrics, bit by bit."""
    result = scenario("""
        import shutil
        job(0, 2)
        shutil.copytree("run", "other")
        job(2, 4)
        class Crash(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                raise RuntimeError("by chance")
        crashed = job(2, 4, run="other", fit={"callbacks": [Crash()]})
        again = job(2, 4, run="other")
        result = [crashed["end"], again["end"], lines() == lines("other"), weights() == weights("other")]
        result += [len(lines()), state()["iterations"]]
    """)
    assert result == ["failed", "completed", True, True, 4, 12]


def test_the_optimizer_goes_on_where_it_was(scenario: Scenario) -> None:
    """A promoted training takes the very step that an uninterrupted one takes: moments and step count come back."""
    result = scenario("""
        def build(hp):
            model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.Adam(0.05), "mse")
            return model
        fit = {"shuffle": False}
        job(0, 3, build=build, fit=fit)
        job(3, 6, build=build, fit=fit)
        job(0, 6, build=build, fit=fit, run="whole")
        result = [weights() == weights("whole"), lines() == lines("whole"), state()["iterations"]]
    """)
    assert result == [True, True, 18]


def test_an_optimizer_that_does_not_come_back_is_an_error(scenario: Scenario) -> None:
    """Another optimizer than the one saved is refused, rather than silently begun anew."""
    result = scenario("""
        job(0, 1)
        def other(hp):
            model = build(hp)
            model.compile(keras.optimizers.SGD(0.01), "binary_crossentropy", metrics=["accuracy"])
            return model
        outcome = job(1, 2, build=other)
        said = outcome["failure"]["message"]
        result = [outcome["end"], "step count is 0 after loading, but was 3 when saved" in said]
    """)
    assert result == ["failed", True]


def test_early_stopping_keeps_its_patience_through_a_promotion(scenario: Scenario) -> None:
    """Epochs without progress before the promotion count after it, and best weights are those of the whole training."""
    result = scenario("""
        class Fixed(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                logs["val_loss"] = [3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0][epoch]
        def fit():
            stop = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
            return {"callbacks": [Fixed(), stop]}
        first = job(0, 3, fit=fit())
        second = job(3, 8, fit=fit())
        result = [first["stopped_early"] if "stopped_early" in first else False, second["stopped_early"]]
        result += [second["epochs"], second["scores"]["val_loss"], state()["done"]]
        third = job(3, 8, fit=fit())
        result += [third["scores"] == second["scores"], len(lines())]
    """)
    assert result == [False, True, 5, [2.0, 2.0], True, True, 5]


def test_early_stopping_keeps_its_least_improvement_through_a_promotion(scenario: Scenario) -> None:
    """An improvement too small to count before a promotion does not count after it either."""
    result = scenario("""
        class Fixed(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                logs["val_loss"] = [2.0, 1.99, 1.98, 1.97, 1.96, 1.95][epoch]
        def fit():
            return {"callbacks": [Fixed(), keras.callbacks.EarlyStopping("val_loss", min_delta=0.5, patience=3)]}
        result = [job(0, 2, fit=fit())["epochs"], job(2, 6, fit=fit())["epochs"]]
    """)
    assert result == [2, 4]


def test_asked_to_stop_it_stops_at_the_end_of_the_epoch(scenario: Scenario) -> None:
    """SIGTERM in the middle of an epoch: the epoch is trained to its end and kept; training goes on behind it."""
    result = scenario("""
        class Ask(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                if batch == 1 and self.model.optimizer.iterations == 4:
                    os.kill(os.getpid(), signal.SIGTERM)
        first = job(0, 4, fit={"callbacks": [Ask()]})
        second = job(0, 4, fit={"callbacks": [Ask()]})
        result = [first["end"], first["epochs"], second["end"], len(second["scores"]["val_loss"]), len(lines())]
        result += [state()["iterations"]]
    """)
    assert result == ["interrupted", 2, "completed", 4, 4, 12]


def test_a_checkpoint_every_epoch_where_it_is_asked_for(scenario: Scenario) -> None:
    """A training that crashes goes on from its newest epoch, and from the rung's end by default."""
    result = scenario("""
        class Crash(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise RuntimeError("by chance")
        result = []
        for every in ("rung", "epoch"):
            job(0, 4, run=every, checkpoint_every=every, fit={"callbacks": [Crash()]})
            result.append((state(every) or {}).get("iterations"))
    """)
    assert result == [None, 6]


def test_executions_have_states_of_their_own(scenario: Scenario) -> None:
    """Each execution begins from other weights and is promoted from its own; the best of all is kept in best/."""
    result = scenario("""
        asked = {"executions_per_trial": 2}
        first, second = job(0, 2, asked=asked), job(2, 3, asked=asked)
        table = [[line["val_loss"] for line in lines() if line["execution"] == k] for k in (0, 1)]
        means = [sum(min(row[:epoch]) for row in table) / 2 for epoch in (1, 2, 3)]
        result = [first["scores"]["val_loss"] + second["scores"]["val_loss"] == means, len(set(map(tuple, table)))]
        result += [weights(execution=0) != weights(execution=1), state(execution=1)["iterations"]]
        result += [States(folder().best).meta()["value"] == min(map(min, table))]
    """)
    assert result == [True, 2, True, 9, True]


def test_a_model_that_only_the_data_build_is_promoted_too(scenario: Scenario) -> None:
    """A subclassed model without an input shape gets its weights and optimizer back when fit has built it."""
    result = scenario("""
        class Small(keras.Model):
            def __init__(self):
                super().__init__()
                self.inner, self.last = keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)
            def call(self, inputs):
                return self.last(self.inner(inputs))
        def build(hp):
            model = Small()
            model.compile(keras.optimizers.Adam(0.01), "mse")
            return model
        fit = {"shuffle": False}
        outcomes = [job(0, 2, build=build, fit=fit), job(2, 4, build=build, fit=fit)]
        job(0, 4, build=build, fit=fit, run="whole")
        result = [[o["end"] for o in outcomes], weights() == weights("whole"), state()["iterations"]]
    """)
    assert result == [["completed", "completed"], True, 12]


def test_files_hold_only_data(scenario: Scenario) -> None:
    """A checkpoint is Keras's weights, arrays that load without pickle, and JSON; one state of each execution."""
    result = scenario("""
        job(0, 1)
        job(1, 2)
        with np.load(States(folder().checkpoint).file(".npz"), allow_pickle=False) as archive:
            names = sorted(archive.files)
        result = [sorted(os.listdir(folder().checkpoint)), names]
        result += [sorted(name.split("-")[0] for name in os.listdir(folder().best))]
    """)
    assert result[0] == ["0-0002.npz", "0-0002.weights.h5", "state.json"]
    assert result[1] == ["random/keras", "random/numpy", "random/python", "seed/0"]
    assert result[2] == ["0", "state.json"]


def test_a_damaged_checkpoint_begins_anew_and_says_so(scenario: Scenario) -> None:
    """A file that is cut, or has one other bit, is not loaded: the training starts from epoch 0, with a warning."""
    result = scenario("""
        job(0, 2)
        file = States(folder().checkpoint).file(".weights.h5")
        os.truncate(file, 100)
        outcome = job(2, 3)
        result = [outcome["end"], len(lines()), len(outcome["scores"]["val_loss"])]
        result += ["not whole" in outcome["warnings"][0]]
        sound = outcome["scores"]["val_loss"]
        for part in (folder().checkpoint, folder().best):
            file = States(part).file(".weights.h5")
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        outcome = job(2, 3)
        result += [outcome["scores"]["val_loss"] == sound, [warning.split("; ")[1] for warning in outcome["warnings"]]]
    """)
    assert result[:5] == ["completed", 3, 1, True, True]
    assert result[5] == ["training starts anew", "the best weights are those of the best epoch from now on"]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_are_promoted_as_tensorflow_is(scenario: Scenario, backend: str) -> None:
    """The same training in two jobs and in one ends with equal weights; early stopping and a stop request work."""
    pytest.importorskip(backend)
    code = """
        def build(hp):
            model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])
            model.compile(keras.optimizers.Adam(0.05), "mse")
            return model
        fit = {"shuffle": False}
        first = job(0, 3, build=build, fit=fit)
        job(3, 6, build=build, fit=fit)
        job(0, 6, build=build, fit=fit, run="whole")
        result = [keras.config.backend(), first["end"], weights() == weights("whole"), lines() == lines("whole")]
        class Ask(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
        stopped = job(0, 4, run="stopped", fit={"callbacks": [Ask()]})
        again = job(0, 4, run="stopped", fit={"callbacks": [Ask()]})
        result += [state()["iterations"], stopped["end"], stopped["epochs"], again["end"], len(lines("stopped"))]
    """
    assert scenario(code, backend) == [backend, "completed", True, True, 18, "interrupted", 2, "completed", 4]


def test_a_training_on_several_devices_is_promoted_too(scenario: Scenario) -> None:
    """With a strategy of TensorFlow's, made in the trial, two jobs end where one training ends."""
    result = scenario("""
        import tensorflow as tf
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
        def build(hp):
            model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.Adam(0.05), "mse")
            return model
        asked = {"distribution_strategy": lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}
        fit = {"shuffle": False}
        first = job(0, 2, build=build, fit=fit, asked=asked)
        job(2, 3, build=build, fit=fit, asked=asked)
        job(0, 3, build=build, fit=fit, asked=asked, run="whole")
        result = [first["end"], weights() == weights("whole"), lines() == lines("whole"), state()["iterations"]]
    """)
    assert result == ["completed", True, True, 9]


def test_a_learning_rate_that_a_callback_lowered_stays_low(scenario: Scenario) -> None:
    """ReduceLROnPlateau counts on, and its learning rate is the promoted training's."""
    result = scenario("""
        class Flat(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                logs["val_loss"] = 1.0
        def fit():
            plateau = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2, min_delta=0)
            return {"callbacks": [Flat(), plateau]}
        def rates(run):
            return [round(line["learning_rate"], 6) for line in lines(run)]
        for stop, start in ((4, 0), (8, 4)):
            job(start, stop, fit=fit())
        job(0, 8, fit=fit(), run="whole")
        result = [rates("run") == rates("whole"), rates("run")[-1]]
    """)
    assert result == [True, 0.00125]
