"""What tests of several folders share."""

from __future__ import annotations

import heapq
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpusched.core.commands import AnyCommand, Finish, Interrupt, Launch
from gpusched.core.events import AnyEvent, JobEnded, JobStarted, SessionClosed, SessionOpened, SlotInfo
from gpusched.core.outcome import End, Failure
from gpusched.devices import Inventory
from gpusched.hyperparameters import HyperParameters
from gpusched.runtime.reader import Run
from gpusched.storage import metrics
from gpusched.storage.journal import Journal
from gpusched.storage.records import SearchRecord, TrialRecord
from gpusched.storage.rundir import RunDir, as_json, write_whole

GIB = 2**30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In several processes a file's tests stay together, and so do all that start Ray: one cluster is enough."""
    root = Path(__file__).parent
    for item in items:
        parts = item.path.relative_to(root).parts
        item.add_marker(pytest.mark.xdist_group("engines" if parts[0] == "engines" else "/".join(parts)))


# Below nohup every program starts with a lost terminal ignored; what is tested is to start as people start it. A
# handler is not inherited, and lets this process live on.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
_DRIVER = Path(__file__).parent / "devices" / "nvml" / "nvml.c"


class FakeNvml:
    """A driver from a file: change `state`, call `save`, and every process with `environ` sees it.

    nvml.c says what the state may hold. A process finds the library when it starts, so detection runs
    in processes of its own: `python`, `inventory`, or any command started with `environ`.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self.file = folder / "nvml.json"
        #: A file <pid> with "<uuid> <bytes>" in it is a compute process while that process lives.
        self.processes = folder / "nvml processes"
        self.processes.mkdir()
        self.state: dict[str, Any] = {"driver": "580.65.06", "cuda": 13000, "errors": {}, "devices": [], "events": []}
        paths = [str(library), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        own = {
            "LD_LIBRARY_PATH": ":".join(paths),
            "FAKE_NVML": str(self.file),
            "FAKE_NVML_PROCESSES": str(self.processes),
        }
        outer = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
        self.environ: dict[str, str] = outer | own
        self.save()

    @property
    def devices(self) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = self.state["devices"]
        return devices

    def add(self, count: int = 1, **fields: Any) -> None:
        """Put GPUs on the machine: sound, idle, all figures given, unless `fields` say otherwise."""
        for number in range(len(self.devices), len(self.devices) + count):
            device = {
                "uuid": f"GPU-{number:08x}-0000-4000-8000-{number:012x}",
                "name": "NVIDIA Test 24GB",
                "bus": f"00000000:{16 * (number + 1):02X}:00.0",
                "total": 24 * GIB,
                "used": 0,
                "utilisation": 0,
                "temperature": 35,
                "milliwatts": 55500,
                "compute_mode": 0,
                "ecc": 0,
                "compute": [],
                "graphics": [],
                "errors": {},
            }
            self.devices.append(device | fields)
        self.save()

    def save(self) -> None:
        """Show `state` to everyone, whole."""
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps(self.state), encoding="utf-8")
        aside.replace(self.file)

    def python(self, code: str, *arguments: str, **environ: str) -> str:
        """What a Python program prints on this machine; fails with its traceback if it fails."""
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=self.environ | environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def inventory(self, **environ: str) -> Inventory:
        """What gpusched finds here."""
        code = "import runpy; runpy.run_module('gpusched.devices', run_name='__main__')"
        return msgspec.json.decode(self.python(code, **environ), type=Inventory)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libnvidia-ml.so.1, built from tests/devices/nvml by the system's compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the test driver with")
    folder = tmp_path_factory.mktemp("nvml")
    built = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(built), str(_DRIVER), "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def fake_nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    """A machine with an NVIDIA driver and no GPU yet: `fake_nvml.add(4)` puts four in."""
    return FakeNvml(nvml_library, tmp_path)


@pytest.fixture
def make_fake_nvml(nvml_library: Path, tmp_path: Path) -> Callable[[str], FakeNvml]:
    """Several such machines, by name."""

    def make(name: str) -> FakeNvml:
        folder = tmp_path / name
        folder.mkdir()
        return FakeNvml(nvml_library, folder)

    return make


class MadeRun:
    """A run directory as a scheduler leaves it, without processes: an epoch takes a second of a clock that is counted.

    The objective is `val_accuracy`, which grows with the epochs and with `units`. Trials in `failing` raise.
    """

    def __init__(self, path: Path, *, slots: int, failing: frozenset[int], record: SearchRecord) -> None:
        self.dir = RunDir(path)
        path.mkdir(parents=True)
        write_whole(self.dir.search, as_json(record))
        self.journal = Journal(self.dir.journal)
        self.run = Run(self.dir)
        self.failing = failing
        self._ends: list[tuple[float, int, Launch]] = []
        places = [SlotInfo(index=i, devices=("cpu",), label=f"cpu {i}") for i in range(slots)]
        opened = {"wall": 1_700_000_000.0, "pid": os.getpid(), "max_trials": record.arguments.get("max_trials")}
        self.handle(SessionOpened(at=0.0, slots=places, **opened))

    def handle(self, event: AnyEvent) -> list[AnyCommand]:
        """Decides, journals, and acts: a launch makes the trial's folder."""
        decided = self.run.search.handle(event)
        self.journal.append([event, *(command for command in decided if not isinstance(command, Finish))])
        self.run.note(event, decided)
        for command in decided:
            if isinstance(command, Launch):
                self._launch(command)
            elif isinstance(command, Interrupt):
                self._ends = [end for end in self._ends if end[2].trial != command.trial]
                trial = self.run.search.trials[command.trial]
                self.handle(JobEnded(at=event.at, trial=trial.id, attempt=trial.attempt, end=End.INTERRUPTED, epochs=0))
        return decided

    def _launch(self, launch: Launch) -> None:
        folder = self.dir.trial(launch.trial)
        folder.path.mkdir(parents=True, exist_ok=True)
        write_whole(folder.record, as_json(TrialRecord(trial=launch.trial, values=launch.values)))
        end = self.run.search.at + launch.stop_epoch - launch.start_epoch
        heapq.heappush(self._ends, (end, launch.trial, launch))
        self.handle(JobStarted(at=self.run.search.at, trial=launch.trial, attempt=launch.attempt, pid=os.getpid()))

    def score(self, launch: Launch, epoch: int) -> float:
        return 1 - 1 / (1 + 0.01 * launch.values["units"] * epoch)

    def train(self, launch: Launch, epochs: int | None = None) -> list[float]:
        """Reports some epochs of a job, or all."""
        folder = self.dir.trial(launch.trial)
        stop = launch.stop_epoch if epochs is None else launch.start_epoch + epochs
        scores = []
        for epoch in range(launch.start_epoch + 1, stop + 1):
            scores.append(self.score(launch, epoch))
            line = {"epoch": epoch, "loss": 1 / epoch, "val_accuracy": scores[-1], "seconds": 1.0}
            metrics.append(folder.metrics, line)
            with open(folder.log, "a", encoding="utf-8") as log:
                log.write(f"epoch {epoch}: val_accuracy {scores[-1]:.4f}\n")
        return scores

    @property
    def out(self) -> list[Launch]:
        """The jobs in training, the next to end first."""
        return [launch for _, _, launch in sorted(self._ends, key=lambda end: end[:2])]

    def step(self) -> bool:
        """Ends one job. False where none is out."""
        if not self._ends:
            return False
        at, _, launch = heapq.heappop(self._ends)
        ended = {"at": at, "trial": launch.trial, "attempt": launch.attempt}
        if launch.trial in self.failing:
            failure = Failure(
                kind="ValueError", message="units is odd", traceback="Traceback …\nValueError: units is odd"
            )
            self.handle(JobEnded(**ended, end=End.FAILED, epochs=launch.start_epoch, failure=failure))
        else:
            scores: list[float | None] = [*self.train(launch)]
            end = JobEnded(**ended, end=End.COMPLETED, epochs=launch.stop_epoch, scores={"val_accuracy": scores})
            self.handle(end)
        return True

    def finish(self) -> MadeRun:
        """Trains everything, and closes the session."""
        while self.step():
            pass
        finish = self.run.search._finish()
        assert finish is not None
        self.handle(SessionClosed(at=self.run.search.at, reason=finish.reason, code=finish.code))
        return self


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., MadeRun]:
    """make_run(name, slots=2, failing={3}, algorithm="random", **arguments of the oracle)"""

    def make(
        name: str = "digits",
        *,
        slots: int = 2,
        failing: frozenset[int] | set[int] = frozenset(),
        algorithm: str = "hyperband",
        seed: int = 0,
        space: HyperParameters | None = None,
        **arguments: Any,
    ) -> MadeRun:
        hp = space or HyperParameters()
        if space is None:
            hp.Int("units", 16, 256, step=16)
            hp.Float("learning rate", 1e-4, 1e-1, sampling="log")
        record = SearchRecord(
            algorithm=algorithm,
            arguments=arguments or {"max_epochs": 9, "factor": 3},
            objectives=[{"name": "val_accuracy", "direction": "max"}],
            seed=seed,
            space=hp.get_config(),
            script=str(tmp_path / "digits.py"),
        )
        return MadeRun(tmp_path / "runs" / name, slots=slots, failing=frozenset(failing), record=record)

    return make
