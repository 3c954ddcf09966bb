"""What cannot be ended, or does not answer, in real searches: nothing waits for it without limit."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

FEW = ("--algorithm", "random", "--objective", "val_loss", "--max-trials", "2", "--max-epochs", "2", "--cpu-slots", "2")


class Freezer:
    """A control group of version 1 that is frozen: SIGKILL does not end its processes until it thaws."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def freeze(self, pid: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(pid))
        (self._folder / "freezer.state").write_text("FROZEN")

    def thaw(self) -> None:
        (self._folder / "freezer.state").write_text("THAWED")

    def close(self) -> None:
        self.thaw()
        for pid in (self._folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def freezer(until: Callable[..., Any]) -> Iterator[Freezer]:
    folder = Path("/sys/fs/cgroup/freezer", f"gpusched-test-{os.getpid()}")
    if not os.access(folder.parent, os.W_OK):
        pytest.skip("no freezer of version 1 that this user may use (cgroup v1, root)")
    made = Freezer(folder)
    try:
        yield made
    finally:
        made.close()
        until("an empty group", lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def test_a_third_signal_ends_it_beside_a_trial_that_cannot_be_killed(
    lab: Any, until: Callable[..., Any], freezer: Freezer
) -> None:
    """Exit code 130 with the process named; it is dead once the kernel lets it, and the search goes on from there."""
    lab.hold()
    scheduler = lab.start(*FEW)
    until("two trials in training", lambda: len(lab.ledger) == 2)
    pid = lab.trial_pids()[0]
    freezer.freeze(pid)
    for times in (1, 2):
        scheduler.send_signal(signal.SIGINT)
        until("the request", lambda times=times: len(lab.events("stop_asked")) == times)
    scheduler.send_signal(signal.SIGINT)
    assert scheduler.wait(60) == 130
    assert f"process {pid} cannot be ended (it is stuck in the kernel or frozen)" in lab.said
    assert lab.events("session_closed")[-1]["code"] == 130
    assert lab.processes() == [pid]
    freezer.thaw()
    until("an empty machine", lambda: lab.processes() == [])
    lab.let_go()
    assert lab.finish(*FEW)[0] == 0


def test_a_copy_that_is_frozen_does_not_hold_a_script_up(lab: Any, until: Callable[..., Any], freezer: Freezer) -> None:
    """The script goes on behind its search(), though what its launcher was forked of cannot be ended."""
    lab.write("""
import gpusched as gs, os, time
def train(hp, trial):
    hp.Float("x", 0, 1)
    open("begun", "w").close()
    while not os.path.exists("frozen"):
        time.sleep(0.01)
    trial.report(val_loss=1.0)
gs.RandomSearch(train=train, objective="val_loss", max_epochs=1, max_trials=1, cpu_slots=1).search()
print("behind it")
os._exit(0)
""")
    script = lab.start(command=[sys.executable, str(lab.script)])
    until("a trial", (lab.folder / "begun").exists)
    (copy,) = map(int, Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text().split())
    freezer.freeze(copy)
    (lab.folder / "frozen").touch()
    assert script.wait(60) == 0
    assert "behind it" in lab.said


BOMB = """
import os, time
def bomb():
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            pass

def train(hp, trial):
    hp.Float("x", 0, 1)
    if trial.id == 0:
        if os.fork() == 0:
            bomb()
        try:
            while True:
                os.fork() or os._exit(0)
        except OSError:
            raise ValueError("no process is left")
    if trial.id == 1:
        child = os.fork()
        if not child:
            os.setsid()
            os.setuid(0)
            open(f"root's {os.getpid()}", "w").close()
            time.sleep(1000)
        while not os.path.exists(f"root's {child}"):
            time.sleep(0.01)
    trial.report(val_loss=1.0)
"""


def test_a_fork_bomb_and_a_process_of_root_hold_nobody_up(lab: Any) -> None:
    """A bomb ends with its trial, each of its processes in a session of its own; what root alone may kill is named."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("a user that has no other processes: root makes it one, by setpriv")
    with tempfile.TemporaryDirectory() as folder:  # One that the user may enter.
        os.chmod(folder, 0o755)
        bombed = type(lab)(Path(folder, "lab"))
        bombed.write(BOMB)
        os.chown(bombed.folder, 65533, 65533)
        command = [
            *("setpriv", "--reuid=65533", "--clear-groups"),
            *(f"--{kind}-caps=+dac_read_search,+dac_override,+setuid" for kind in ("inh", "ambient")),
            *("bash", "-c", 'ulimit -u 60; exec "$@"', "bash"),
            *bombed.command(*FEW[:-4], "--max-epochs", "1", "--cpu-slots", "1"),
        ]
        try:
            code, said = bombed.finish(command=command)
            assert code == 0, said
            assert "Traceback" not in said
            assert [end["end"] for end in bombed.events("job_ended") if end["trial"] == 1] == ["completed"]
            (file,) = bombed.folder.glob("root's *")
            pid = int(file.name.split()[1])
            assert f"process {pid} cannot be ended (it is user 0's)" in said
            assert bombed.processes() == [pid]
        finally:
            bombed.kill_everything()
