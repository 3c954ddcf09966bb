"""The scripts in examples do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def python(name: str, *words: str, cwd: Path) -> str:
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.keras
def test_the_fire_detector(tmp_path: Path) -> None:
    """Draws its pictures, searches, and leaves a model trained with the best values that can be loaded."""
    import keras

    said = python("fire_detector.py", "--count", "32", "--epochs", "2", cwd=tmp_path)
    assert "best values: {'filters_1': " in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fire_detector.keras", "pictures", "runs"]
    assert sum(1 for _ in tmp_path.glob("pictures/*/*/*.png")) == 40
    model = keras.saving.load_model(tmp_path / "fire_detector.keras")
    assert model.input_shape == (None, 128, 128, 3)


def test_the_loop_of_ones_own(tmp_path: Path) -> None:
    """Searches without Keras, and prints what it found."""
    assert "best" in python("train_function.py", cwd=tmp_path)
