"""Orders to a running search, over its socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def two_trials(lab: Any, until: Callable[..., Any], *options: str, **environ: str) -> Any:
    lab.hold()
    scheduler = lab.start(*options, **environ)
    until("two trials in training", lambda: len(lab.ledger) >= 2)
    until("both in the journal", lambda: len(lab.events("job_started")) >= 2)
    return scheduler


def test_status_tells_who_works(lab: Any, until: Callable[..., Any]) -> None:
    """Phase, pid and running time of the scheduler."""
    scheduler = two_trials(lab, until)
    answer = lab.ask("status")
    assert answer["ok"]
    assert (answer["phase"], answer["pid"], answer["message"]) == ("running", scheduler.pid, "running, 2 running")
    assert answer["at"] > 0


def test_a_pause_frees_the_devices(lab: Any, until: Callable[..., Any]) -> None:
    """At the end of the running epochs nothing runs; resume goes on where it was."""
    scheduler = two_trials(lab, until)
    assert lab.ask("pause")["ok"]
    lab.let_go()
    until("the pause", lambda: len(lab.events("job_ended")) == 2)
    until("free devices", lambda: lab.trial_pids() == [])
    assert lab.ask("status")["phase"] == "paused"
    assert lab.ask("resume")["ok"]
    assert scheduler.wait(60) == 0
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75


def test_a_trial_is_stopped_by_hand(lab: Any, until: Callable[..., Any]) -> None:
    """It counts as failed; one that is unknown or has ended is refused."""
    scheduler = two_trials(lab, until)
    assert lab.ask("stop_trials", trials=[99])["error"] == "trial 99: there is no such trial yet"
    assert lab.ask("stop_trials", trials=[1])["ok"]
    until("its end", lambda: lab.events("job_ended"))
    assert lab.ask("stop_trials", trials=[1])["error"] == "trial 1: it is stopped already"
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert lab.search.trials[1].state == "stopped"


def test_a_trial_is_tried_again_by_hand(lab: Any, until: Callable[..., Any]) -> None:
    """A running one begins anew, a lost one is trained after all; others are refused, and why."""
    options = "--algorithm random --objective val_loss --max-trials 5 --cpu-slots 2 --seed 7"
    scheduler = two_trials(lab, until, *options.split())
    assert lab.ask("retry", trials=[0])["message"] == "trial 0 begins again from its newest checkpoint"
    until("its next attempt", lambda: [trial for trial, _, _ in lab.ledger].count(0) == 2)
    assert lab.ask("retry", trials=[99])["error"] == "trial 99: there is no such trial yet"
    lab.ask("stop_trials", trials=[1])
    until("its end", lambda: lab.search.trials[1].state == "stopped")
    assert lab.ask("retry", trials=[1])["message"] == "trial 1: trained again as soon as a slot is free"
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert {trial.state for trial in lab.search.trials.values()} == {"completed"}


def test_the_cap_of_a_gpu_changes(lab: Any, fake_nvml: Any, until: Callable[..., Any]) -> None:
    """set per_gpu lays the slots anew over the same devices, while trials run, and back."""
    fake_nvml.add(2)
    two_trials(lab, until, **{**fake_nvml.environ, **lab.environ, "EPOCH_SECONDS": "0"})
    answer = lab.ask("set", per_gpu=2)
    assert answer["message"] == "2 trials per GPU: 4 slots"
    until("four trials", lambda: len(lab.ledger) == 4)
    devices = [trial.devices for trial in lab.search.running]
    assert sorted(devices) == sorted([(gpu["uuid"],) for gpu in fake_nvml.devices] * 2)
    assert lab.ask("set", per_gpu=1)["message"] == "1 trials per GPU: 2 slots"
    until("the change", lambda: len(lab.events("slots_changed")) == 2)
    assert len(lab.search.slots) == 2
    assert len(lab.search.running) == 4


def test_a_cap_needs_a_gpu(lab: Any, until: Callable[..., Any]) -> None:
    """On CPU slots the way out is named."""
    two_trials(lab, until)
    assert "no GPU is in use here" in lab.ask("set", per_gpu=2)["error"]
    assert "nothing to change" in lab.ask("set")["error"]
    assert "max_time: -1.0 is not possible" in lab.ask("set", max_time=-1.0)["error"]
    assert "a running search knows" in lab.ask("dance")["error"]


def test_the_time_changes(lab: Any, until: Callable[..., Any]) -> None:
    """A time that is used already ends the search at the end of the epochs, with success; the next session goes on."""
    scheduler = two_trials(lab, until)
    assert lab.ask("set", max_time=0.001)["ok"]
    until("the end of the time", lambda: lab.events("time_expired"))
    lab.let_go()
    assert scheduler.wait(60) == 1
    assert "max_time is used" in lab.said
    assert lab.search.max_time == 0.001
    assert lab.finish()[0] == 0
    assert lab.search.max_time is None


def test_a_pause_uses_no_time(lab: Any, until: Callable[..., Any]) -> None:
    """The clock stands still while nothing runs, and goes on where it was."""
    scheduler = two_trials(lab, until)
    lab.ask("pause", now=True)
    until("rest", lambda: lab.search.rests)
    paused = lab.ask("status")["at"]
    lab.ask("set", max_time=paused + 0.5)
    until("a second", lambda: lab.ask("status")["at"] > paused + 1.0)
    assert lab.ask("status")["phase"] == "paused"
    assert lab.events("time_expired") == []
    lab.ask("resume")
    until("the end of the time", lambda: lab.events("time_expired"))
    lab.let_go()
    assert scheduler.wait(60) == 1
    (expired,) = lab.events("time_expired")
    assert expired["at"] > paused + 1.0


def test_useless_checkpoints_go(lab: Any) -> None:
    """When a search is complete no trial can go on: no full state is left."""
    assert lab.finish()[0] == 0
    assert [trial for trial in lab.run.trial_ids() if lab.run.trial(trial).checkpoint.exists()] == []


def test_an_order_may_name_many_trials(lab: Any, until: Callable[..., Any]) -> None:
    """However long, it is read whole; past 16 MiB it is refused, and the search runs on."""
    scheduler = two_trials(lab, until)
    assert lab.ask("stop_trials", trials=list(range(50, 30_050)))["error"] == "trial 50: there is no such trial yet"
    assert "more than 16 MiB" in lab.ask("stop_trials", trials=[0] * 9_000_000)["error"]
    assert lab.ask("status")["ok"]
    lab.let_go()
    assert scheduler.wait(60) == 0
    assert "Traceback" not in lab.said
