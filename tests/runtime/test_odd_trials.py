"""Trials that do odd things to their own process, in real searches: what is theirs stays theirs."""

from __future__ import annotations

import json
import textwrap
from typing import Any

GRID = ("--algorithm", "grid", "--objective", "val_loss", "--max-epochs", "2", "--cpu-slots", "2")

SCRIPT = """
import multiprocessing, os, sys, time

class Odd:
    def __getattribute__(self, name):
        raise RuntimeError("odd")

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("it says nothing")

def circular():
    error = ValueError("boo")
    error.__cause__ = error
    return error

def put(stdout, stderr):
    sys.stdout, sys.stderr = stdout, stderr

def close():
    sys.stdout.close()
    sys.stderr.close()

def child(work, *args):
    process = multiprocessing.get_context("fork").Process(target=work, args=args)
    process.start()
    return process


def terminated():
    process = child(time.sleep, 1000)
    process.terminate()
    process.join()

def train(hp, trial):
    way = hp.Choice("way", NAMES)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        if way is None:
            pass
        WAYS
        trial.report(val_loss=1.0)
        trial.save_checkpoint(b"mine")
"""

#: What a trial does in its epoch, and the failure that it deserves.
RAISING = {
    "none": ("put(None, None); raise ValueError('boo')", "boo"),
    "odd": ("put(Odd(), Odd()); raise ValueError('boo')", "boo"),
    "closed": ("close(); raise ValueError('boo')", "boo"),
    "full": ("os.dup2(os.open('/dev/full', os.O_WRONLY), 2); raise ValueError('boo')", "boo"),
    "nan": ("close(); trial.report(val_loss=float('nan'))", "objective 'val_loss' is nan at epoch 1"),
    "mute": ("raise Mute", "Mute"),
    "surrogate": ("raise ValueError('a \\ud800 b')", "a \\ud800 b"),
    "circular": ("raise circular()", "boo"),
}

#: What a trial does in its epoch that is nobody's business but its own.
HARMLESS = {
    "none": "put(None, None)",
    "closed": "close()",
    "reports": "child(lambda: trial.report(val_loss=-1.0)).join()",
    "saves": "child(lambda: trial.save_checkpoint(b'bad')).join()",
    "falls out": "if os.fork() == 0: return\nos.wait()",
    "goes on": "if os.fork() == 0:\n  trial.report(val_loss=-1.0)\n  continue\nos.wait()",
    "raises": "if os.fork() == 0: raise ValueError('a child')\nos.wait()",
    "terminates": "terminated()",
}


def run(lab: Any, ways: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The last end of each way's trial."""
    cases = "".join(
        f"        elif way == {name!r}:\n{textwrap.indent(code, ' ' * 12)}\n" for name, code in ways.items()
    )
    lab.write(SCRIPT.replace("NAMES", repr(list(ways))).replace("        WAYS\n", cases))
    options = (*GRID, "--max-trials", str(len(ways)))
    lab.finish(*options)
    ways_of = {launch["trial"]: launch["values"]["way"] for launch in lab.events("launch")}
    assert sorted(ways_of.values()) == sorted(ways), lab.said
    return {ways_of[end["trial"]]: end for end in lab.events("job_ended")}


def test_what_a_trial_does_to_itself_stays_its_own(lab: Any) -> None:
    """One that closes its streams or raises what cannot be printed fails by its own error; its children are not it.

    What a child reports, saves or ends with is not the trial's; it is told so. A child can be terminated.
    """
    failing = {f"{name}, then raises": code for name, (code, _) in RAISING.items()}
    # One by one, for three failures in a row would end the search.
    ends = run(lab, dict(pair for both in zip(failing.items(), HARMLESS.items(), strict=True) for pair in both))
    said = {name: end["failure"]["message"] for name, end in ends.items() if end["end"] == "failed"}
    assert said == {f"{name}, then raises": message for name, (_, message) in RAISING.items()}
    done = {name: end["epochs"] for name, end in ends.items() if end["end"] == "completed"}
    assert done == dict.fromkeys(HARMLESS, 2)
    trials = {launch["values"]["way"]: launch["trial"] for launch in lab.events("launch")}
    for name in HARMLESS:
        metrics = lab.run.trial(trials[name]).metrics.read_bytes()
        lines = [json.loads(line) for line in metrics.splitlines()]
        assert [(line["epoch"], line["val_loss"]) for line in lines] == [(1, 1.0), (2, 1.0)]
    for name, what in (("reports", "report"), ("saves", "save_checkpoint")):
        log = lab.run.trial(trials[name]).log.read_text()
        assert f"RuntimeError: {what}: process " in log
        assert "multiprocessing.Queue" in log
    assert lab.processes() == []
