"""Searches from a notebook: a running loop, and functions that stand in no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import pytest
from nbformat import v4


def outputs(folder: Path, *cells: str) -> list[Any]:
    """What is below each cell."""
    book = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell.outputs for cell in book.cells]


def printed(below: Any) -> str:
    return "".join(out.get("text", "") for out in below if out.get("name") == "stdout")


def execute(folder: Path, *cells: str) -> list[str]:
    """What each cell prints."""
    return list(map(printed, outputs(folder, *cells)))


LOOP = """
import asyncio
import numpy as np
import gpusched as gs

targets = np.arange(5.0)

class Curve:
    def __init__(self, at): self.at = at
    def loss(self, epoch): return abs(self.at - targets.mean()) + 1 / epoch

finish = lambda trial, epoch: trial.save_checkpoint(str(epoch).encode())

def train(hp, trial):
    curve = Curve(hp.Float("at", 0, 4, step=1))
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=curve.loss(epoch + 1))
        finish(trial, epoch)

assert asyncio.get_running_loop().is_running()
tuner = gs.GridSearch(train=train, objective="val_loss", max_epochs=2, cpu_slots=2, project_name="book")
"""


@pytest.mark.slow
def test_what_a_notebook_defines(tmp_path: Path) -> None:
    """Functions, classes, lambdas and arrays of the cells reach the trials, beside the kernel's running loop.

    Below the search stands one panel, its results are tables.
    """
    _, search, best, trials, summary, tuner, rows = outputs(
        tmp_path,
        LOOP,
        "tuner.search()",
        "print(tuner.get_best_hyperparameters()[0].values)",
        "print(len(tuner.results()), tuner.remaining_trials)",
        "tuner.results_summary()",
        "tuner",
        "tuner.results()",
    )
    assert (printed(best), printed(trials)) == ("{'at': 2.0}\n", "10 0\n")
    assert [out["output_type"] for out in search] == ["display_data"]
    assert "search ended: complete" in search[0]["data"]["text/html"]
    assert "best: trial" in search[0]["data"]["text/plain"]
    for below in (search, summary, tuner):
        assert [out["data"]["text/html"].count("<tr>") for out in below] == [6]  # the head and five trials
    assert "10 rows" in rows[0]["data"]["text/html"]
    assert len(rows[0]["data"]["text/plain"]) < 100


@pytest.mark.slow
def test_await_in_a_notebook(tmp_path: Path) -> None:
    """`await tuner.search_async()` leaves the kernel's loop to others meanwhile."""
    (*_, said) = execute(
        tmp_path,
        LOOP,
        "turns = 0\n"
        "async def count():\n"
        "    global turns\n"
        "    while True:\n"
        "        turns += 1\n"
        "        await asyncio.sleep(0.01)\n"
        "counting = asyncio.create_task(count())\n"
        "await tuner.search_async()\n"
        "counting.cancel()\n"
        "print(turns > 3, len(tuner.get_best_trials(9)))",
    )
    assert said.splitlines()[-1] == "True 5"


MODEL = """
import gpusched as gs
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
y = (x.sum(1) > 0).astype("float32")
rates = [0.1, 0.01]

def build_model(hp):
    import keras
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(hp.Choice("rate", rates)), "binary_crossentropy", metrics=["accuracy"])
    return model

tuner = gs.RandomSearch(build_model, "val_loss", max_trials=2, max_epochs=2, cpu_slots=1, project_name="model", seed=0)
tuner.search(x[:48], y[:48], validation_data=(x[48:], y[48:]), verbose=0)
"""


@pytest.mark.slow
@pytest.mark.keras
def test_a_keras_model_of_a_notebook(tmp_path: Path) -> None:
    """Arrays of the notebook are searched on, and the best model comes back with its weights."""
    check = (
        "loss, _ = tuner.get_best_models(1)[0].evaluate(x[48:], y[48:], verbose=0)\n"
        "print(abs(loss - tuner.get_best_trials(1)[0].score) < 1e-5)"
    )
    *_, said = execute(tmp_path, MODEL, check)
    assert said.splitlines()[-1] == "True"


DATASET = """
import numpy as np
import tensorflow as tf
train_ds = None
"""


@pytest.mark.slow
@pytest.mark.keras
def test_a_dataset_that_cannot_be_carried_is_named_with_its_cell(tmp_path: Path) -> None:
    """The variable, and the cell that set it last: there it has to be made otherwise."""
    with pytest.raises(nbclient.exceptions.CellExecutionError) as raised:
        execute(
            tmp_path,
            MODEL.partition("tuner.search")[0],
            DATASET,
            "train_ds = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)",
            "tuner.search(train_ds, validation_data=train_ds, epochs=1)",
        )
    said = str(raised.value)
    assert "argument 0 of search() (train_ds, set in cell [3]): _BatchDataset cannot be carried to the trials" in said
    assert "def load_data()" in said
