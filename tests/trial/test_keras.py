"""Keras trainings: state, stops, results, and what users of Keras Tuner expect."""

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


def test_nan_and_a_missing_objective(scenario: Scenario) -> None:
    """NaN ends the trial at its epoch; an objective that nothing reports ends the search, naming what there is."""
    result = scenario("""
        bad = {"y": np.full(120, np.nan, "float32"), "validation_data": None}
        nan = job(0, 4, fit=bad, asked={"objective": "loss"})
        missing = job(0, 4, run="other", asked={"objective": "val_f1:max"})
        held = job(0, 4, run="third", fit={"validation_data": None})
        result = [(o["end"], o["failure"]["kind"], o["failure"]["message"]) for o in (nan, missing, held)]
        result.append(len(lines()))
    """)
    assert result == [
        ["failed", "nan", "objective 'loss' is nan at epoch 1"],
        [
            "fatal",
            "objective",
            "objective 'val_f1' is not among the metrics (accuracy, loss, val_accuracy, val_loss): "
            "name one of them, or report it",
        ],
        [
            "fatal",
            "objective",
            "objective 'val_loss' is not among the metrics (accuracy, loss): "
            "name one of them, or report it; give fit validation_data or validation_split",
        ],
        1,
    ]


def test_a_validation_that_is_not_made_every_epoch(scenario: Scenario) -> None:
    """With validation_freq, epochs without an objective have no score, and that is no error."""
    result = scenario("""
        outcome = job(0, 4, fit={"validation_freq": 2})
        result = [outcome["end"], [score is None for score in outcome["scores"]["val_loss"]]]
    """)
    assert result == ["completed", [True, False, True, False]]


def test_how_user_code_fails(scenario: Scenario) -> None:
    """A model that is too large, an error in build, no model at all, and a fatal error each end as they should."""
    result = scenario("""
        def none(hp):
            build(hp)
        def broken(hp):
            raise ValueError("units are odd")
        def failed(hp):
            raise gs.errors.FailedTrialError("not this one")
        result = [job(0, 1, asked={"max_model_size": 40})]
        result += [job(0, 1, build=each) for each in (broken, failed, none)]
        unbuilt = keras.Sequential([keras.layers.Dense(99), keras.layers.Dense(1)])
        unbuilt.compile("adam", "mse")
        result += [job(0, 1, build=lambda hp: unbuilt, asked={"max_model_size": 40})]
        result = [(o["end"], o["failure"]["kind"], o["failure"]["message"], o.get("retry", True)) for o in result]
    """)
    assert result[:3] == [
        ["oversize", "oversize", "the model has 49 parameters, more than max_model_size=40", False],
        ["failed", "ValueError", "units are odd", True],
        ["failed", "FailedTrialError", "not this one", False],
    ]
    assert result[3][0] == "fatal"
    assert result[3][2].endswith("which is not a Keras model: is its `return model` missing?")
    assert result[4][:3] == ["oversize", "oversize", "the model has 595 parameters, more than max_model_size=40"]


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


def test_hypermodel_fit(scenario: Scenario) -> None:
    """HyperModel.fit may tune fit's own arguments, decide the epochs, and return a number, a dict or a History."""
    result = scenario("""
        class Tuned(gs.HyperModel):
            def build(self, hp):
                return build(hp)
            def fit(self, hp, model, *args, **kwargs):
                return model.fit(*args, epochs=hp.Int("epochs", 2, 5), **kwargs)
        class Number(Tuned):
            def fit(self, hp, model, *args, callbacks=None, **kwargs):
                model.fit(*args, **kwargs)
                return 0.25
        class Table(Tuned):
            def fit(self, hp, model, *args, **kwargs):
                model.fit(*args, **kwargs)
                return {"score": 0.5, "other": 1}
        class Several(Tuned):
            def fit(self, hp, model, *args, callbacks=None, **kwargs):
                return [model.fit(*args, **kwargs).history["loss"][0] * 0 + each for each in (1.0, 3.0)]
        class Nothing(Tuned):
            def fit(self, hp, model, *args, callbacks=None, **kwargs):
                pass
        def search(hypermodel, objective="val_loss", **asked):
            return gs.RandomSearch(hypermodel, objective=objective, **asked)
        tuned = job(0, 1, search(Tuned()), run="a", values={"units": 8, "epochs": 3})
        number = job(0, 2, search(Number(), None, max_epochs=2), run="b")
        table = job(0, 2, search(Table(), "score:max", max_epochs=2), run="c")
        several = job(0, 1, search(Several(), None), run="d")
        nothing = job(0, 1, search(Nothing()), run="e")
        result = [len(lines("a")), tuned["scores"]["val_loss"] == [min(line["val_loss"] for line in lines("a"))]]
        result += [number["scores"], table["scores"], several["scores"], nothing["failure"]["message"]]
    """)
    assert result == [
        3,
        True,
        {"default_objective": [0.25]},
        {"score": [None, 0.5]},
        {"default_objective": [2.0]},
        "Nothing.fit() returned None; return the History, a dict of metrics or the objective as a number",
    ]


def test_a_loop_of_one_s_own_in_hypermodel_fit(scenario: Scenario) -> None:
    """A custom training loop that calls the callbacks at its epochs' ends is recorded and promoted."""
    result = scenario("""
        class Looped(gs.HyperModel):
            def build(self, hp):
                return build(hp)
            def fit(self, hp, model, x, y, validation_data, callbacks=None, epochs=1, initial_epoch=0, **kwargs):
                for callback in callbacks:
                    callback.set_model(model)
                for epoch in range(initial_epoch, epochs):
                    model.train_on_batch(x, y)
                    for callback in callbacks:
                        callback.on_epoch_end(epoch, logs={"my_metric": float(epoch)})
        def search():
            return gs.Hyperband(Looped(), objective=gs.Objective("my_metric", "min"))
        result = [job(0, 2, search())["scores"], job(2, 5, search())["scores"], state()["iterations"]]
    """)
    assert result == [{"my_metric": [0.0, 1.0]}, {"my_metric": [2.0, 3.0, 4.0]}, 5]


def test_run_trial_of_one_s_own(scenario: Scenario) -> None:
    """A subclass may change fit's arguments, train by itself, or tune without any model."""
    result = scenario("""
        class Batched(gs.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                kwargs["batch_size"] = trial.hyperparameters.Choice("batch_size", [20, 60])
                return super().run_trial(trial, *args, **kwargs)
        class Black(gs.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                v = trial.hyperparameters.Float("v", -1.0, 1.0)
                return v * v
        class Own(gs.RandomSearch):
            def run_trial(self, trial, x, y, validation_data, **kwargs):
                model = self.hypermodel.build(trial.hyperparameters)
                history = model.fit(x, y, validation_data=validation_data, epochs=2, verbose=0)
                self.on_epoch_end(trial, model, 1, logs={})
                return history
        result = [job(0, 2, Batched(build, "val_loss"), run="a", values={"units": 8, "batch_size": 60})["end"]]
        result += [state("a")["iterations"]]
        result += [job(0, 1, Black(objective=None, max_trials=3), run="b", values={"v": 0.5})["scores"]]
        own = job(0, 2, Own(build, "val_loss"), run="c")
        result += [own["end"], len(own["scores"]["val_loss"])]
    """)
    assert result == ["completed", 4, {"default_objective": [0.25]}, "completed", 2]


def test_the_tuner_s_optimizer_loss_and_metrics(scenario: Scenario) -> None:
    """They take the place of those that build compiled, for every trial anew."""
    result = scenario("""
        asked = dict(optimizer=keras.optimizers.SGD(0.125), loss="mse", metrics=["mae"], objective="val_mae")
        tuner = gs.Hyperband(build, **asked)
        outcomes = [job(0, 1, tuner), job(0, 1, tuner, trial=1)]
        result = [[o["end"] for o in outcomes], sorted(lines()[0])]
        only = job(0, 1, run="other", asked={"optimizer": "sgd"})
        result += [only["end"], sorted(lines("other")[0])]
    """)
    assert result == [
        ["completed", "completed"],
        ["epoch", "loss", "mae", "val_loss", "val_mae"],
        "completed",
        ["accuracy", "epoch", "loss", "val_accuracy", "val_loss"],
    ]


def test_callbacks_are_copied_and_the_tuner_s_hooks_are_called(scenario: Scenario) -> None:
    """Two trials do not share a callback; on_epoch_end of a tuner's subclass is called with trial and logs."""
    result = scenario("""
        class Count(keras.callbacks.Callback):
            epochs = 0
            def on_epoch_end(self, epoch, logs=None):
                self.epochs += 1
                logs["counted"] = self.epochs
        class Hooked(gs.Hyperband):
            def on_epoch_end(self, trial, model, epoch, logs=None):
                print("hook", trial.trial_id, epoch, flush=True)
        count = Count()
        tuner = Hooked(build, "val_loss")
        for trial in (0, 1):
            job(0, 2, tuner, fit={"callbacks": [count]}, trial=trial)
        class Stuck(Count):
            def __deepcopy__(self, memo):
                raise TypeError("not me")
        stuck = job(0, 1, fit={"callbacks": [Stuck()]}, trial=2)
        result = [count.epochs, [line["counted"] for line in lines()], stuck["end"], stuck["failure"]["message"]]
        result.append(open("output.txt").read().count("hook"))
    """)
    assert result == [
        0,
        [1, 2],
        "fatal",
        "callbacks (Stuck): copy.deepcopy fails (not me); every trial trains with a copy of its own",
        4,
    ]


def test_data_of_any_kind_comes_from_load_data(scenario: Scenario) -> None:
    """What load_data returns are fit's arguments: a dict, a tuple, a dataset; keywords beside it win."""
    result = scenario("""
        import tensorflow as tf
        held = data["validation_data"]
        def table():
            return data
        def pair():
            return x, y
        def dataset():
            return tf.data.Dataset.from_tensor_slices((x, y)).batch(40)
        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 4
            def __getitem__(self, i):
                return x[40 * i:40 * i + 40], y[40 * i:40 * i + 40]
        result = [job(0, 1, args=(table,), fit={"batch_size": 60})["end"], state()["iterations"]]
        for make in (pair, dataset, Batches):
            source = make if make is not Batches else (lambda: Batches(workers=1))
            outcome = job(0, 1, run=make.__name__, args=(source,), fit={"validation_data": held})
            result += [outcome["end"], state(make.__name__)["iterations"]]
    """)
    assert result == ["completed", 2, "completed", 5, "completed", 4, "completed", 4]


def test_large_arrays_are_fed_whole_and_in_another_order_every_epoch(scenario: Scenario) -> None:
    """Through the dataset each epoch sees every sample once, weights and a last short batch included."""
    result = scenario("""
        from gpusched.trial.fitting import arrays
        arrays.LARGE_BYTES = 100
        many = np.arange(10, dtype="float64")
        args, kwargs = arrays.share_arrays((many, many * 2), {"sample_weight": many + 1, "batch_size": 4, "epochs": 3})
        batches = []
        for epoch in range(2):
            batches.append([kwargs["x"][i] for i in range(kwargs["x"].num_batches)])
            kwargs["x"].on_epoch_end()
        orders = [[int(v) for batch in epoch for v in batch[0]] for epoch in batches]
        result = [args, sorted(set(kwargs) - {"x"}), [len(batch[0]) for batch in batches[0]]]
        result += [batches[0][0][0].dtype.name]
        result += [sorted(orders[0]) == sorted(orders[1]) == list(range(10)), orders[0] != orders[1]]
        result += [all((b[1] == 2 * b[0]).all() and (b[2] == b[0] + 1).all() for epoch in batches for b in epoch)]
        _, split = arrays.share_arrays((), {"x": many, "y": many, "validation_split": 0.2})
        result += [split["x"].num_batches, [float(v) for v in split["validation_data"][0]]]
        outcome = job(0, 2, fit={"validation_data": None, "validation_split": 0.25})
        result += [outcome["end"], state()["iterations"]]
    """)
    assert result == [
        [],
        ["epochs", "shuffle"],
        [4, 4, 2],
        "float32",
        True,
        True,
        True,
        1,
        [8.0, 9.0],
        "completed",
        6,
    ]


def test_arguments_of_fit_by_position(scenario: Scenario) -> None:
    """batch_size and epochs given by position meet those that the search sets."""
    result = scenario("""
        outcome = job(0, 2, args=(x, y, 80, 7), fit={"validation_data": data["validation_data"]})
        result = [outcome["end"], len(lines()), state()["iterations"]]
    """)
    assert result == ["completed", 2, 4]


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
    """A file that is not whole is not loaded: the training starts from epoch 0, with a warning."""
    result = scenario("""
        job(0, 2)
        file = States(folder().checkpoint).file(".weights.h5")
        os.truncate(file, 100)
        outcome = job(2, 3)
        result = [outcome["end"], len(lines()), len(outcome["scores"]["val_loss"])]
        result += ["not whole" in outcome["warnings"][0]]
    """)
    assert result == ["completed", 3, 1, True]


def test_tensorboard_goes_into_a_folder_for_each_trial(scenario: Scenario) -> None:
    """TensorBoard(log_dir) is moved to log_dir/TRIAL/executionK, with the values for the HParams plugin."""
    pytest.importorskip("tensorboard")
    result = scenario("""
        space = {"space": [{"class_name": "Int", "config": {"name": "units", "min_value": 4, "max_value": 16}}]}
        job(0, 1, fit={"callbacks": [keras.callbacks.TensorBoard("logs")]}, trial=3, space={**space, "values": {}})
        files = [os.path.join(base, name) for base, _, names in os.walk("logs") for name in names]
        blob = b"".join(open(file, "rb").read() for file in files)
        result = [sorted({os.path.relpath(file, "logs").split("/train")[0].split("/val")[0].split("/events")[0]
                          for file in files}), b"_hparams_" in blob]
    """)
    assert result == [["3/execution0"], True]


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
