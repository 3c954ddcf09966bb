"""What one trial cannot write says nothing of the others: only a disk that takes nothing at all ends a search."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RANDOM = ("--algorithm", "random", "--max-trials", "3", "--cpu-slots", "2", "--seed", "1", "--max-epochs", "2")

#: What the second trial does to itself the first time.
HARM = {
    "deletes its folder": "import shutil; shutil.rmtree(trial.folder.parent)",
    "has no descriptors left": "keep += [open('/dev/null') for _ in range(10 ** 7)]",
    "may write no file": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    "fills another disk": "raise OSError(28, 'No space left on device', '/dev/shm/model.h5')",
}

#: The second trial does harm the first time, before it saves a checkpoint.
LOOP = """
import os

def train(hp, trial):
    hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=float(trial.id))
        if trial.id == 1 and not os.path.exists("harmed"):
            open("harmed", "w").close()
            {harm}
        trial.save_checkpoint({checkpoint})
"""


@pytest.mark.parametrize("case", HARM)
def test_a_trial_that_cannot_write_costs_itself_at_most(lab: Any, case: str) -> None:
    """The others train on; it is tried again, from its newest checkpoint where it has one."""
    lab.write(f"""
import os, resource
import gpusched
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

def train(hp, trial):
    hp.Float("x", 0, 1)
    keep = []
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=float(trial.id))
        trial.save_checkpoint(b"1")
        if trial.id == 1 and not os.path.exists("harmed"):
            open("harmed", "w").close()
            {HARM[case]}

tuner = gpusched.RandomSearch(train=train, objective="val_loss", max_trials=3, max_retries_per_trial=1)
""")
    code, said = lab.finish(*RANDOM)
    assert code == 0, said
    assert "Traceback" not in said
    assert sorted(lab.search.oracle.scores) == [0, 1, 2]
    assert [lab.search.trials[trial].attempt for trial in (0, 1, 2)] == [1, 2, 1]
    assert lab.processes() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no disk can be mounted here (mount -t tmpfs)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_search_in_one_line(lab: Any, small_disk: Path) -> None:
    """The scheduler cannot write there either. With room it goes on, and nothing is lost."""
    filler = small_disk / "filler"
    fills = f"""
            with open({str(filler)!r}, "wb", 0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
"""
    lab.write(LOOP.format(harm=fills, checkpoint="bytes(100_000)"))
    options = (*RANDOM, "--run", str(small_disk / "run"))
    code, said = lab.finish(*options)
    assert (code, "Traceback" in said) == (1, False), said
    assert f"{small_disk / 'run'}" in said
    assert "(No space left on device); make room and run the" in said
    assert lab.processes() == []
    filler.unlink()
    code, said = lab.finish(*options)
    assert code == 0, said
    assert "best: trial 0" in said


def test_a_run_directory_that_is_moved_ends_the_search_in_one_line(lab: Any) -> None:
    """Nothing is made in its old place; where it is now, the search goes on."""
    moved = lab.folder / "moved"
    lab.write(LOOP.format(harm=f"os.rename(trial.folder.parents[2], {str(moved)!r})", checkpoint='b"1"'))
    code, said = lab.finish(*RANDOM)
    assert (code, "Traceback" in said) == (1, False), said
    assert f"{lab.run.path}: cannot be written (No such file or directory); put it back" in said
    assert lab.processes() == []
    assert not lab.run.path.exists()
    code, said = lab.finish(*RANDOM, "--run", str(moved))
    assert code == 0, said
    assert "best: trial 0" in said
