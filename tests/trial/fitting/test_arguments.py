"""What is given to fit: data, callbacks, and the tuner's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.keras

Scenario = Callable[..., Any]


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
    assert result == [["0003/execution0"], True]
