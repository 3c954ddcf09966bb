"""User code that cannot be forked is found out, and searched all the same."""

from __future__ import annotations

from typing import Any

import pytest

FEW = ("--algorithm", "random", "--max-trials", "3", "--max-epochs", "2", "--cpu-slots", "2", "--seed", "1")

#: Each process that loads this script leaves its pid.
LOADED = """
import os
open(f"loaded {os.getpid()}", "w").close()
def train(hp, trial):
    hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        print("trained by", os.getpid())
        trial.report(val_loss=0.5)
"""

THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""


def loaded(lab: Any) -> set[int]:
    return {int(file.name.split()[1]) for file in lab.folder.glob("loaded *")}


def trained(lab: Any) -> set[int]:
    lines = [line for trial in range(3) for line in lab.run.trial(trial).log.read_text().splitlines()]
    return {int(line.split()[2]) for line in lines if line.startswith("trained by")}


def test_what_can_be_forked_is_loaded_once(lab: Any) -> None:
    """The script is executed in one process, which forks the trials."""
    lab.write(LOADED)
    code, said = lab.finish(*FEW)
    assert (code, len(loaded(lab)), len(trained(lab))) == (0, 1, 3)
    assert not loaded(lab) & trained(lab)
    assert "cannot be shared" not in said


def test_a_thread_is_not_forked(lab: Any) -> None:
    """A script that starts a thread is loaded by each trial; one line says so, and why."""
    lab.write(LOADED + THREAD)
    code, said = lab.finish(*FEW)
    assert code == 0
    assert trained(lab) <= loaded(lab)
    (line,) = [line for line in said.splitlines() if "cannot be shared by forking" in line]
    assert "it started threads" in line
    assert lab.processes() == []


@pytest.mark.parametrize("mode", ["auto", "spawn"])
def test_memory_of_gpus_is_settled_before_the_script(lab: Any, mode: str) -> None:
    """A script that each trial loads anew, and that starts a framework, finds its memory told to grow."""
    lab.write(LOADED + THREAD + 'print("growth", os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"))')
    assert lab.finish(*FEW, "--start-method", mode)[0] == 0
    assert all("growth true" in lab.run.trial(trial).log.read_text() for trial in range(3))


def test_fork_can_be_forced(lab: Any) -> None:
    """--start-method fork takes the risk that the user wants to take."""
    lab.write(LOADED + THREAD)
    code, said = lab.finish(*FEW, "--start-method", "fork")
    assert (code, len(loaded(lab))) == (0, 1)
    assert "cannot be shared" not in said


def test_spawn_can_be_forced(lab: Any) -> None:
    """--start-method spawn starts each trial from nothing."""
    lab.write(LOADED)
    assert lab.finish(*FEW, "--start-method", "spawn")[0] == 0
    assert trained(lab) <= loaded(lab)
    assert len(trained(lab)) == 3
    assert lab.processes() == []


def test_a_fork_that_hangs_is_replaced(lab: Any) -> None:
    """A fork without a sign of life, looking for the space or as a trial, is killed and started anew."""
    lab.write(LOADED + "\nimport time\nos.register_at_fork(after_in_child=lambda: time.sleep(1000))")
    code, said = lab.finish(*FEW, GPUSCHED_FIRST_SIGN_SECONDS="0.3")
    assert code == 0, said
    assert trained(lab) <= loaded(lab)
    assert lab.processes() == []


def test_a_fork_that_hangs_before_its_first_epoch_is_replaced(lab: Any) -> None:
    """As in a library that a fork breaks: it uses no processor for as long as it may; people are told once."""
    text = LOADED.replace("trial.report", "forked and time.sleep(1000)\n        trial.report")
    lab.write("import os, time\nforked = []\nos.register_at_fork(after_in_child=lambda: forked.append(1))\n" + text)
    code, said = lab.finish(*FEW, GPUSCHED_FIRST_SIGN_SECONDS="0.3")
    assert code == 0, said
    assert "its fork has done nothing for 0.6 s; it is started anew, and from here on all are" in said
    assert lab.processes() == []


def test_a_fork_that_computes_is_no_hanging_one(lab: Any) -> None:
    """However long its first epoch takes."""
    busy = "end = time.process_time() + 1.5\n        while time.process_time() < end: pass\n        trial.report"
    lab.write("import time" + LOADED.replace("trial.report", busy))
    code, said = lab.finish("--max-trials", "1", "--max-epochs", "1", GPUSCHED_FIRST_SIGN_SECONDS="0.3")
    assert code == 0, said
    assert "has done nothing" not in said


def test_a_silent_time_must_be_one(lab: Any) -> None:
    """A setting that cannot be meant is named."""
    code, said = lab.finish(*FEW, GPUSCHED_FIRST_SIGN_SECONDS="soon")
    assert code == 2
    assert "GPUSCHED_FIRST_SIGN_SECONDS='soon': give a positive number of seconds" in said


def test_helpers_of_a_trial_are_asked_before_they_are_killed(lab: Any) -> None:
    """One that writes down what it has when it is asked to end does so; one that will not is killed."""
    helper = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(1000)"
    )
    lab.write(
        "import subprocess, sys\n"
        "def train(hp, trial):\n"
        "    hp.Float('x', 0, 1)\n"
        f"    code = {helper!r}\n"
        "    deaf = code.replace('sys.exit(0)', 'None')\n"
        "    for each in (code, deaf):\n"
        "        process = subprocess.Popen([sys.executable, '-c', each], stdout=open(trial.folder / 'said', 'a'))\n"
        "    while (trial.folder / 'said').read_text().count('ready') < 2:\n"
        "        pass\n"
        "    trial.report(val_loss=0.5)\n"
    )
    code, said = lab.finish("--max-trials", "1", "--max-epochs", "1")
    assert code == 0, said
    (said,) = [path.read_text() for path in lab.run.path.rglob("said")]
    assert said.split() == ["ready", "ready", "asked", "asked"]
    assert lab.processes() == []


def test_helpers_of_load_data_serve_all_trials(lab: Any) -> None:
    """A process that load_data starts lives as long as the search, not as long as the first trial."""
    lab.write("""
import os, subprocess
def load_data():
    server = subprocess.Popen(["sleep", "1000"])
    open("server", "w").write(str(server.pid))
def train(hp, trial):
    hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        os.kill(int(open("server").read()), 0)
        assert "(sleep)" in open(f"/proc/{open('server').read()}/stat").read()
        trial.report(val_loss=0.5)
""")
    code, said = lab.finish(*FEW)
    assert code == 0, said
    assert "failed" not in said
    assert lab.processes() == []


@pytest.mark.slow
@pytest.mark.keras
def test_a_started_tensorflow_is_not_forked(lab: Any) -> None:
    """A tensor at the script's top level starts the runtime, which no fork survives: trials begin right before it."""
    lab.write("import tensorflow as tf\nhalf = tf.constant(0.5)" + LOADED.replace("=0.5", "=float(half)"))
    code, said = lab.finish(*FEW)
    assert code == 0, said
    assert "cannot be shared" not in said
    assert len(trained(lab)) == 3
    assert trained(lab) <= loaded(lab)
