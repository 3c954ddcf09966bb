"""`gpusched run` and what acts on it, with real processes and a loop without Keras."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import os
import time
import gpusched as gs

def train(hp, trial):
    x = hp.Int("x", 1, 50)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        print(f"epoch {epoch + 1} of x={x}", flush=True)
        time.sleep({seconds})
        while os.path.exists("hold"):
            time.sleep(0.01)
        trial.report(loss=x / (epoch + 1))
        trial.save_checkpoint(b"state")

tuner = gs.RandomSearch(train=train, objective="loss", max_trials={trials}, max_epochs=3, seed=1,
                        directory="runs", project_name="fast one", cpu_slots=2)
if __name__ == "__main__":
    tuner.search()
"""


class Shell:
    """Commands in a folder of one's own, with a home of one's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_path = folder / "runs" / "fast one"
        self.environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm"}
        self._started: list[subprocess.Popen[Any]] = []

    def script(self, seconds: float = 0.01, trials: int = 4) -> Path:
        path = self.folder / "search me.py"
        path.write_text(SCRIPT.replace("{seconds}", str(seconds)).replace("{trials}", str(trials)))
        return path

    def argv(self, *words: object) -> list[str]:
        return [sys.executable, "-P", "-m", "gpusched.cli", *map(str, words)]

    def __call__(self, *words: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words), cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=timeout
        )

    def start(self, *words: object, **keywords: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(self.argv(*words), cwd=self.folder, env=self.environ, **keywords)
        self._started.append(process)
        return process

    def status(self) -> dict[str, Any]:
        said = self("status", "--json")
        facts: dict[str, Any] = json.loads(said.stdout) if said.returncode == 0 else {"state": "none"}
        return facts

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """The status, once it is so; fails after a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            facts = self.status()
            if condition(facts):
                return facts
            time.sleep(0.1)
        raise AssertionError(facts)

    def end(self) -> None:
        facts = self.status()
        if facts.get("pid"):
            self("stop", "--yes", "--now")
            self.until(lambda facts: facts["pid"] is None)
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "it's a föld er"
    folder.mkdir()
    made = Shell(folder)
    yield made
    made.end()


def test_a_search_tells_one_line_an_event_where_there_is_no_terminal(shell: Shell) -> None:
    """Starts and ends of trials, a summary, exit code 0, no control characters."""
    done = shell("run", shell.script())
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert sum(": epochs 1 to 3 on cpu" in line for line in lines) == 4
    assert sum("after 3 epochs" in line for line in lines) == 4
    assert any(" · 4 trials, 12 epochs · 2 slots (" in line for line in lines[:3])
    assert lines[-3].endswith("search ended: complete")
    assert lines[-2].startswith("4 trials, 12 epochs in ")
    assert lines[-1] == "`gpusched best` shows the best trials, `gpusched report` makes a page of it all"
    assert not any(ord(character) < 32 for line in lines for character in line)
    again = shell("run", shell.script())
    assert again.returncode == 0
    assert "epochs 1 to 3" not in again.stdout


def test_lines_after_search_are_named_with_the_command_that_runs_them(shell: Shell) -> None:
    """That command reads the results, trains nothing and goes on."""
    script = shell.script(trials=2)
    text = script.read_text().replace("import os\n", "import os, sys\n")
    script.write_text(text + "    print('behind', sys.argv[1], len(tuner.results()))\n")
    done = shell("run", script.name, "--", "it's")
    line = len(script.read_text().splitlines())
    assert done.stdout.splitlines()[-1] == (
        f"the lines after search() were not run (line {line} and what follows); "
        """`python 'search me.py' 'it'"'"'s'` runs them with the results of this search"""
    )
    again = subprocess.run(
        [sys.executable, script.name, "it's"], cwd=shell.folder, env=shell.environ, capture_output=True, text=True
    )
    said = again.stdout.splitlines()
    assert said[-1] == "behind it's 6", again.stderr
    assert any(each.startswith("The search is complete: its results are read") for each in said)
    assert not any("Running Trial" in each for each in said)


def test_in_the_background_it_is_attached_to_followed_and_stopped(shell: Shell) -> None:
    """`run -d` says where it runs and returns; others join it from anywhere; `stop` ends it with code 130."""
    started = shell("run", "-d", shell.script(seconds=0.3, trials=40))
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout.startswith(f"{shell.run_path} runs in the background")
    shell.until(lambda facts: facts["epochs"]["done"] >= 2)
    second = shell("run", shell.script(seconds=0.3, trials=40))
    assert second.returncode == 2
    assert "runs this search already" in second.stderr
    attached = shell.start("attach", stdout=subprocess.PIPE, text=True)
    followed = shell.start("logs", "-f", "--all", stdout=subprocess.PIPE, text=True)
    assert followed.stdout is not None
    assert followed.stdout.readline().startswith("trial 0")
    assert shell("stop", "--yes").returncode == 0
    assert "search ended: stopped" in attached.communicate(timeout=30)[0]
    followed.communicate(timeout=30)
    assert (attached.returncode, followed.returncode) == (130, 0)
    facts = shell.until(lambda facts: facts["pid"] is None)
    assert (facts["state"], facts["exit_code"]) == ("stopped", 130)
    assert "search ended: stopped" in (shell.run_path / "scheduler.log").read_text()
    anew = shell("run", "-d", "--restart", shell.script(seconds=0.3, trials=40))
    assert f"\nthe older run is kept in runs/{shell.run_path.name}-2" in anew.stdout


def test_what_prevents_the_start_is_said_in_the_foreground(shell: Shell) -> None:
    """A script that does not import: its line and its exit code, from the background too."""
    (shell.folder / "broken.py").write_text("1 / 0\n")
    for words in (["run", "broken.py"], ["run", "-d", "broken.py"]):
        done = shell(*words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "broken.py:1: ZeroDivisionError" in done.stderr


def test_paused_devices_are_free_and_nothing_is_lost(shell: Shell) -> None:
    """No trial runs while it is paused; then each epoch is trained once."""
    hold = shell.folder / "hold"
    hold.touch()
    shell("run", "-d", shell.script(trials=6))
    shell.until(lambda facts: any(slot["trial"] is not None for slot in facts["slots"]))
    assert shell("pause").returncode == 0
    hold.unlink()
    facts = shell.until(
        lambda facts: facts["state"] == "paused" and not any(s["trial"] is not None for s in facts["slots"])
    )
    assert facts["state"] == "paused"
    assert shell("resume").returncode == 0
    shell.until(lambda facts: facts["state"] == "complete")
    logs = [(shell.run_path / "trials" / f"{n:04d}" / "log.txt").read_text().count("epoch") for n in range(6)]
    assert logs == [3] * 6
    assert shell("verify").returncode == 0


def test_a_stopped_trial_counts_as_failed(shell: Shell) -> None:
    """One trial is given up, the others go on."""
    hold = shell.folder / "hold"
    hold.touch()
    shell("run", "-d", shell.script(trials=4))
    shell.until(lambda facts: any(slot["trial"] == 1 for slot in facts["slots"]))
    assert shell("stop", "1").returncode == 0
    hold.unlink()
    facts = shell.until(lambda facts: facts["pid"] is None)
    assert [(lost["trial"], lost["state"]) for lost in facts["failures"]] == [(1, "stopped")]
    assert facts["state"] == "complete"


def test_a_lost_terminal_does_not_end_the_search(shell: Shell) -> None:
    """The window is closed (SIGHUP, EIO on every write): the search goes on to its end."""
    script = shell.script(seconds=0.2, trials=6)
    master, slave = pty.openpty()
    shell.start("run", script, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    shell.until(lambda facts: facts["state"] == "running" and facts["epochs"]["done"] >= 1)
    pid = shell.status()["pid"]
    os.close(master)
    os.kill(pid, signal.SIGHUP)
    facts = shell.until(lambda facts: facts["pid"] is None)
    assert (facts["state"], facts["trials"]["done"]) == ("complete", 6)


def test_ctrl_c_ends_it_to_be_carried_on(shell: Shell) -> None:
    """Running trials end their epoch; the same command goes on, and no epoch is trained twice."""
    script = shell.script(seconds=0.3, trials=6)
    process = shell.start("run", script, stdout=subprocess.PIPE, text=True)
    shell.until(lambda facts: facts["state"] == "running" and facts["epochs"]["done"] >= 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert shell.status()["state"] == "stopped"
    assert shell("run", script).returncode == 0
    logs = [(shell.run_path / "trials" / f"{n:04d}" / "log.txt").read_text().count("epoch") for n in range(6)]
    assert logs == [3] * 6
