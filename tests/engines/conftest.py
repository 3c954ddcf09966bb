"""Engines on real processes, one way to make each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.core.events import JobEnded, JobStarted
from gpusched.engines.base import Engine
from gpusched.engines.local import LocalEngine
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Load
from gpusched.storage.records import JobSpec
from gpusched.storage.rundir import RunDir

#: What a trial does stands in its values.
SCRIPT = """
import json, os, signal, subprocess, sys, time

def train(hp, trial):
    do = hp.Choice("do", ["train", "raise", "exit", "crash", "hang", "look", "talk"])
    epochs = hp.Int("epochs", 1, 9)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        (trial.folder / "begun").touch()
        while do == "hang" and not (trial.folder / "go").exists():
            time.sleep(0.002)
        if do == "raise":
            raise ValueError("odd")
        if do == "exit":
            os._exit(3)
        if do == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if do == "look":
            targets = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                       if os.path.exists(f"/proc/self/fd/{fd}")}
            seen = {"environ": dict(os.environ), "pid": os.getpid(), "sid": os.getsid(0), "pgid": os.getpgid(0),
                    "cores": sorted(os.sched_getaffinity(0)), "fds": targets,
                    "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN}
            (trial.folder / "seen.json").write_text(json.dumps(seen))
        if do == "talk":
            print("from Python, without an end", end="")
            print(" to stderr", file=sys.stderr)
            os.write(1, b"from the system\\n")
            subprocess.run(["echo", "from a child"])
            sys.__stdout__.write("to the first stdout\\n")
            sys.__stdout__.flush()
            print("\\ud800 last words", end="")
            os._exit(0)
        trial.report(val_loss=1 / (epoch + 1))
        trial.save_checkpoint(b"")
"""


class Place:
    """An engine, and what it reports."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.engine: Engine
        self.reports: list[JobStarted | JobEnded] = []
        self._changed = asyncio.Event()

    def report(self, event: JobStarted | JobEnded) -> None:
        self.reports.append(event)
        self._changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):  # Files change without a report.
                    await asyncio.wait_for(self._changed.wait(), 0.01)

    def ends(self, trial: int) -> list[JobEnded]:
        return [event for event in self.reports if isinstance(event, JobEnded) and event.trial == trial]

    def started(self, trial: int) -> list[JobStarted]:
        return [event for event in self.reports if isinstance(event, JobStarted) and event.trial == trial]

    async def end_of(self, trial: int) -> JobEnded:
        await self.until(lambda: self.ends(trial))
        return self.ends(trial)[-1]

    async def begun(self, trial: int) -> None:
        await self.until((self.run.trial(trial).path / "begun").exists)

    def spec(self, trial: int, do: str = "train", **fields: Any) -> JobSpec:
        given = {
            "run": str(self.run.path),
            "trial": trial,
            "attempt": 1,
            "values": {"do": do, "epochs": 3},
            "start_epoch": 0,
            "stop_epoch": 2,
            "seed": 0,
            "env": {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "-1"},
            "space": SPACE,
        }
        return JobSpec(**given | fields)


SPACE = {
    "space": [
        {
            "class_name": "Choice",
            "config": {
                "name": "do",
                "default": "train",
                "conditions": [],
                "values": ["train", "raise", "exit", "crash", "hang", "look", "talk"],
                "ordered": False,
            },
        },
        {
            "class_name": "Int",
            "config": {
                "name": "epochs",
                "default": None,
                "conditions": [],
                "min_value": 1,
                "max_value": 9,
                "step": 1,
                "sampling": "linear",
            },
        },
    ],
    "values": {},
}


async def a_launcher(run: RunDir, script: Path, mode: str = "auto") -> LauncherClient:
    options = {"algorithm": "random", "objective": "val_loss"}
    launcher = await LauncherClient.start(Load(script=str(script), options=options, mode=mode))
    await launcher.loaded()
    await launcher.begin(run)
    return launcher


def local(mode: str) -> Callable[[Place, Path], Awaitable[Engine]]:
    async def make(place: Place, script: Path) -> Engine:
        launcher = await a_launcher(place.run, script, mode)
        return LocalEngine(place.run, launcher, place.report, lambda: a_launcher(place.run, script, mode))

    return make


#: By name: how each engine is made, on a run directory with a script beside it.
ENGINES = {"local": local("auto"), "local by spawn": local("spawn")}

Open = Callable[[], contextlib.AbstractAsyncContextManager[Place]]


@pytest.fixture(params=ENGINES)
def engines(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with engines() as place`: each time another engine on the same run directory."""
    script = tmp_path / "it's a script.py"
    script.write_text(SCRIPT)
    run = RunDir(tmp_path / "runs" / "it is é")
    run.trials.mkdir(parents=True)

    @contextlib.asynccontextmanager
    async def open_one() -> AsyncIterator[Place]:
        place = Place(run)
        place.engine = await ENGINES[request.param](place, script)
        try:
            yield place
        finally:
            await place.engine.close()

    return open_one
