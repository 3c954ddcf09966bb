"""An oracle of the user's own, given to a tuner: asked trial by trial, and not again for what it has answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gpusched.storage.rundir import RunDir

_SCRIPT = """
import json, os, sys, time
import gpusched as kt

class Counting(kt.Oracle):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    def populate_space(self, trial_id):
        self.count += 1
        note("asked", trial_id)
        if self.count > LAST:
            return {"status": "STOPPED"}
        if self.ongoing_trials and self.count in IDLE:
            self.count -= 1
            return {"status": "IDLE"}
        return {"status": "RUNNING", "values": {"x": self.count / 10, "mine": "m"}}

    def score_trial(self, trial):
        super().score_trial(trial)
        trial.score = -trial.score

    @kt.synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        note("ended", trial.trial_id, trial.status, round(trial.score or 0, 4))

    def get_state(self):
        return {**super().get_state(), "count": self.count}

    def set_state(self, state):
        super().set_state(state)
        self.count = state["count"]

def note(*what):
    with open("notes.txt", "a") as file:
        print(*what, file=file)

class Tuner(kt.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        x = hp.Float("x", 0, 1)
        if x == FAILS:
            raise kt.errors.FailedTrialError("not this one")
        time.sleep(SECONDS)
        return abs(x - 0.3) + len(hp["mine"])

LAST, IDLE, FAILS, SECONDS = 6, (), None, 0.0
"""
_SEARCH = """
oracle = Counting(max_trials=int(os.environ.get("TRIALS", 4)))
tuner = Tuner(oracle=oracle, directory="runs", project_name="a", cpu_slots=2)
tuner.search(verbose=0)
print(json.dumps({
    "trials": {i: trial.status for i, trial in oracle.trials.items()},
    "best": [[trial.trial_id, round(trial.score, 4)] for trial in oracle.get_best_trials(1)],
    "hyperparameters": tuner.get_best_hyperparameters()[0].values,
    "space": [each.name for each in oracle.get_space().space],
    "left": oracle.remaining_trials(),
}))
"""


class Case:
    """A folder with a script in it."""

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
        self.script = folder / "search.py"
        self.script.write_text(f"{_SCRIPT}{settings}\n{_SEARCH}", encoding="utf-8")
        self.run = RunDir(folder / "runs" / "a")

    def python(self, **environ: str) -> Any:
        done = subprocess.run(
            [sys.executable, str(self.script)],
            cwd=self.folder,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,  # type: ignore[call-overload]
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    def command(self, *argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gpusched.cli", *argv], cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    def records(self) -> list[Any]:
        """What each trial is, by its number."""
        return [json.loads(self.run.trial(i).record.read_text()) for i in self.run.trial_ids()]

    def notes(self, kind: str) -> list[str]:
        lines = (self.folder / "notes.txt").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(kind)]


@pytest.fixture
def case(tmp_path: Path) -> Any:
    return lambda settings="": Case(tmp_path, settings)


def test_the_caller_s_oracle_decides(case: Any) -> None:
    """It is asked for each trial and told each end, its score ranks, and it knows all trials afterwards."""
    made = case()
    said = made.python()
    assert made.notes("asked") == ["0000", "0001", "0002", "0003"]
    assert sorted(made.notes("ended")) == [
        "0000 COMPLETED -1.2",
        "0001 COMPLETED -1.1",
        "0002 COMPLETED -1.0",
        "0003 COMPLETED -1.1",
    ]
    assert said["trials"] == dict.fromkeys(["0000", "0001", "0002", "0003"], "COMPLETED")
    assert said["best"][0] == ["0000", -1.2]
    assert said["hyperparameters"] == {"x": 0.1, "mine": "m"}
    assert (said["space"], said["left"]) == (["x"], 0)
    assert "all as they should be" in made.command("verify", str(made.run.path))


def test_carrying_on_asks_for_nothing_twice(case: Any) -> None:
    """An oracle made anew is given its trials and its state back."""
    made = case()
    made.python(TRIALS="2")
    said = made.python(TRIALS="5")
    assert made.notes("asked") == ["0000", "0001", "0002", "0003", "0004"]
    assert len(made.notes("ended")) == 5
    assert list(said["trials"]) == ["0000", "0001", "0002", "0003", "0004"]
    assert said["best"][0] == ["0000", -1.2]


def test_killed_in_the_middle_it_is_carried_on_by_the_command_line(case: Any) -> None:
    """`gpusched run` has the oracle in a process of its own, and goes on where the killed search was."""
    made = case("SECONDS = 0.5")
    search = subprocess.Popen([sys.executable, str(made.script)], cwd=made.folder, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not ((made.folder / "notes.txt").exists() and made.notes("ended")) and time.monotonic() < deadline:
        time.sleep(0.05)
    search.send_signal(signal.SIGKILL)
    search.wait()
    told = made.command("run", str(made.script))
    assert "search ended: complete" in told
    # One answer may have been on its way to the journal when the search was killed.
    asked = made.notes("asked")
    assert list(dict.fromkeys(asked)) == ["0000", "0001", "0002", "0003"]
    assert len(asked) <= 5
    values = [record["values"]["x"] for record in made.records()]
    assert values == [0.1, 0.2, 0.3, 0.4]
    assert sorted({line.split()[0] for line in made.notes("ended")}) == ["0000", "0001", "0002", "0003"]
    assert "all as they should be" in made.command("verify", str(made.run.path))


def test_idle_stopped_and_failed(case: Any) -> None:
    """IDLE waits for a trial's end, STOPPED ends the search before max_trials, a lost trial is told as FAILED."""
    made = case("LAST, IDLE, FAILS = 3, (2,), 0.2")
    said = made.python(TRIALS="9")
    assert made.notes("asked")[:3] == ["0000", "0001", "0001"]
    assert said["trials"] == {"0000": "COMPLETED", "0001": "FAILED", "0002": "COMPLETED"}
    assert "0001 FAILED 0" in made.notes("ended")


def test_its_error_reaches_the_caller(case: Any) -> None:
    """As the exception it raised, from search()."""
    made = case()
    made.script.write_text(
        _SCRIPT
        + """
class Broken(Counting):
    def populate_space(self, trial_id):
        raise LookupError("no more ideas")

try:
    Tuner(oracle=Broken(), directory="runs", project_name="a", cpu_slots=1).search(verbose=0)
except LookupError as error:
    print(json.dumps(str(error)))
"""
    )
    assert made.python() == "no more ideas"
    done = subprocess.run(
        [sys.executable, "-m", "gpusched.cli", "run", str(made.script)],
        cwd=made.folder,
        capture_output=True,
        text=True,  # type: ignore[call-overload]
        timeout=120,
    )
    assert done.returncode == 1
    assert "the oracle: LookupError: no more ideas" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_one_that_counts_on_the_last_score_is_asked_when_it_is_there(case: Any) -> None:
    """Keras Tuner ends a trial before it asks for the next; an oracle that needs that gets it."""
    made = case()
    made.script.write_text(
        _SCRIPT
        + """
class Climbing(kt.Oracle):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = []

    def populate_space(self, trial_id):
        note("asked", trial_id)
        self.seen.append(trial_id)
        last = self.trials[self.start_order[-1]].score if self.start_order else 0.0
        return {"status": "RUNNING", "values": {"x": round(last / 2 + 0.1, 6), "mine": ""}}

oracle = Climbing(max_trials=4)
Tuner(oracle=oracle, directory="runs", project_name="a", cpu_slots=3).search(verbose=0)
print(json.dumps([oracle.seen, [trial.hyperparameters.values["x"] for trial in oracle.trials.values()]]))
"""
    )
    assert made.python() == [["0000", "0001", "0002", "0003"], [0.1, 0.2, 0.15, 0.175]]
    assert "all as they should be" in made.command("verify", str(made.run.path))
