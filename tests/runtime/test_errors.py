"""What users do wrong, and what machines do to them: one clear line, the right exit code, a search that can go on."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any

import pytest

RANDOM = ("--algorithm", "random", "--max-trials", "2", "--cpu-slots", "2", "--seed", "1")

LOADING = {
    "a script that raises": ("1 / 0", "search it.py:1: ZeroDivisionError: division by zero"),
    "a syntax error": ("x = 1\ndef train(hp, trial) pass", "search it.py:2: SyntaxError: expected ':'"),
    "nothing to search": ("x = 1", "has nothing to search: add build_model(hp)"),
    "sys.exit": ("import sys\nsys.exit('no data')", "search it.py:2: it ended itself (sys.exit('no data'))"),
    "os._exit": ("import os\nos._exit(3)", "loading the script ended its process (3)"),
    "a crash": ("import os\nos.kill(os.getpid(), 11)", "loading the script ended its process (-11)"),
    "load_data that raises": (
        "def train(hp, trial): ...\ndef load_data():\n    raise OSError('no such disk')",
        "load_data: OSError: no such disk (",
    ),
    "load_data that exits": ("def train(hp, trial): ...\ndef load_data():\n    raise SystemExit(4)", "load_data: "),
    "no hyperparameters": ("def train(hp, trial):\n    trial.report(val_loss=1)", "has no hyperparameters"),
    "a space that crashes": (
        "import os\ndef train(hp, trial): os._exit(5)",
        "finding the hyperparameters ended its process (5)",
    ),
    "a space that raises": ("def train(hp, trial):\n    hp.Int('units', 9, 1)", "Int('units'): min_value 9"),
    "an objective that is mistyped": (
        "def train(hp, trial):\n    hp.Float('x', 0, 1)\n    trial.report(val_los=1)",
        "objective 'val_loss' is not among the metrics (val_los): did you mean 'val_los'?",
    ),
    "an unknown objective direction": (
        "import gpusched as gs\ntuner = gs.RandomSearch(train=print, objective=gs.Objective('x', 'up'))",
        "search it.py:2:",
    ),
}


@pytest.mark.parametrize("case", LOADING)
def test_scripts_that_cannot_be_searched(lab: Any, case: str) -> None:
    """Exit code 2, and a line that names the place; no traceback of ours, no process, no run begun."""
    script, expected = LOADING[case]
    lab.write(script)
    code, said = lab.finish(*RANDOM)
    assert code == 2
    (line,) = [line for line in said.splitlines() if line.startswith("gpusched: ")]
    assert expected in line
    assert "Traceback" not in said
    assert lab.processes() == []
    assert not lab.run.path.exists()


def test_the_traceback_of_user_code_is_kept(lab: Any) -> None:
    """What fails before there is a run has its traceback in a file that the line names."""
    lab.write("def helper(hp):\n    raise KeyError('depth')\n\ndef train(hp, trial):\n    helper(hp)\n")
    code, said = lab.finish(*RANDOM)
    file = lab.folder / "state" / "gpusched" / "traceback.txt"
    assert (code, f"; the traceback is in {file}" in said) == (2, True), said
    kept = file.read_text()
    assert kept.index("in train") < kept.index("in helper") < kept.index("KeyError: 'depth'")


TRAINING = {
    "an objective nobody reports": (
        "trial.report(**{'loss': 1.0})",
        "objective 'val_loss' is not among the metrics (loss",
    ),
    "an exit": ("import os; os._exit(3)", "its process exited with code 3"),
    "a crash": ("import os; os.kill(os.getpid(), 11)", "its process was ended by SIGSEGV"),
    "an exception": ("raise ValueError('odd')", "ValueError: odd"),
    "a full disk elsewhere": (
        "raise OSError(28, 'No space left on device', '/dev/shm/model.h5')",
        "No space left on device (/dev/shm/model.h5)",
    ),
    "an outcome that cannot be written": (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); trial.report(val_loss=1.0)",
        "its files could not be written; its log says why",
    ),
}


@pytest.mark.parametrize("case", TRAINING)
def test_trials_that_go_wrong(lab: Any, case: str) -> None:
    """Exit code 1 when no trial can succeed, and the reason of the last one."""
    body, expected = TRAINING[case]
    lab.write(f"""
def train(hp, trial):
    hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        print("half a line", end="")
        {body}
""")
    code, said = lab.finish(*RANDOM)
    assert code == 1
    assert expected in said
    assert "Traceback" not in said
    assert lab.processes() == []
    assert "half a line" in lab.run.trial(0).log.read_text()


def test_another_seed_is_refused(lab: Any) -> None:
    """A resumed search with other draws would mean something else: refused by name, with nothing touched."""
    assert lab.finish(*RANDOM)[0] == 0
    before = lab.journal()
    code, said = lab.finish(*RANDOM[:-1], "2")
    assert code == 2
    assert "seed: " in said
    assert "was begun with 1, now it is 2" in said
    assert lab.journal() == before


def test_a_folder_that_cannot_be_written(lab: Any) -> None:
    """Said before anything is trained."""
    (lab.folder / "runs").write_text("in the way")
    code, said = lab.finish(*RANDOM)
    assert code == 2
    assert "cannot be written" in said
    assert lab.processes() == []


def test_a_journal_that_cannot_grow(lab: Any, until: Callable[..., Any]) -> None:
    """A full disk under the scheduler ends it with a clear line; with room again the search goes on."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    until("both in the journal", lambda: len(lab.events("job_started")) == 2)
    size = lab.run.journal.stat().st_size
    resource.prlimit(scheduler.pid, resource.RLIMIT_FSIZE, (size + 10, size + 10))
    lab.let_go()
    assert scheduler.wait(60) == 1
    assert "journal.jsonl: cannot be written" in lab.said
    assert lab.processes() == []
    assert lab.run.journal.read_bytes().endswith(b"\n")
    assert lab.finish()[0] == 0
    assert lab.processes() == []


def test_processes_that_cannot_be_started(lab: Any, until: Callable[..., Any]) -> None:
    """Where a trial cannot be started for want of anything, the search ends with the reason and can go on."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    in_the_way = lab.run.trial(4).log
    in_the_way.mkdir(parents=True)
    lab.let_go()
    assert scheduler.wait(60) == 1
    assert "trial 4 could not be started" in lab.said
    assert lab.processes() == []
    in_the_way.rmdir()
    assert lab.finish()[0] == 0


def test_a_launcher_that_runs_out_of_descriptors(lab: Any, until: Callable[..., Any]) -> None:
    """It dies of it; another one takes its place, and nothing is lost."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    (launcher,) = lab.launchers()
    resource.prlimit(launcher, resource.RLIMIT_NOFILE, (3, 3))
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert lab.processes() == []
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75


#: The scheduler with a fault of our own in what hears of ends.
BROKEN = """
import gpusched.engines.local as local
from gpusched.cli.main import main

def broken(*args, **kwargs):
    raise KeyError("a fault of our own")

local.conclusion = broken
main()
"""


def test_a_fault_of_our_own_ends_the_search_in_a_line(lab: Any) -> None:
    """It is no hang: the line says where, no process is left, and the search can go on."""
    command = [sys.executable, "-c", BROKEN, *lab.command(*RANDOM)[3:]]
    code, said = lab.finish(command=command)
    (line,) = [line for line in said.splitlines() if line.startswith("gpusched: ")]
    assert code == 1
    assert line.startswith("gpusched: news of the launcher: KeyError: 'a fault of our own' (the traceback is in ")
    assert line.endswith("; run the same command again to go on")
    assert "Traceback" not in said
    assert lab.processes() == []
    assert lab.finish(*RANDOM)[0] == 0


def test_a_copy_that_is_killed_before_its_first_launcher_is_told_in_a_line(lab: Any) -> None:
    """The process that was to fork the launcher is gone: one line, no traceback, and the next start trains."""
    script = """
import os, signal, sys
import gpusched as gs
from gpusched.launcher.standby.copies import Copy

def train(hp, trial):
    trial.report(val_loss=hp.Float("x", 0, 1))

def killed(*given, make=Copy.make):
    copy = make(*given)
    os.kill(copy.pid, signal.SIGKILL)
    os.waitid(os.P_PID, copy.pid, os.WEXITED | os.WNOWAIT)
    return copy

if os.path.exists("kill"):
    Copy.make = killed
tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=2, seed=1, cpu_slots=1, gpus="none")
tuner.search()
"""
    lab.write(script)
    (lab.folder / "kill").touch()
    code, said = lab.finish(command=[sys.executable, str(lab.script)])
    assert (code, "Traceback" in said) == (1, False), said
    assert "the launcher does not start (" in said
    assert lab.processes() == []
    (lab.folder / "kill").unlink()
    code, said = lab.finish(command=[sys.executable, str(lab.script)])
    assert code == 0, said


SCRIPT = """
import gpusched as gs

def train(hp, trial):
    trial.report(val_loss=hp.Float("x", 0, 1))

tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=2, seed=1, cpu_slots=1, gpus="none")
tuner.search()
"""


@pytest.mark.parametrize("way", ["run", "python"])
def test_a_run_that_cannot_be_carried_on_is_told_in_a_line(lab: Any, way: str) -> None:
    """A damaged search.json, a folder in the place of the socket: no traceback, also from a script of one's own."""
    lab.write(SCRIPT)
    command = [sys.executable, *(["-m", "gpusched.cli", "run"] if way == "run" else []), str(lab.script)]
    assert lab.finish(command=command)[0] == 0
    whole = lab.run.search.read_bytes()
    lab.run.search.write_bytes(whole.replace(b"random", b"rAndom", 1))
    code, said = lab.finish(command=command)
    assert ("Traceback" in said, code in (1, 2)) == (False, True), said
    assert "search.json" in said
    lab.run.search.write_bytes(whole)
    (lab.run.control / "folder").mkdir(parents=True)
    code, said = lab.finish(command=command)
    assert ("Traceback" in said, code) == (False, 1), said
    assert "control.sock: cannot be made (" in said
    assert lab.processes() == []
