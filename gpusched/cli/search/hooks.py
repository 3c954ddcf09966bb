"""Calls the hooks of a script's tuner during `gpusched run`, whose own process has none of the user's code.

A process more executes the script up to its search(), as the launcher does, and is then told which hook to call with
which trial, one line each. It sees no GPU. What the hooks print is told line by line; their errors as well, and the
search goes on.

`python -m gpusched.cli.search.hooks`: that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gpusched.runtime.view import View
from gpusched.storage.rundir import RunDir
from gpusched.system.process.kernel import END_SECONDS, die_with
from gpusched.trials import Trial
from gpusched.tuners.calling import Calling

#: Ends what a call has printed.
_DONE = "\x1e"
#: Of a search that was interrupted: what is still to be called gets so long.
_GRACE_SECONDS = 10.0
#: … and its process so long for what the script does at its exit.
_EXIT_SECONDS = 10.0


class Following(Calling):
    """`view`, and the hooks of the script's tuner beside it."""

    def __init__(self, view: View, script: Path, argv: list[str]) -> None:
        self._remote = Remote(script, argv, self._say)
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(self._remote, view)

    def hooks(self, names: list[str]) -> None:
        self._remote.names = names

    def started(self, run: RunDir) -> None:
        super().started(run)
        self._loop = asyncio.get_running_loop()
        if self._remote.names:
            self._remote.start(run.path)
            self.begin()

    def close(self, code: int | None) -> None:
        """The search has ended with this exit code; None: by an error."""
        self._loop = None
        if code == 0 and self._remote.names:
            self.end()
        self._remote.close(None if code == 0 else _GRACE_SECONDS)

    def _say(self, line: str) -> None:
        """Called in the thread of the remote."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
                loop.call_soon_threadsafe(self.message, line)
                return
        self.message(line)


class Remote:
    """A tuner in a process of its own, as far as its hooks go: calls are made there, in their order."""

    def __init__(self, script: Path, argv: list[str], say: Callable[[str], None]) -> None:
        self.names: list[str] = []
        self._script, self._argv, self._say = script, argv, say
        self._calls: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._work, name="gpusched hooks", daemon=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.names:
            raise AttributeError(name)
        return partial(self._call, name)

    def _call(self, name: str, trial: Trial | None = None) -> None:
        self._calls.put({"hook": name, "trial": None if trial is None else trial.get_state()})

    def start(self, run: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gpusched.cli.search.hooks", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        self._calls.put({"script": str(self._script), "argv": self._argv, "run": str(run)})
        self._thread.start()

    def close(self, seconds: float | None) -> None:
        """Waits until all calls are made, or for so long; then ends the process."""
        process = self._process
        if process is None:
            return
        self._calls.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            process.kill()
        try:
            process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)

    def _work(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError), process.stdin, process.stdout:
            while (call := self._calls.get()) is not None:
                process.stdin.write(json.dumps(call) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    if line.rstrip("\n").endswith(_DONE):
                        break
                    self._say(line.rstrip("\n"))


# ---------------------------------------------------------------------------- the process


def main() -> None:
    die_with(int(sys.argv[1]))
    orders = os.fdopen(os.dup(0), encoding="utf-8")
    sys.stdin = open(os.devnull)  # noqa: SIM115
    first = json.loads(orders.readline())
    tuner = _tuner(Path(first["script"]), first["argv"], Path(first["run"]))
    _done()
    for line in orders:
        call = json.loads(line)
        trial = () if call["trial"] is None else (Trial.from_state(call["trial"]),)
        try:
            getattr(tuner, call["hook"])(*trial)
        except Exception:
            print(f"{type(tuner).__name__}.{call['hook']} has failed; the search goes on")
            traceback.print_exc()
        _done()


def _tuner(script: Path, argv: list[str], run: Path) -> Any:
    """The script's tuner, over the run that the command works on."""
    from gpusched.trial.task import load_script

    with contextlib.redirect_stdout(None):  # What the script prints, the launcher's log has.
        tuner: Any = load_script(script, argv).tuner
    tuner.asked.directory, tuner.asked.project_name, tuner.asked.overwrite = str(run.parent), run.name, False
    return tuner


def _done() -> None:
    sys.stderr.flush()
    print(_DONE, flush=True)


if __name__ == "__main__":
    main()
