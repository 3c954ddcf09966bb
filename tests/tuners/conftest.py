"""Scripts of a Keras Tuner user, run as `python script.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_BEFORE = """
import json
import keras
import numpy as np
import gpusched as keras_tuner

def data(count):
    draws = np.random.default_rng(count)
    x = draws.normal(size=(count, 8)).astype("float32")
    return x, (x[:, :4].sum(axis=1) > 0).astype("int32")

(x_train, y_train), (x_val, y_val) = data(200), data(80)
"""


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., Any]:
    """Runs a script as `python script.py`; returns the JSON of its last line."""

    def run(code: str, *argv: str, **variables: str) -> Any:
        folder = tmp_path / "sök 'n' \"s\""
        folder.mkdir(exist_ok=True)
        script = folder / "guide.py"
        script.write_text(_BEFORE + textwrap.dedent(code), encoding="utf-8")
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **variables}
        command = [sys.executable, str(script), *argv]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run


@pytest.fixture
def loop(tmp_path: Path) -> Callable[..., Any]:
    """The same for scripts with a `train(hp, trial)`, which do without Keras."""

    def run(code: str, *argv: str) -> Any:
        script = tmp_path / "loop.py"
        script.write_text("import json, sys\nimport gpusched as gs\n" + textwrap.dedent(code), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(script), *argv], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run
