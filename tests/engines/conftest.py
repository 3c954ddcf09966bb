"""Engines on real processes, one way to make each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpusched.core.events import JobEnded, JobStarted
from gpusched.engines.base import Engine
from gpusched.engines.local import LocalEngine
from gpusched.engines.ray.cluster import Cluster
from gpusched.engines.ray.engine import RayEngine
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.protocol import Load
from gpusched.storage.records import JobSpec, SearchRecord
from gpusched.storage.rundir import RunDir, as_json, write_whole

#: What a trial does stands in its values.
SCRIPT = """
import json, os, signal, subprocess, sys, time

def train(hp, trial):
    do = hp.Choice("do", ["train", "raise", "exit", "crash", "hang", "look", "talk"])
    epochs = hp.Int("epochs", 1, 9)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        (trial.folder / "begun").touch()
        while do == "hang" and not (trial.folder / "go").exists():
            if trial._stop.asked and (trial.folder / "go once asked to stop").exists():
                break
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
        self.work = run  #: where its trials work
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
        """The trial is at work, and was told to have started: from another machine its file may be seen first."""
        begun = self.work.trial(trial).path / "begun"
        await self.until(lambda: begun.exists() and self.started(trial))

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


_RECORD = SearchRecord(algorithm="random", arguments={}, objectives=[], seed=0, space={}, created=1.5)


async def on_ray(place: Place, script: Path, address: str, *, share: bool) -> Engine:
    cluster = Cluster(address, share=share)
    await cluster.join()
    options = {"algorithm": "random", "objective": "val_loss"}
    write_whole(place.run.search, as_json(_RECORD))
    await cluster.begin(place.run.path, f"{_RECORD.created} script", Load(script=str(script), options=options))
    (node,) = cluster.nodes.values()
    assert node.shared is share
    place.work = RunDir(Path(node.scratch))
    return RayEngine(cluster, place.run, place.report, dict.fromkeys(range(16), node.id), lambda: None)


#: By name: how each engine is made, on a run directory with a script beside it.
ENGINES = {"local": local("auto"), "local by spawn": local("spawn")}

Open = Callable[[], contextlib.AbstractAsyncContextManager[Place]]


@pytest.fixture(params=[*ENGINES, "ray", "ray, nothing shared"])
def engines(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """`async with engines() as place`: each time another engine on the same run directory."""
    script = tmp_path / "it's a script.py"
    script.write_text(SCRIPT)
    run = RunDir(tmp_path / "runs" / "it is é")
    run.trials.mkdir(parents=True)

    @contextlib.asynccontextmanager
    async def open_one() -> AsyncIterator[Place]:
        place = Place(run)
        if request.param.startswith("ray"):
            address = request.getfixturevalue("shared_cluster").address
            place.engine = await on_ray(place, script, address, share=request.param == "ray")
        else:
            place.engine = await ENGINES[request.param](place, script)
        try:
            yield place
        finally:
            await place.engine.close()

    return open_one


# ------------------------------------------------------------------ Ray

_CLUSTER = """
import json, sys
from ray.cluster_utils import Cluster
quiet = {"include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **quiet})
nodes = [cluster.head_node]
def say(**told):
    print("@" + json.dumps(told), flush=True)
say(address=cluster.address)
for line in sys.stdin:
    order = line.split()
    if order[0] == "add":
        nodes.append(cluster.add_node(num_cpus=1))
    elif order[0] == "remove":
        cluster.remove_node(nodes.pop(int(order[1])), allow_graceful=False)
    elif order[0] == "end":
        break
    say(nodes=[node.node_id for node in nodes])
cluster.shutdown()
"""


class RayCluster:
    """Orders go to its process: `add`, `remove`."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        environ = {
            **(os.environ if environ is None else environ),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._log = open(folder / "cluster.txt", "w")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environ,
        )
        self.address: str = self._answer()["address"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):
                told: dict[str, Any] = json.loads(line[1:])
                return told
        raise AssertionError("the cluster's process has ended; see cluster.txt")

    def _ask(self, order: str) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        nodes: list[str] = self._answer()["nodes"]
        return nodes

    def add(self) -> list[str]:
        return self._ask("add")

    def remove(self, number: int) -> list[str]:
        """Kills a node, all its processes at once."""
        return self._ask(f"remove {number}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("end\n")
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """One node, for all tests that leave it as it is."""
    pytest.importorskip("ray")
    made = RayCluster(tmp_path_factory.mktemp("ray"))
    yield made
    made.close()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., RayCluster]]:
    """make_cluster(environ): one node; `add()` gives it more."""
    pytest.importorskip("ray")
    made: list[RayCluster] = []

    def make(environ: dict[str, str] | None = None) -> RayCluster:
        made.append(RayCluster(tmp_path, environ))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cluster(make_cluster: Callable[..., RayCluster]) -> RayCluster:
    return make_cluster()
