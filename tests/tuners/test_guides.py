"""What Keras Tuner's guides show, with the same calls: whole searches, each in a script of its own.

The models and data are smaller, so that a search takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.keras, pytest.mark.slow]


def test_getting_started(python: Callable[..., Any]) -> None:
    """A model with conditional layers and a shared build function; best models and values afterwards."""
    result = python("""
        def call_existing_code(units, activation, dropout, lr):
            model = keras.Sequential()
            model.add(keras.layers.Input((8,)))
            model.add(keras.layers.Dense(units=units, activation=activation))
            if dropout:
                model.add(keras.layers.Dropout(rate=0.25))
            model.add(keras.layers.Dense(2, activation="softmax"))
            model.compile(optimizer=keras.optimizers.Adam(learning_rate=lr),
                          loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        def build_model(hp):
            units = hp.Int("units", min_value=8, max_value=32, step=8)
            activation = hp.Choice("activation", ["relu", "tanh"])
            dropout = hp.Boolean("dropout")
            lr = hp.Float("lr", min_value=1e-3, max_value=1e-1, sampling="log")
            for i in range(hp.Int("num_layers", 1, 2)):
                hp.Int(f"units_{i}", min_value=8, max_value=16, step=8)
            return call_existing_code(units, activation, dropout, lr)

        build_model(keras_tuner.HyperParameters())
        tuner = keras_tuner.RandomSearch(
            hypermodel=build_model, objective="val_accuracy", max_trials=3, executions_per_trial=2,
            overwrite=True, directory="my_dir", project_name="helloworld")
        tuner.search(x_train, y_train, epochs=2, validation_data=(x_val, y_val))
        tuner.results_summary()
        models = tuner.get_best_models(num_models=2)
        names = [layer.name for model in models for layer in (model, model.layers[-1])]
        best_hps = tuner.get_best_hyperparameters(5)
        score = models[0].evaluate(x_val, y_val, verbose=0)[1]
        rows = tuner.results()
        best = tuner.get_best_trials()[0]
        mine = [row["val_accuracy"] for row in rows if row["trial"] == best.id]
        model = build_model(best_hps[0])
        model.fit(x_train, y_train, epochs=1, verbose=0)
        same = abs(score - max(mine)) < 1e-6
        print(json.dumps([names, len(best_hps), len(rows), same, len(model.layers) >= 2]))
    """)
    assert result == [["sequential", "dense_1"] * 2, 3, 12, True, True]


def test_tuning_the_training(python: Callable[..., Any]) -> None:
    """Batch size and shuffling are tuned through fit, and a custom loop reports to its callbacks."""
    result = python("""
        class MyHyperModel(keras_tuner.HyperModel):
            def build(self, hp):
                model = keras.Sequential([keras.layers.Dense(hp.Int("units", 8, 16, step=8)), keras.layers.Dense(1)])
                self.optimizer = keras.optimizers.Adam(0.01)
                return model
            def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
                batch_size = hp.Int("batch_size", 32, 64, step=32)
                if hp.Boolean("normalize"):
                    x = (x - x.mean()) / x.std()
                model.compile(self.optimizer, "mse")
                for callback in callbacks:
                    callback.set_model(model)
                best = float("inf")
                for epoch in range(2):
                    for start in range(0, len(x), batch_size):
                        model.train_on_batch(x[start:start + batch_size], y[start:start + batch_size])
                    loss = float(model.evaluate(*validation_data, verbose=0))
                    for callback in callbacks:
                        callback.on_epoch_end(epoch, logs={"my_metric": loss})
                    best = min(best, loss)
                return best

        tuner = keras_tuner.RandomSearch(
            objective=keras_tuner.Objective("my_metric", "min"), max_trials=2, hypermodel=MyHyperModel(),
            directory="results", project_name="custom_training", overwrite=True, seed=1)
        tuner.search(x=x_train, y=y_train, validation_data=(x_val, y_val))
        best_hps = tuner.get_best_hyperparameters()[0]
        print(json.dumps([sorted(best_hps.values), [row["epoch"] for row in tuner.results()]]))
    """)
    assert result == [["batch_size", "normalize", "units"], [1, 2, 1, 2]]


def test_tailoring_the_search_space(python: Callable[..., Any]) -> None:
    """Some hyperparameters are fixed, others narrowed, the rest left at their defaults; compile is overridden."""
    result = python("""
        def build_model(hp):
            model = keras.Sequential([
                keras.layers.Input((8,)),
                keras.layers.Dense(hp.Int("units", 8, 32, step=8), activation="relu"),
                keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1)),
                keras.layers.Dense(2, activation="softmax"),
            ])
            model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")),
                          "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        hp = keras_tuner.HyperParameters()
        hp.Float("learning_rate", min_value=1e-3, max_value=1e-2, sampling="log")
        hp.Fixed("units", value=16)
        tuner = keras_tuner.RandomSearch(
            hypermodel=build_model, hyperparameters=hp, tune_new_entries=False, objective="val_accuracy",
            max_trials=3, overwrite=True, directory="my_dir", project_name="search_a_few",
            optimizer=keras.optimizers.SGD(learning_rate=0.1), metrics=["accuracy"], seed=0)
        tuner.search(x_train, y_train, epochs=1, validation_data=(x_val, y_val))
        values = [trial.values for trial in tuner.get_best_trials(3)]
        print(json.dumps([[sorted(v) for v in values], {v["units"] for v in values} == {16}, tuner.remaining_trials]))
    """)
    assert result == [[["learning_rate", "units"]] * 3, True, 0]


def test_distributed_hyperband(python: Callable[..., Any]) -> None:
    """Hyperband over all slots, early stopping, then the final model trained with the best values; a second
    execution of the script repeats nothing."""
    code = """
        def build_model(hp):
            model = keras.Sequential([keras.layers.Input((8,))])
            for i in range(hp.Int("layers", 1, 3)):
                model.add(keras.layers.Dense(hp.Int("units_" + str(i), 8, 32, step=8), activation="relu"))
            model.add(keras.layers.Dense(2, activation="softmax"))
            model.compile(keras.optimizers.Adam(hp.Choice("learning_rate", [1e-2, 1e-3])),
                          "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        tuner = keras_tuner.Hyperband(
            hypermodel=build_model, objective="val_accuracy", max_epochs=4, factor=2, hyperband_iterations=1,
            directory="results_dir", project_name="mnist", cpu_slots=2, seed=0)
        tuner.search(x_train, y_train, epochs=9, validation_data=(x_val, y_val),
                     callbacks=[keras.callbacks.EarlyStopping("val_accuracy", patience=3)])
        best = tuner.get_best_trials()[0]
        model = tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])
        model.fit(x_train, y_train, epochs=1, verbose=0)
        rows = tuner.results()
        stamps = sorted((row["trial"], row["epoch"], row["seconds"]) for row in rows)
        print(json.dumps([best.epochs, max(row["epoch"] for row in rows), stamps]))
    """
    first, again = python(code), python(code)
    assert first[:2] == [4, 4]
    assert again == first


def test_a_search_on_jax(python: Callable[..., Any]) -> None:
    """KERAS_BACKEND=jax: promotions carry on, and the best model is there with its weights."""
    pytest.importorskip("jax")
    result = python(
        """
        def build_model(hp):
            model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(hp.Int("units", 2, 8)),
                                      keras.layers.Dense(2, activation="softmax")])
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        tuner = keras_tuner.Hyperband(build_model, objective="val_loss", max_epochs=3, factor=3, seed=2, cpu_slots=2)
        tuner.search(x_train, y_train, validation_data=(x_val, y_val))
        best = tuner.get_best_trials()[0]
        loss = tuner.get_best_models()[0].evaluate(x_val, y_val, verbose=0)[0]
        print(json.dumps([keras.config.backend(), tuner.remaining_trials, abs(loss - best.score) < 1e-5]))
        """,
        KERAS_BACKEND="jax",
    )
    assert result == ["jax", 0, True]


def test_data_of_every_kind(python: Callable[..., Any]) -> None:
    """Frames, generators, a PyDataset, tf.data and pictures that are augmented reach the trials through load_data."""
    result = python("""
        import pandas as pd
        import tensorflow as tf

        held = (x_val, y_val)

        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 5
            def __getitem__(self, i):
                return x_train[40 * i : 40 * i + 40], y_train[40 * i : 40 * i + 40]

        def frames():
            table = pd.DataFrame(x_train, columns=[f"c{i}" for i in range(8)])
            return dict(x=table, y=pd.Series(y_train), validation_data=held)

        def generator():
            def endless():
                while True:
                    yield from (Batches()[i] for i in range(5))
            return dict(x=endless(), steps_per_epoch=5, validation_data=held)

        def batches():
            return dict(x=Batches(), validation_data=held)

        def dataset():
            return dict(x=tf.data.Dataset.from_tensor_slices((x_train, y_train)).batch(40), validation_data=held)

        def pictures():
            from keras.src.legacy.preprocessing.image import ImageDataGenerator
            pixels = np.repeat(x_train[:, :, None, None], 8, axis=2)
            turned = ImageDataGenerator(horizontal_flip=True).flow(pixels, y_train, batch_size=40, seed=1)
            return dict(x=turned, validation_data=(np.repeat(x_val[:, :, None, None], 8, axis=2), y_val))

        def build_model(hp):
            model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(hp.Int("units", 2, 8)),
                                      keras.layers.Dense(2, activation="softmax")])
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

        ended = []
        for load_data in (frames, generator, batches, dataset, pictures):
            tuner = keras_tuner.RandomSearch(build_model, objective="val_loss", max_trials=2, seed=2, cpu_slots=2,
                                             project_name=load_data.__name__)
            tuner.search(load_data, epochs=2)
            ended.append([load_data.__name__, len(tuner.results())])
        print(json.dumps(ended))
    """)
    assert result == [["frames", 4], ["generator", 4], ["batches", 4], ["dataset", 4], ["pictures", 4]]
