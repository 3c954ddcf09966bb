"""One search in a folder of its own, with all its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from searches import MEANT, Search

from gpusched.storage.identity import stat_of
from gpusched.storage.reading import read
from gpusched.storage.rundir import RunDir

#: Words that no output may have.
BAD = ("Traceback (most recent call last)", "Exception ignored in", "Task was destroyed", "Fatal Python error")


NOTHING: Mapping[str, str] = {}


class Stage:
    """Where a search plays. Its processes are known by a variable of their environment."""

    def __init__(self, folder: Path, search: Search, environ: Mapping[str, str] = NOTHING) -> None:
        self.folder, self.search = folder, search
        folder.mkdir(parents=True)
        self.script = folder / "search.py"
        self.script.write_text(search.script())
        self.runs = folder / "runs"
        self.run = RunDir(self.runs / "search")
        self.output = folder / "output.txt"
        self._token = f"SOAK={uuid.uuid4().hex}"
        name, value = self._token.split("=")
        kept = {key: was for key, was in os.environ.items() if not key.startswith(("GPUSCHED", "CUDA", "SOAK"))}
        self._environ = {**kept, name: value, "XDG_STATE_HOME": str(folder / "state"), "TERM": "dumb"}
        self._environ.update(environ)
        self.patience = 180.0  #: seconds within which a session has to end
        self.wrong: list[str] = []  #: what a fault has found wrong itself
        self.touched: set[Path] = set()  #: files that a fault has laid hands on
        self.close: Callable[[], None] = lambda: None  #: undoes what a fault has set up

    def start(self) -> subprocess.Popen[bytes]:
        """The search's next session."""
        command = {"run": ["-m", "gpusched.cli", "run", str(self.script)], "python": [str(self.script)]}[
            self.search.way
        ]
        with open(self.output, "ab") as file:
            file.write(b"-- session\n")
            file.flush()
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def look(self, words: Sequence[str], seconds: float) -> str | None:
        """A command that reads the run, whatever is done to it meanwhile; what is wrong with it, if anything."""
        command = [sys.executable, "-m", "gpusched.cli", words[0], str(self.run.path), *words[1:]]
        kept = {key: value for key, value in self._environ.items() if key != "SOAK"}
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=kept, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return f"gpusched {' '.join(words)}: no end after {seconds:.0f} s"
        said = done.stdout + done.stderr
        if any(bad in said for bad in BAD) or done.returncode not in (0, 1, 2):
            return f"gpusched {' '.join(words)}: exit {done.returncode}; {said[-300:]}"
        return None

    # ------------------------------------------------------------------ processes

    def processes(self) -> list[int]:
        """All that live, the scheduler's included."""
        found = []
        token = self._token.encode()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if token in Path(f"/proc/{name}/environ").read_bytes().split(b"\0") and state_of(int(name)) not in "ZX":
                    found.append(int(name))
        return found

    def trials(self) -> list[int]:
        """Processes that train."""
        named = set()
        for trial in self.run.trial_ids():
            record = read(self.run.trial(trial).process, dict[str, Any])
            if isinstance(record, dict):
                identity = record.get("identity", record)
                named.add(identity.get("pid") if isinstance(identity, dict) else None)
        return [pid for pid in self.processes() if pid in named]

    def helpers(self, scheduler: int) -> list[int]:
        """Launchers, guardians, waiting copies: neither the scheduler nor a trial."""
        trials = set(self.trials())
        return [pid for pid in self.processes() if pid != scheduler and pid not in trials]

    def quiet(self, seconds: float) -> list[str]:
        """Waits until no process is left; those that are left then, in words."""
        until = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > until:
                return [describe(pid) for pid in left]
            time.sleep(0.05)
        return []

    def end(self) -> None:
        """Kills what is left."""
        for _ in range(100):
            left = self.processes()
            if not left:
                break
            for pid in left:
                send(pid, signal.SIGKILL)
            time.sleep(0.05)
        self.close()

    # ------------------------------------------------------------------ what was said

    def said(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def last_session(self) -> list[str]:
        return [line for line in self.said().rpartition("-- session\n")[2].splitlines() if line]

    def tracebacks(self, *, in_logs: bool) -> list[str]:
        """Where words stand that should not, with what follows them. `in_logs`: in those of trials too."""
        files = [self.output, self.run.log, *self.run.launcher.rglob("*.txt"), *self.run.launcher.rglob("*.log")]
        if in_logs:
            files += [self.run.trial(trial).log for trial in self.run.trial_ids()]
        found = []
        for file in files:
            with contextlib.suppress(OSError):
                text = file.read_text(errors="replace")
                for bad in BAD:
                    for part in text.split(bad)[1:]:
                        lines = part.splitlines()
                        last = next((line for line in lines[1:] if line and not line.startswith(" ")), "")
                        # Before search() a script is Python's to interrupt, which says so in its own way.
                        by_python = last == "KeyboardInterrupt" and self.search.way == "python"
                        if MEANT not in last and not by_python:
                            found.append(f"{file.name}: {bad} … {last[:200]}")
        return found


def state_of(pid: int) -> str:
    """R, S, D, T, Z …; X where there is none."""
    try:
        return stat_of(pid)[0].decode()
    except OSError:
        return "X"


def describe(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({state_of(pid)}): {command[:120]}"


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
