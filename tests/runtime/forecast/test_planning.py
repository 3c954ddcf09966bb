"""A plan: what a search will do, said before it does anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import time

def train(hp, trial):
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        time.sleep(0.02)
        trial.report(val_loss=rate / (epoch + 1))
        trial.save_checkpoint(b"x" * 1000)
"""


def plan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "loop.py").write_text(SCRIPT)
    command = [
        sys.executable,
        "-P",
        "-m",
        "gpusched.cli",
        "plan",
        "loop.py",
        "--objective",
        "val_loss",
        "--gpus",
        "none",
    ]
    return subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, check=False)


def test_brackets_rungs_trials_and_epochs(tmp_path: Path) -> None:
    """The table of Hyperband 27/3 and its sums; nothing is trained and no run directory is left."""
    done = plan(tmp_path, "--max-epochs", "27", "--cpu-slots", "2")
    assert done.returncode == 0, done.stderr
    assert "27×1 → 9×3 → 3×9 → 1×27" in done.stdout
    assert "49 trials, 375 epochs in all" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop.py"]


def test_a_calibrated_plan_tells_the_time(tmp_path: Path) -> None:
    """A few short trials give seconds an epoch, the whole search's time, how busy its slots are, and its disk."""
    done = plan(tmp_path, "--max-epochs", "9", "--cpu-slots", "2", "--calibrate", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    calibration = told["calibration"]
    assert calibration["trials"] == 2
    assert min(calibration["epoch_seconds"]) >= 0.02
    least = told["plan"]["epochs"] * min(calibration["epoch_seconds"]) / 2
    assert told["seconds"] >= least
    assert 0 < told["busy"] <= 1
    assert told["disk_bytes"] == calibration["checkpoint_bytes"] * told["plan"]["trials"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop.py"]


def test_trials_that_cannot_be_trained_are_said(tmp_path: Path) -> None:
    """A calibration whose trials all fail says why, with exit code 1."""
    broken = SCRIPT.replace("time.sleep(0.02)", "raise RuntimeError('no data')")
    (tmp_path / "broken.py").write_text(broken)
    command = [sys.executable, "-P", "-m", "gpusched.cli", "plan", "broken.py", "--objective", "val_loss"]
    words = ["--max-epochs", "3", "--cpu-slots", "1", "--calibrate"]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().endswith("calibration: none of 1 trials could be trained (no data)")
