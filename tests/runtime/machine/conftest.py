"""Searches on GPUs of the stand-in driver: trials hold memory as the file in the driver's folder says."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

#: Each trial shows itself to the driver, and writes down where it runs from when to when. What ails it stands in the
#: file "ills": Python that is run before each epoch.
TRAIN = """
import json, os, time

GPU = os.environ.get("CUDA_VISIBLE_DEVICES")
SHOWN = os.environ["FAKE_NVML_PROCESSES"]
GIB = 2**30

class OutOfMemoryError(RuntimeError):
    pass

def note(**line):
    fd = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (json.dumps(line) + "\\n").encode())
    os.close(fd)

def hold(gib):
    aside = f".{os.getpid()}"
    with open(aside, "w") as file:
        file.write(f"{GPU} {int(gib * GIB)}")
    os.replace(aside, os.path.join(SHOWN, str(os.getpid())))

def others():
    found = 0
    for name in os.listdir(SHOWN):
        if name.isdigit() and int(name) != os.getpid() and os.path.exists(f"/proc/{name}"):
            found += open(os.path.join(SHOWN, name)).read().split()[0] == GPU
    return found

def train(hp, trial):
    global GPU
    GPU = os.environ["CUDA_VISIBLE_DEVICES"]
    lr = hp.Float("lr", 1e-4, 1e-1, sampling="log")
    trial.load_checkpoint()
    if GPU == "-1":  # The space is looked for.
        return {"val_loss": 0.0}
    hold(float(open("need").read()) if os.path.exists("need") else 1)
    note(trial=trial.id, what="begins", gpu=GPU, at=time.monotonic(), epoch=trial.start_epoch)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        if os.path.exists("ills"):
            exec(open("ills").read(), {**globals(), "trial": trial, "epoch": epoch})
        while os.path.exists("hold"):
            time.sleep(0.002)
        trial.report(val_loss=abs(lr - 0.01) / (epoch + 1))
        trial.save_checkpoint(b"%d" % epoch)
    note(trial=trial.id, what="ends", gpu=GPU, at=time.monotonic())
"""


class GpuLab:
    """A lab on a machine with GPUs."""

    def __init__(self, lab: Any, nvml: Any) -> None:
        self.lab, self.nvml = lab, nvml
        lab.write(TRAIN)
        self.environ = {**nvml.environ, **lab.environ, "GPUSCHED_LOOK_SECONDS": "0.03"}

    @property
    def uuids(self) -> list[str]:
        return [gpu["uuid"] for gpu in self.nvml.devices]

    def ills(self, python: str) -> None:
        aside: Path = self.lab.folder / "ills.new"
        aside.write_text(python)
        aside.replace(self.lab.folder / "ills")

    def options(self, *more: str, trials: int = 6) -> list[str]:
        common = ["--algorithm", "random", "--objective", "val_loss", "--max-epochs", "2", "--seed", "7"]
        return [*common, "--max-trials", str(trials), *more]

    def start(self, *more: str, trials: int = 6, **environ: str) -> Any:
        return self.lab.start(*self.options(*more, trials=trials), **{**self.environ, **environ})

    def finish(self, *more: str, trials: int = 6, **environ: str) -> int:
        code: int = self.lab.finish(*self.options(*more, trials=trials), **{**self.environ, **environ})[0]
        return code

    def says(self, *words: str) -> str:
        """What `gpusched WORDS` prints."""
        command = [sys.executable, "-m", "gpusched.cli", *words]
        done = subprocess.run(command, cwd=self.lab.folder, env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def ledger(self) -> list[dict[str, Any]]:
        import json

        try:
            return [json.loads(line) for line in (self.lab.folder / "ledger").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def began(self) -> list[tuple[int, int]]:
        """(trial, number of its GPU), in the order of their starts."""
        return [(line["trial"], self.uuids.index(line["gpu"])) for line in self.ledger if line["what"] == "begins"]

    def states(self) -> list[str]:
        return [trial.state.value for _, trial in sorted(self.lab.search.trials.items())]

    def sound(self) -> None:
        """The journal's decisions are those of the rules."""
        from gpusched.runtime.reader import Run
        from gpusched.ui.verify import verify

        assert verify(Run(self.lab.run)).complaints == []


@pytest.fixture
def gpu_lab(lab: Any, fake_nvml: Any) -> Callable[[int], GpuLab]:
    def make(count: int, **fields: Any) -> GpuLab:
        fake_nvml.add(count, **fields)
        return GpuLab(lab, fake_nvml)

    return make


@pytest.fixture
def memory_group() -> Iterator[Callable[[int, list[str]], list[str]]]:
    """memory_group(bytes, command): the command in a control group of its own that may take so much memory."""
    made: list[Path] = []

    def make(limit: int, command: list[str]) -> list[str]:
        name = f"gpusched-test-{uuid.uuid4().hex}"
        for root, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            folder = Path(root) / name
            try:
                folder.mkdir()
                made.append(folder)
                (folder / file).write_text(str(limit))
            except OSError:
                continue
            swap = folder / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
            return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(folder), *command]
        pytest.skip("no memory control group can be made here")

    try:
        yield make
    finally:
        for folder in made:
            until = time.monotonic() + 10
            while folder.exists() and time.monotonic() < until:
                with contextlib.suppress(OSError):  # Its processes are on their way out.
                    folder.rmdir()
                time.sleep(0.01)
