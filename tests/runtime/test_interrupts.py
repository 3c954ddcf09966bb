"""Ctrl-C, SIGTERM and a lost terminal, on real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_ends_epochs_and_keeps_them(lab: Any, until: Callable[..., Any], number: int) -> None:
    """Running trials report and save their epoch, nothing new starts, the exit code is 130, and no process is left."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    scheduler.send_signal(number)
    until("the request", lambda: lab.events("stop_asked"))
    lab.let_go()
    assert scheduler.wait(60) == 130
    assert lab.processes() == []
    ends = lab.events("job_ended")
    assert sorted((end["trial"], end["epochs"]) for end in ends) == [(0, 1), (1, 1)]
    assert lab.events("session_closed")[-1]["code"] == 130
    assert lab.finish()[0] == 0
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75


def test_a_second_signal_kills(lab: Any, until: Callable[..., Any]) -> None:
    """Trials that do not come to the end of their epoch are killed; the search can be carried on."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    scheduler.send_signal(signal.SIGINT)
    until("the request", lambda: lab.events("stop_asked"))
    scheduler.send_signal(signal.SIGINT)
    assert scheduler.wait(60) == 130
    assert lab.processes() == []
    assert [end["end"] for end in lab.events("job_ended")] == ["interrupted", "interrupted"]
    lab.let_go()
    assert lab.finish()[0] == 0


def test_a_lost_terminal_detaches(lab: Any, until: Callable[..., Any]) -> None:
    """After SIGHUP the search goes on to its end, and says so in scheduler.log."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    scheduler.send_signal(signal.SIGHUP)
    until("the log", lab.run.log.exists)
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert "search ended: complete" in lab.run.log.read_text()
    assert "search ended" not in lab.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_a_load_ends_at_once(lab: Any, until: Callable[..., Any], number: int) -> None:
    """Ctrl-C while load_data works for hours ends everything promptly, what load_data started included."""
    lab.write("""
import subprocess, time
def train(hp, trial):
    hp.Float("x", 0, 1)
    trial.report(val_loss=1.0)
def load_data():
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    open("loading", "w").close()
    time.sleep(1000)
""")
    scheduler = lab.start()
    until("load_data", (lab.folder / "loading").exists)
    scheduler.send_signal(number)
    assert scheduler.wait(20) == 130
    assert lab.processes() == []
    assert "Traceback" not in lab.said
    assert not lab.run.search.exists()


def test_a_scheduler_killed_while_loading_leaves_no_launcher(lab: Any, until: Callable[..., Any]) -> None:
    """A launcher that still loads is wanted by nobody once its scheduler is dead."""
    lab.write("""
import time
def train(hp, trial): ...
def load_data():
    open("loading", "w").close()
    time.sleep(1000)
""")
    scheduler = lab.start()
    until("load_data", (lab.folder / "loading").exists)
    scheduler.kill()
    scheduler.wait()
    until("an empty machine", lambda: lab.processes() == [])


def test_no_grandchild_outlives_an_interrupted_search(lab: Any, until: Callable[..., Any]) -> None:
    """Daemons of user code, in sessions of their own and with an environment of their own, end with their trial."""
    seconds = f"1001.{os.getpid()}"
    lab.write(
        """
import os, subprocess, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open(f"daemon {os.getpid()}", "w").close()
            time.sleep(1000)
        os._exit(0)
    os.wait()
def train(hp, trial):
    hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        daemon()
        subprocess.Popen(["setsid", "sleep", "1000"])
        subprocess.Popen(["env", "-i", "sh", "-c", "setsid sleep SECONDS &"])
        open(f"{trial.id} is ready", "w").close()
        time.sleep(1000)
""".replace("SECONDS", seconds)
    )
    scheduler = lab.start("--algorithm", "random", "--max-trials", "2", "--cpu-slots", "2")
    until("both trials", lambda: len(list(lab.folder.glob("* is ready"))) == 2)
    until("their daemons", lambda: len(list(lab.folder.glob("daemon *"))) == 2)
    bare = until("the bare ones", lambda: len(named := sleeping(seconds)) == 2 and named)
    scheduler.send_signal(signal.SIGINT)
    until("the request", lambda: lab.events("stop_asked"))
    scheduler.send_signal(signal.SIGINT)
    assert scheduler.wait(60) == 130
    assert lab.processes() == []
    assert not set(bare) & set(sleeping(seconds))


def sleeping(seconds: str) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if Path(f"/proc/{entry}/cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                    found.append(int(entry))
    return found
