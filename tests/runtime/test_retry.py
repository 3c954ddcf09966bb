"""Trials that failed, trained again once their error is mended; and trials that are stopped with their score kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from gpusched.runtime.reader import Run
from gpusched.runtime.startup.wishes import note
from gpusched.ui.verify import verify

#: Fails for all but small models until a file says that the error is mended.
BUGGY = """
import os, time
import gpusched as gs

def train(hp, trial):
    units = hp.Int("units", 1, 100)
    if units > 20 and not os.path.exists("mended"):
        raise ValueError(f"no room for {units} units")
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        while os.path.exists("hold"):
            time.sleep(0.002)
        trial.report(val_loss=units / 100 / (epoch + 1))
        trial.save_checkpoint(b"")

tuner = gs.Hyperband(train=train, objective="val_loss", max_consecutive_failed_trials=99)
"""
_LINE = BUGGY.splitlines().index('        raise ValueError(f"no room for {units} units")') + 1


def gpusched(lab: Any, *words: str) -> tuple[int, str]:
    return lab.finish(command=[sys.executable, "-m", "gpusched.cli", *words])


def failing(lab: Any, options: tuple[str, ...]) -> list[int]:
    """A search that a bug has spoilt; the trials that failed."""
    lab.write(BUGGY)
    assert lab.finish(*options)[0] == 0
    failed = [trial.id for trial in lab.search.trials.values() if trial.state == "failed"]
    assert len(failed) >= 8
    return failed


def test_a_mended_script_trains_what_had_failed(lab: Any, options: tuple[str, ...]) -> None:
    """`gpusched retry` continues the search with the options it had, and it ends as if nothing had ever failed."""
    failed = failing(lab, options)
    assert f"failed: {len(failed)} trials (" in lab.said
    assert f"units (search it.py:{_LINE})" in lab.said
    assert "`gpusched retry 'runs/search it'` trains failed trials again" in lab.said
    code, said = lab.finish(*options)
    assert (code, len(failed)) == (0, sum(trial.state == "failed" for trial in lab.search.trials.values()))
    assert f"nothing is left to train; --retry-failed trains {len(failed)} failed trials again" in said
    code, said = gpusched(lab, "status", "runs/search it")
    assert f"failed: {len(failed)} trials (" in said
    (lab.folder / "mended").touch()
    code, said = gpusched(lab, "retry", "runs/search it")
    assert code == 0, said
    assert f"tried again by hand: {len(failed)} trials" in said
    run = Run(lab.run)
    assert {trial.state for trial in run.search.trials.values()} == {"completed"}
    assert sum(trial.epochs for trial in run.search.trials.values()) == 75
    assert verify(run).complaints == []
    code, said = gpusched(lab, "retry")
    assert code == 2
    assert "no trial has failed" in said


def test_some_trials_alone_are_tried_again(lab: Any, options: tuple[str, ...]) -> None:
    """Named trials train again, the others stay failed; what has not failed is refused and nothing is done."""
    failed = failing(lab, options)
    sound = next(i for i in lab.search.trials if i not in failed)
    code, said = gpusched(lab, "retry", "runs/search it", str(failed[0]), str(sound))
    assert (code, f"trial {sound}: it is " in said) == (2, True)
    assert "99" not in said
    (lab.folder / "mended").touch()
    code, said = gpusched(lab, "retry", "runs/search it", str(failed[0]), str(failed[1]))
    assert code == 0, said
    assert [trial.id for trial in lab.search.trials.values() if trial.state == "failed"] == failed[2:]
    assert lab.finish(*options, "--retry-failed")[0] == 0
    assert {trial.state for trial in lab.search.trials.values()} == {"completed"}


def test_who_ran_it_in_python_retries_by_running_it_again(lab: Any, options: tuple[str, ...]) -> None:
    """Where no command can continue a search, its trials are noted for the next time it is continued."""
    failed = failing(lab, options)
    (lab.folder / "mended").touch()
    note(lab.run, failed)
    assert lab.search.trials[failed[0]].state == "paused"
    assert f"{len(failed)} trials will be trained again: continue with" in gpusched(lab, "status")[1]
    code, said = lab.finish(*options, "--retry-failed")
    assert "no trial has failed: there is none to train again" in said
    assert (code, {trial.state for trial in lab.search.trials.values()}) == (0, {"completed"})


def running_with_failures(lab: Any, options: tuple[str, ...], until: Callable[..., Any]) -> tuple[Any, list[int]]:
    """A scheduler whose trials are held, and those that have failed by then."""
    lab.write(BUGGY)
    lab.hold()
    scheduler = lab.start(*options)
    ended = until("a failure", lambda: [event for event in lab.events("job_ended") if event["end"] == "failed"])
    return scheduler, [event["trial"] for event in ended]


def test_a_running_search_takes_failed_trials_back(
    lab: Any, options: tuple[str, ...], until: Callable[..., Any]
) -> None:
    """They train as soon as a slot is free, in the same session."""
    scheduler, failed = running_with_failures(lab, options, until)
    (lab.folder / "mended").touch()
    assert lab.ask("retry", trials=failed)["ok"]
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert {lab.search.trials[i].state for i in failed} == {"completed"}
    assert lab.search.sessions == 1


def test_a_trial_that_is_stopped_keeps_its_score_on_demand(
    lab: Any, options: tuple[str, ...], until: Callable[..., Any]
) -> None:
    """It ends its epoch, counts with the score it has, and trains no more; without --keep it counts as failed."""
    lab.hold()
    scheduler = lab.start("--algorithm", "random", "--max-epochs", "50", "--max-trials", "3", "--cpu-slots", "2")
    until("two trials", lambda: len(lab.ledger) >= 2)
    until("both in the journal", lambda: len(lab.events("job_started")) >= 2)
    answer = lab.ask("stop_trials", trials=[0], keep=True)
    assert "the score so far counts" in answer["message"]
    until("the order", lambda: lab.events("trial_stop_asked"))
    lab.let_go()
    assert scheduler.wait(60) == 0
    trial, oracle = lab.search.trials[0], lab.search.oracle
    assert (trial.state, trial.attempt) == ("completed", 1)
    assert trial.epochs < 50
    assert oracle.trials[0].epochs == trial.epochs
    assert 0 in oracle.rank()
    assert f"trial 0: stopped after {trial.epochs} epoch" in lab.said
    assert ", its score counts" in lab.said
    assert verify(Run(lab.run)).complaints == []


def test_a_running_search_says_that_its_script_has_been_edited(
    lab: Any, options: tuple[str, ...], until: Callable[..., Any]
) -> None:
    """It has loaded the old one: nothing is trained again with that, and the way to the new one is told."""
    scheduler, failed = running_with_failures(lab, options, until)
    lab.write(BUGGY + "# mended\n")
    os.utime(lab.script, (0, 0))  # Its clock may tell no time so short.
    answer = lab.ask("retry", trials=failed[:1])
    assert not answer["ok"]
    assert "has been edited since this search loaded it" in answer["error"]
    lab.let_go()
    assert scheduler.wait(60) == 0
