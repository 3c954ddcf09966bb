"""kill -9 of any part of a search, and carrying on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest


def test_a_killed_scheduler_costs_nothing(lab: Any, until: Callable[..., Any]) -> None:
    """Its trials train on; the next scheduler adopts the living and reads the outcomes of the others."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    trials = lab.trial_pids()
    scheduler.kill()
    scheduler.wait()
    assert sorted(lab.trial_pids()) == sorted(trials)
    again = lab.start()
    until("adoption", lambda: len([e for e in lab.events("job_started") if e.get("adopted")]) == 2)
    lab.let_go()
    assert again.wait(60) == 0
    assert lab.processes() == []
    opened = lab.events("session_opened")
    assert [event.get("adopted", []) for event in opened] == [[], [0, 1]]
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75
    assert {event["pid"] for event in lab.events("job_started") if event.get("adopted")} == set(trials)


def test_trials_that_finish_unseen_are_not_trained_again(lab: Any, until: Callable[..., Any]) -> None:
    """What ended between two schedulers is read from its files, with what the kernel counted."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    scheduler.kill()
    scheduler.wait()
    lab.let_go()
    until("an empty machine", lambda: lab.processes() == [])
    assert lab.finish()[0] == 0
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75
    ends = [end for end in lab.events("job_ended") if end["trial"] in (0, 1) and end["attempt"] == 1]
    assert [end["end"] for end in ends] == ["completed", "completed"]
    assert all(end["usage"]["cpu_seconds"] > 0 for end in ends)


@pytest.mark.parametrize("who", ["launcher", "guardian", "both"])
def test_a_killed_launcher_costs_no_epoch(lab: Any, until: Callable[..., Any], who: str) -> None:
    """Its trials train on, and another launcher starts the next ones."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    launcher, guardian = lab.launchers(), lab.guardians()
    assert len(launcher) == len(guardian) == 1
    lab.kill({"launcher": launcher, "guardian": guardian, "both": launcher + guardian}[who])
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert lab.processes() == []
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75


def test_a_killed_trial_goes_on_from_its_checkpoint(lab: Any, until: Callable[..., Any]) -> None:
    """Only the epoch it was in is trained again."""
    scheduler = lab.start("--algorithm", "random", "--max-trials", "1", "--max-epochs", "9", EPOCH_SECONDS="0.05")
    until("its third epoch", lambda: len(lab.ledger) == 3)
    lab.kill(lab.trial_pids())
    assert scheduler.wait(60) == 0
    epochs = [epoch for _, epoch, _ in lab.ledger]
    assert sorted(set(epochs)) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert len(epochs) <= 10
    assert [end["end"] for end in lab.events("job_ended")] == ["killed", "completed"]


def test_everything_killed_at_once_is_carried_on(lab: Any, until: Callable[..., Any]) -> None:
    """As after a power cut: the same command goes on, and finished jobs stay finished."""
    scheduler = lab.start()
    until("some progress", lambda: len(lab.events("job_ended")) >= 5)
    lab.kill(lab.processes())
    scheduler.wait()
    until("an empty machine", lambda: lab.processes() == [])
    finished = {(end["trial"], end["epochs"]) for end in lab.events("job_ended")}
    begun = len(lab.ledger)
    assert lab.finish()[0] == 0
    again = {(trial, epoch) for trial, epoch, _ in lab.ledger[begun:]}
    assert not finished & again
    assert lab.processes() == []


@pytest.mark.slow
def test_a_stopped_launcher_does_not_stop_the_next_session(lab: Any, until: Callable[..., Any]) -> None:
    """A launcher that does not answer is killed; its trials are adopted all the same."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    (launcher,) = lab.launchers()

    os.kill(launcher, signal.SIGSTOP)
    scheduler.kill()
    scheduler.wait()
    again = lab.start()
    until("adoption", lambda: len([e for e in lab.events("job_started") if e.get("adopted")]) == 2)
    lab.let_go()
    assert again.wait(60) == 0
    assert lab.processes() == []
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75


def test_a_second_scheduler_is_refused(lab: Any, until: Callable[..., Any]) -> None:
    """With the pid of the first, and without touching anything."""
    lab.hold()
    first = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    before = lab.journal()
    code, said = lab.finish()
    assert code == 2
    assert f"process {first.pid} runs this search already" in said
    assert lab.journal() == before
    lab.let_go()
    assert first.wait(60) == 0


def test_a_complete_search_is_complete(lab: Any) -> None:
    """Running it again trains nothing and succeeds."""
    assert lab.finish()[0] == 0
    trained = lab.ledger
    code, said = lab.finish()
    assert (code, lab.ledger) == (0, trained)
    assert "search ended: complete" in said


def test_a_torn_journal_is_carried_on(lab: Any) -> None:
    """A line that a crash tore is dropped with a notice, and found anew."""
    assert lab.finish("--algorithm", "random", "--max-trials", "3")[0] == 0
    lines = lab.run.journal.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in reversed(list(enumerate(lines))) if b'"job_ended"' in line)
    lab.run.journal.write_bytes(b"".join(lines[:at]) + lines[at][:20])
    trained = lab.ledger
    code, said = lab.finish("--algorithm", "random", "--max-trials", "3")
    assert (code, lab.ledger) == (0, trained)
    assert "a crash tore its last line" in said


def test_a_pause_ends_with_its_scheduler(lab: Any, until: Callable[..., Any]) -> None:
    """A search that was paused when its scheduler died runs when it is started again."""
    lab.hold()
    scheduler = lab.start()
    until("two trials in training", lambda: len(lab.ledger) == 2)
    lab.ask("pause")
    lab.let_go()
    until("the pause", lambda: len(lab.events("job_ended")) == 2)
    assert lab.ask("status")["phase"] == "paused"
    scheduler.kill()
    scheduler.wait()
    assert lab.finish()[0] == 0
