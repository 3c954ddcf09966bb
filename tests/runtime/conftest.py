"""Searches of real processes: started, watched through their files, killed, and looked for afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gpusched.core.search import Search
from gpusched.runtime.reader import Run
from gpusched.storage.identity import alive
from gpusched.storage.records import Identity
from gpusched.storage.rundir import RunDir
from gpusched.system.sockets import connect

#: A deterministic training. Each epoch stands in the ledger, and waits while there is a file named "hold".
TRAIN = """
import os, time

def note(line):
    fd = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (line + "\\n").encode())
    os.close(fd)

def train(hp, trial):
    lr = hp.Float("lr", 1e-4, 1e-1, sampling="log")
    units = hp.Int("units", 1, 100)
    trial.load_checkpoint()
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        note(f"{trial.id} {epoch + 1} {os.getpid()}")
        while os.path.exists("hold"):
            time.sleep(0.002)
        time.sleep(float(os.environ.get("EPOCH_SECONDS", "0.002")))
        trial.report(val_loss=abs(lr - 0.01) + units / 100 / (epoch + 1))
        trial.save_checkpoint(b"%d" % epoch)
"""

OPTIONS = (
    "--algorithm",
    "hyperband",
    "--objective",
    "val_loss",
    "--max-epochs",
    "9",
    "--cpu-slots",
    "2",
    "--seed",
    "7",
)


def wait(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives, once that is true; a test that waits in vain says for what."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.003)
    return found


class Lab:
    """A folder with a script, and the processes of the search that it describes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.script = folder / "search it.py"
        self.run = RunDir(folder / "runs" / "search it")
        self._token = f"LAB={uuid.uuid4().hex}"
        name, value = self._token.split("=")
        outer = {key: was for key, was in os.environ.items() if not key.startswith(("GPUSCHED", "CUDA"))}
        self.environ = {**outer, name: value, "XDG_STATE_HOME": str(folder / "state"), "TERM": "dumb"}
        self.write(TRAIN)
        self._started: list[subprocess.Popen[bytes]] = []
        self.output = folder / "output.txt"

    def write(self, script: str) -> None:
        self.script.write_text(script)

    # ------------------------------------------------------------------ running

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "gpusched.cli", "run", str(self.script), *(options or OPTIONS)]

    def start(self, *options: str, command: list[str] | None = None, **environ: str) -> subprocess.Popen[bytes]:
        """A scheduler; what it prints goes to `output`, anew."""
        with open(self.output, "wb") as output:
            process = subprocess.Popen(
                command or self.command(*options),
                cwd=self.folder,
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def finish(self, *options: str, command: list[str] | None = None, **environ: str) -> tuple[int, str]:
        """Runs to the end: the exit code, and what it said."""
        code = self.start(*options, command=command, **environ).wait(timeout=120)
        return code, self.said

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def hold(self) -> None:
        """From now on trials stop in the middle of their epoch."""
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    # ------------------------------------------------------------------ looking

    def processes(self) -> list[int]:
        """All that live, but for zombies."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with suppress(OSError):
                    if self._token.encode() in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        found.append(int(entry))
        return found

    def journal(self) -> list[dict[str, Any]]:
        """Its whole lines."""
        with suppress(FileNotFoundError):
            *lines, _ = self.run.journal.read_bytes().split(b"\n")
            return [json.loads(line) for line in lines]
        return []

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.journal() if line["type"] == kind]

    @property
    def search(self) -> Search:
        return Run(self.run).search

    @property
    def ledger(self) -> list[tuple[int, int, int]]:
        """(trial, epoch, pid) of every epoch that was begun."""
        with suppress(FileNotFoundError):
            lines = (self.folder / "ledger").read_text().splitlines()
            return [(int(trial), int(epoch), int(pid)) for trial, epoch, pid in map(str.split, lines)]
        return []

    def ranking(self) -> list[tuple[int, float | None, int]]:
        """(trial, score, epochs), best first."""
        oracle = self.search.oracle
        return [(i, oracle.trials[i].score, oracle.trials[i].epochs) for i in oracle.rank()]

    def trial_pids(self) -> list[int]:
        """Of trials that run, as they say themselves."""
        pids = []
        for trial in self.run.trial_ids():
            with suppress(OSError, ValueError):
                identity = Identity(**json.loads(self.run.trial(trial).process.read_bytes())["identity"])
                if alive(identity):
                    pids.append(identity.pid)
        return pids

    def launchers(self) -> list[int]:
        """Those that serve."""
        files = list(self.run.launcher.glob("*.json")) if self.run.launcher.exists() else []
        return sorted({int(file.stem) for file in files} & set(self.processes()))

    def guardians(self) -> list[int]:
        """Their parents, which mind them."""
        found = []
        for pid in self.launchers():
            with suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_bytes()
                parent = int(stat[stat.rfind(b")") + 2 :].split()[1])
                if b"gpusched.launcher" in Path(f"/proc/{parent}/cmdline").read_bytes():
                    found.append(parent)
        return found

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """What the running search answers to an order."""
        sock = connect(self.run.control)
        assert sock is not None
        with sock, sock.makefile("rb") as answers:
            sock.sendall(json.dumps({"do": do, **details}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

    # ------------------------------------------------------------------ killing

    def kill(self, pids: list[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_everything(self) -> None:
        while left := self.processes():
            self.kill(left)
            for process in self._started:
                process.poll()
        for process in self._started:
            process.wait()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "a 'search' für\u00a0 alle")
    try:
        yield lab
    finally:
        lab.kill_everything()


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[[str], Lab]]:
    labs: list[Lab] = []

    def make(name: str) -> Lab:
        labs.append(Lab(tmp_path / name))
        return labs[-1]

    try:
        yield make
    finally:
        for each in labs:
            each.kill_everything()


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait


@pytest.fixture
def options() -> tuple[str, ...]:
    return OPTIONS


@pytest.fixture
def dice() -> Callable[[int], random.Random]:
    return random.Random
