"""Keras on the true GPU, with whichever of its backends is installed and sees it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

GIB = 2**30

#: Asks a framework in a process of its own how many GPUs it sees.
SEEN = {
    "tensorflow": "import tensorflow; print(len(tensorflow.config.list_physical_devices('GPU')))",
    "jax": "import jax; print(sum(device.platform == 'gpu' for device in jax.devices()))",
    "torch": "import torch; print(torch.cuda.device_count())",
}

#: Each training says in its log where its weights are.
SCRIPT = """
import gpusched
import keras
import numpy as np

class Where(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        value = self.model.trainable_variables[0].value
        print("weights on", value.devices() if hasattr(value, "devices") else value.device)

def build_model(hp):
    layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(hp.Int("filters", 4, 16, step=4), 3, activation="relu"),
              keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    return model

def load_data():
    draws = np.random.default_rng(1)
    x = draws.normal(size=(512, 16, 16, 3)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int32")
    return dict(x=x[:384], y=y[:384], validation_data=(x[384:], y[384:]), callbacks=[Where()], verbose=0)

AWAKE = False
if __name__ == "__main__" and AWAKE:
    keras.ops.convert_to_numpy(keras.ops.ones((2,)))
    tuner = gpusched.RandomSearch(build_model, objective="val_loss", max_trials=2, max_epochs=1, directory="runs",
                                  project_name="search it", gpus="0")
    tuner.search(load_data)
    tuner.get_best_models()[0].summary()
"""

pytestmark = pytest.mark.gpu


@pytest.fixture(params=list(SEEN))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([sys.executable, "-c", SEEN[name]], capture_output=True, text=True)
    if done.returncode or done.stdout.split()[-1] == "0":
        pytest.skip(f"{name} sees no GPU here")
    return name


def places(lab: Any) -> list[str]:
    """Where the weights of each trial's trainings were."""
    trials = range(len(lab.search.trials))
    lines = [line for trial in trials for line in lab.run.trial(trial).log.read_text().splitlines()]
    return [line.lower() for line in lines if line.startswith("weights on")]


def test_two_trials_share_a_gpu(lab: Any, backend: str) -> None:
    """They train on it at once, forked from one launcher, with memory that grows; each is charged its own."""
    lab.write(SCRIPT)
    options = ["--algorithm", "random", "--objective", "val_loss", "--max-trials", "4", "--max-epochs", "2"]
    assert lab.finish(*options, "--gpus", "0", "--per-gpu", "2", KERAS_BACKEND=backend)[0] == 0
    assert len(places(lab)) == 4
    assert all("gpu" in place or "cuda" in place for place in places(lab))
    usages = [event["usage"] for event in lab.events("job_ended")]
    assert all(0 < usage["gpu_peak_bytes"] < 8 * GIB for usage in usages)


def test_a_promotion_goes_on_with_its_state(lab: Any, backend: str) -> None:
    """Each epoch of Hyperband is trained once, though trials wait between their rungs."""
    lab.write(SCRIPT)
    options = ["--algorithm", "hyperband", "--objective", "val_loss", "--max-epochs", "2", "--factor", "2"]
    assert lab.finish(*options, "--gpus", "0", KERAS_BACKEND=backend)[0] == 0
    for trial in lab.search.trials.values():
        assert len(lab.run.trial(trial.id).metrics.read_text().splitlines()) == trial.epochs
    assert lab.processes() == []


def test_a_caller_in_which_the_framework_is_awake(lab: Any, backend: str) -> None:
    """`python script.py` holds memory of the GPU itself, and its search does not wait for that."""
    lab.write(SCRIPT.replace("AWAKE = False", "AWAKE = True"))
    assert lab.finish(command=[sys.executable, str(lab.script)], KERAS_BACKEND=backend)[0] == 0
    assert len(places(lab)) == 2
    assert all("gpu" in place or "cuda" in place for place in places(lab))
