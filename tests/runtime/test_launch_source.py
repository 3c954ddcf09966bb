"""What search() is given reaches the trials by a fork of the caller, by value, or by executing the script again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

HEAD = """
import os, sys, threading, time
import numpy as np
import gpusched as gs

def note(line):
    with open("ledger", "a") as file:
        file.write(line + "\\n")

class Tuner(gs.RandomSearch):
    def run_trial(self, trial, given):
        value = trial.hyperparameters.Float("a", 0, 1)
        if "GPUSCHED_TRIAL" in os.environ:
            note(f"trial {self.project_name} {next(iter(given))}")
        return value

def tuner(name="search it", **more):
    return Tuner(objective="loss", max_trials=2, seed=1, cpu_slots=2, project_name=name, **more)

def numbers():
    yield from (3, 4)

def wake():
    __import__("tensorflow.python.eager.context", fromlist=["start"]).start()

def busy():
    threading.Thread(target=time.sleep, args=(600,), daemon=True, name="busy").start()
"""
#: A framework of which only the moment is real at which its runtime starts.
FRAMEWORK = """
class Context:
    def __init__(self):
        self._initialized, self._physical_devices = False, None
    def ensure_initialized(self):
        self._initialized = True
_context = Context()
def start():
    _context.ensure_initialized()
"""


def python(lab: Any, *words: str) -> list[str]:
    return [sys.executable, str(lab.script), *words]


def ledger(lab: Any) -> list[str]:
    return (lab.folder / "ledger").read_text().splitlines()


def framework(lab: Any) -> None:
    folder = lab.folder / "tensorflow" / "python" / "eager"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent, folder.parent.parent):
        (package / "__init__.py").touch()
    (folder / "context.py").write_text(FRAMEWORK)


def test_anything_travels_by_fork(lab: Any) -> None:
    """A generator needs no pickling, and what stands behind search() happens once."""
    lab.write(HEAD + "\nnote('before')\ntuner().search(numbers())\nnote('behind')\n")
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    assert sorted(ledger(lab)) == ["before", "behind", "trial search it 3", "trial search it 3"]
    assert "each trial" not in said
    assert lab.processes() == []


def test_arrays_travel_by_value(lab: Any) -> None:
    """Where the caller cannot be forked, what it gave is one memory of all trials, which none can write to."""
    lab.write("""
import threading, time
import numpy as np
import gpusched as gs

class Tuner(gs.RandomSearch):
    def run_trial(self, trial, x, y=None):
        value = trial.hyperparameters.Float("a", 0, 1)
        maps = [line for line in open("/proc/self/maps") if "gpusched-arguments" in line]
        print("flags", maps[0].split()[1], x.flags.writeable, float(x.sum()), y.tolist())
        return value

if __name__ == "__main__":
    threading.Thread(target=time.sleep, args=(600,), daemon=True, name="busy").start()
    tuner = Tuner(objective="loss", max_trials=2, seed=1, cpu_slots=2, project_name="search it")
    tuner.search(np.ones(1 << 18), y=np.arange(3))
""")
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    for trial in (0, 1):
        assert "flags r--s False 262144.0 [0, 1, 2]" in lab.run.trial(trial).log.read_text()


def test_the_script_is_executed_again(lab: Any) -> None:
    """Where a caller cannot be forked and what it gave cannot be pickled, each trial's script comes to it again."""
    lab.write(HEAD + "\nnote('before ' + sys.argv[1])\nbusy()\ntuner().search(numbers())\nnote('behind')\n")
    code, said = lab.finish(command=python(lab, "word"))
    assert code == 0, said
    assert ledger(lab).count("behind") == 1
    assert ledger(lab).count("trial search it 3") == 2
    assert set(ledger(lab)) == {"before word", "behind", "trial search it 3"}
    assert "trials execute the script again" in said
    assert lab.processes() == []


def test_a_later_search_of_a_script_that_is_executed_again(lab: Any) -> None:
    """The searches before it are not run again: their results are there."""
    lab.write(
        HEAD
        + """
for name in ("one", "two"):
    this = tuner(name, overwrite=True)
    this.search(numbers())
    note(f"best {name} {len(this.get_best_trials(2))}")
    if name == "one" and "gpusched.runtime" in sys.modules:
        busy()
"""
    )
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    assert ledger(lab).count("trial one 3") == 2
    assert ledger(lab).count("trial two 3") == 2
    assert ledger(lab).count("best two 2") == 1
    assert "best one 0" not in ledger(lab)


def test_a_copy_is_made_before_a_runtime_starts(lab: Any) -> None:
    """Trials go on with the script from there: nothing before it is executed again."""
    framework(lab)
    lab.write(
        HEAD
        + """
note("before")
wake()
note("after")
given = numbers()
for name in ("one", "two"):
    tuner(name).search(given if name == "one" else numbers())
    note("behind " + name)
"""
    )
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    found = ledger(lab)
    assert [found.count(line) for line in ("before", "trial one 3", "trial two 3")] == [1, 2, 2]
    assert found.count("behind two") == 1
    assert lab.processes() == []


def test_a_script_that_fails_on_its_way_fails_the_trial(lab: Any) -> None:
    """The trial says what was raised, and where."""
    framework(lab)
    lab.write(
        HEAD
        + """
caller = os.getpid()
wake()
if os.getpid() != caller:
    raise ValueError("only in a trial")
tuner().search(numbers())
"""
    )
    code, said = lab.finish(command=python(lab))
    assert code == 1, said
    assert "ValueError: only in a trial" in said
    assert lab.processes() == []


@pytest.mark.parametrize("words", ["sys.exit(0)", "pass"])
def test_a_script_that_ends_on_its_way_fails_the_trial(lab: Any, words: str) -> None:
    """It does not pass for a trained trial."""
    framework(lab)
    lab.write(
        HEAD
        + f"""
caller = os.getpid()
wake()
if os.getpid() == caller:
    tuner().search(numbers())
{words}
"""
    )
    code, said = lab.finish(command=python(lab))
    assert code == 1, said
    assert "does not come to its search() number 1" in said


def test_a_killed_launcher_is_replaced(lab: Any, until: Callable[..., Any]) -> None:
    """Another comes of the same copy of the caller."""
    hold = """while os.path.exists("hold"):
                time.sleep(0.002)
            note(f"""
    lab.write(HEAD.replace("note(f", hold) + "\ntuner().search(numbers())\nnote('behind')\n")
    lab.hold()
    process = lab.start(command=python(lab))
    until("two trials", lambda: len(lab.trial_pids()) == 2)
    first = lab.launchers()
    lab.kill([*first, *lab.trial_pids()])
    until("another launcher", lambda: lab.launchers() not in ([], first))
    lab.let_go()
    assert process.wait(60) == 0, lab.said
    assert ledger(lab).count("behind") == 1
    assert lab.processes() == []


@pytest.mark.parametrize("awake", [False, True])
def test_a_killed_caller_loses_nothing(lab: Any, until: Callable[..., Any], awake: bool) -> None:
    """Its launcher and trials go on to the end of their jobs, and the script, run again, takes them over."""
    framework(lab)
    hold = """while os.path.exists("hold"):
                time.sleep(0.002)
            note(f"""
    start = """
wake()
"""
    script = HEAD.replace("note(f", hold) + (start if awake else "") + "\ntuner().search(numbers())\nnote('behind')\n"
    lab.write(script)
    lab.hold()
    process = lab.start(command=python(lab))
    until("two trials", lambda: len(lab.trial_pids()) == 2)
    running = lab.trial_pids()
    process.kill()
    process.wait()
    lab.let_go()
    until("their ends", lambda: not lab.trial_pids())
    assert lab.finish(command=python(lab))[0] == 0, lab.said
    assert ledger(lab).count("trial search it 3") == len(running) == 2
    assert ledger(lab).count("behind") == 1
    assert lab.processes() == []


def test_input_is_answered_once(lab: Any) -> None:
    """Trials that go on with the script are given the answers that the caller was given."""
    framework(lab)
    lab.write(
        HEAD
        + """
sys.stdin = open("answers")
first = input("first? ")
wake()
second = input("second? ")
tuner().search(iter([second + first]))
"""
    )
    (lab.folder / "answers").write_text("one\ntwo\n")
    code, said = lab.finish(command=python(lab))
    assert code == 0, said
    assert ledger(lab) == ["trial search it twoone"] * 2


def test_a_command_s_launcher_makes_a_copy_too(lab: Any) -> None:
    """`gpusched run`: trials go on from where the script started the runtime, and load nothing before it again."""
    framework(lab)
    lab.write(
        HEAD
        + """
note("before")
wake()
note("after")
tuner().search(numbers())
note("behind")
"""
    )
    code, said = lab.finish("--cpu-slots", "2")
    assert code == 0, said
    found = ledger(lab)
    assert [found.count(line) for line in ("before", "trial search it 3", "behind")] == [1, 2, 0]
    assert "loads it anew" not in said
    assert lab.processes() == []


def test_a_command_s_trial_that_fails_on_its_way_says_so(lab: Any) -> None:
    """What the script raises in the trial is the trial's failure, not the launcher's."""
    framework(lab)
    lab.write(
        HEAD
        + """
first = os.getpid()
wake()
if "GPUSCHED_TRIAL" in os.environ:
    raise ValueError("only in a trial")
tuner().search(numbers())
"""
    )
    code, said = lab.finish("--cpu-slots", "2")
    assert code == 1, said
    assert "ValueError: only in a trial" in said
    assert lab.processes() == []


def test_what_a_prompt_cannot_give_is_named(lab: Any) -> None:
    """No script stands behind it: the error names the argument and shows load_data; nothing is begun."""
    lab.write("")
    code, said = lab.finish(command=[sys.executable, "-c", HEAD + "\nbusy()\ntuner().search(threading.Lock())"])
    assert code == 1
    assert "argument 0 of search(): lock cannot be carried to the trials" in said
    assert "def load_data()" in said
