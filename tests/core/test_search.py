"""The state machine: what it decides when jobs end in every way they can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusched import HyperParameters, Objective
from gpusched.core.commands import AnyCommand, Finish, Interrupt, Launch
from gpusched.core.events import (
    ConfigurationAdded,
    JobEnded,
    MaxTimeChanged,
    PauseAsked,
    ResumeAsked,
    SessionClosed,
    SessionOpened,
    SlotInfo,
    SlotsChanged,
    StopAsked,
    TimeExpired,
    TrialRetryAsked,
    TrialsGivenBack,
    TrialStopAsked,
)
from gpusched.core.outcome import End, Failure
from gpusched.core.policy import Phase, Policy
from gpusched.core.search import Search
from gpusched.core.trial import TrialState
from gpusched.oracles import Hyperband, RandomSearch


def space() -> HyperParameters:
    hp = HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    return hp


def loss() -> Objective:
    return Objective("val_loss", "min")


def cpu(n: int) -> list[SlotInfo]:
    return [SlotInfo(index=i, devices=("cpu",)) for i in range(n)]


def opened(slots: list[SlotInfo], at: float = 0.0, **more: Any) -> SessionOpened:
    return SessionOpened(at=at, wall=0.0, pid=1, slots=slots, **more)


def launches(commands: list[AnyCommand]) -> list[Launch]:
    return [command for command in commands if isinstance(command, Launch)]


def finish(commands: list[AnyCommand]) -> Finish | None:
    return next((command for command in commands if isinstance(command, Finish)), None)


def ended(launch: Launch, end: End = End.COMPLETED, **more: Any) -> JobEnded:
    epochs = range(launch.start_epoch, launch.stop_epoch)
    done: dict[str, Any] = {"epochs": launch.start_epoch}
    if end is End.COMPLETED:
        # The lower the trial's id, the better: every promotion is known.
        done = {
            "epochs": launch.stop_epoch,
            "scores": {"val_loss": [1.0 + launch.trial - epoch / 1e3 for epoch in epochs]},
        }
    return JobEnded(trial=launch.trial, attempt=launch.attempt, end=end, **{"at": 1.0, **done, **more})


def search(trials: int = 6, slots: int = 2, **policy: int) -> tuple[Search, list[Launch]]:
    """A random search under way."""
    machine = Search(RandomSearch(space(), loss(), max_epochs=3, max_trials=trials), Policy(**policy))
    return machine, launches(machine.handle(opened(cpu(slots), max_trials=trials)))


BROKEN = Failure(kind="ValueError", message="no")


def test_every_slot_gets_a_job_at_once() -> None:
    """A session opens by filling its slots, the lowest trials first."""
    _, running = search(slots=3)
    assert [(launch.trial, launch.slot, launch.attempt) for launch in running] == [(0, 0, 1), (1, 1, 1), (2, 2, 1)]


def test_a_freed_slot_is_filled_in_the_same_breath() -> None:
    """The end of a job and the start of the next are one step."""
    machine, running = search()
    assert [(job.trial, job.slot) for job in launches(machine.handle(ended(running[1])))] == [(2, 1)]


def test_a_search_finishes_when_its_last_job_has() -> None:
    """Complete is said once, with exit code 0, and not before the last job has ended."""
    machine, running = search(trials=2)
    assert finish(machine.handle(ended(running[0]))) is None
    assert finish(machine.handle(ended(running[1]))) == Finish(reason="complete", code=0)


def test_trials_spread_over_gpus_before_they_double_up() -> None:
    """Breadth first: a GPU gets its second trial only when all have one."""
    slots = [SlotInfo(index=i, devices=(f"GPU-{i % 3}",)) for i in range(6)]
    machine = Search(RandomSearch(space(), loss(), max_trials=20))
    running = launches(machine.handle(opened(slots, max_trials=20)))
    assert [slots[job.slot].devices[0] for job in running] == ["GPU-0", "GPU-1", "GPU-2"] * 2
    # GPU-1 becomes empty: both of its next two trials go there.
    for job in [job for job in running if slots[job.slot].devices == ("GPU-1",)]:
        machine.handle(PauseAsked(at=1.0))
        machine.handle(ended(job))
    again = launches(machine.handle(ResumeAsked(at=2.0)))
    assert [slots[job.slot].devices[0] for job in again] == ["GPU-1", "GPU-1"]


def test_a_trial_that_raises_costs_itself_alone() -> None:
    """Its slot goes to the next trial, and the search completes."""
    machine, running = search(trials=3)
    (third,) = launches(machine.handle(ended(running[0], End.FAILED, failure=BROKEN)))
    assert machine.trials[0].state is TrialState.FAILED
    machine.handle(ended(running[1]))
    assert finish(machine.handle(ended(third))) == Finish(reason="complete", code=0)


def test_a_retry_keeps_trial_and_values() -> None:
    """Another attempt is the same trial with the same values, until its retries are used up."""
    machine, running = search(slots=1, max_retries=1)
    (again,) = launches(machine.handle(ended(running[0], End.FAILED, failure=BROKEN)))
    assert (again.trial, again.attempt, again.values) == (0, 2, running[0].values)
    (other,) = launches(machine.handle(ended(again, End.FAILED, failure=BROKEN)))
    assert other.trial == 1
    assert machine.trials[0].state is TrialState.FAILED


def test_a_trial_that_says_so_is_not_retried() -> None:
    """FailedTrialError and NaN repeat themselves: no attempt is wasted on them."""
    machine, running = search(slots=1, max_retries=3)
    (other,) = launches(machine.handle(ended(running[0], End.FAILED, failure=BROKEN, retry=False)))
    assert other.trial == 1


def test_a_kill_from_outside_is_no_failure() -> None:
    """A killed trial goes on, with no retries to spend; one that cannot live for an epoch is given up."""
    machine, running = search(slots=1, max_kills=3)
    job, signal = running[0], Failure(kind="signal", message="SIGKILL")
    for _ in range(2):
        (job,) = launches(machine.handle(ended(job, End.KILLED, failure=signal)))
        assert job.trial == 0
    (job,) = launches(machine.handle(ended(job, End.KILLED, failure=signal, epochs=1)))  # It got further: counted anew.
    assert job.trial == 0
    for expected in (0, 0, 1):
        (job,) = launches(machine.handle(ended(job, End.KILLED, failure=signal, epochs=1)))
        assert job.trial == expected


def test_a_machine_that_goes_down_is_never_the_trials_fault() -> None:
    """Lost with its launcher, a trial is started again however often."""
    machine, running = search(slots=1, max_kills=1)
    job = running[0]
    for _ in range(10):
        (job,) = launches(machine.handle(ended(job, End.KILLED)))
        assert job.trial == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_three_failures_in_a_row_stop_the_search_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    """Neighbours by number, not by arrival; the reason names them, the exit code is 1."""
    machine, running = search(trials=9, slots=4)
    commands: list[AnyCommand] = []
    for i in order:
        assert machine.phase is Phase.RUNNING
        commands = machine.handle(ended(running[i], End.FAILED, failure=BROKEN))
    assert machine.phase is Phase.STOPPING
    for job in [command for command in commands if isinstance(command, Interrupt)]:
        trial = machine.trials[job.trial]
        last = Launch(trial=trial.id, attempt=trial.attempt, slot=0, start_epoch=0, stop_epoch=3, values=trial.values)
        commands = machine.handle(ended(last, End.INTERRUPTED))
    assert finish(commands) == Finish(
        reason=f"3 trials in a row failed (0, 1, 2); trial {order[-1]}: ValueError: no", code=1
    )


def test_scattered_failures_do_not_stop_the_search() -> None:
    """A success between two failures breaks the row."""
    machine, running = search(trials=5, slots=5)
    for i, end in enumerate([End.FAILED, End.FAILED, End.COMPLETED, End.FAILED, End.FAILED]):
        commands = machine.handle(ended(running[i], end))
    assert finish(commands) == Finish(reason="complete", code=0)


def test_a_search_without_one_completed_trial_has_failed() -> None:
    """Exit code 1, and the reason says so."""
    machine, running = search(trials=2, max_consecutive_failed=9)
    machine.handle(ended(running[0], End.FAILED, failure=BROKEN))
    commands = machine.handle(ended(running[1], End.FAILED, failure=BROKEN))
    assert finish(commands) == Finish(reason="complete, without one completed trial", code=1)


def test_stopping_interrupts_what_runs_and_starts_nothing() -> None:
    """Ctrl-C: running trials stop gently, the second time at once; the session ends with 130 when they have."""
    machine, running = search()
    assert machine.handle(StopAsked(at=1.0)) == [
        Interrupt(trial=0, attempt=1, now=False),
        Interrupt(trial=1, attempt=1, now=False),
    ]
    assert machine.handle(ended(running[0], End.INTERRUPTED)) == []
    assert machine.handle(StopAsked(at=1.0, now=True)) == [Interrupt(trial=1, attempt=1, now=True)]
    assert machine.handle(ended(running[1], End.INTERRUPTED)) == [Finish(reason="interrupted", code=130)]


def test_used_up_time_is_a_good_end() -> None:
    """max_time ends the session with 0 where a trial was completed."""
    machine, running = search()
    (third,) = launches(machine.handle(ended(running[0])))
    machine.handle(TimeExpired(at=2.0))
    machine.handle(ended(running[1], End.INTERRUPTED))
    assert machine.handle(ended(third, End.INTERRUPTED)) == [Finish(reason="max_time is used", code=0)]


def test_time_counts_until_the_last_trial_of_a_pause_has_ended() -> None:
    """And from the moment at which it is resumed."""
    machine, running = search()
    machine.handle(PauseAsked(at=2.0))
    machine.handle(ended(running[0], End.INTERRUPTED, at=3.0))
    assert machine.worked(3.5) == 3.5
    machine.handle(ended(running[1], End.INTERRUPTED, at=4.0))
    assert machine.rests
    assert machine.worked(9.0) == 4.0
    machine.handle(MaxTimeChanged(at=10.0, max_time=60.0))
    machine.handle(ResumeAsked(at=14.0))
    assert machine.worked(15.0) == 5.0
    machine.handle(SessionClosed(at=16.0, reason="", code=1))
    assert machine.worked(16.0) == 6.0


def test_interrupted_trials_go_on_first_in_the_next_session() -> None:
    """Nothing finished is repeated, and what was interrupted keeps its id and values."""
    machine, running = search()
    machine.handle(StopAsked(at=1.0))
    machine.handle(ended(running[1], End.INTERRUPTED, epochs=2))
    machine.handle(ended(running[0], End.INTERRUPTED, epochs=1))
    machine.handle(SessionClosed(at=1.0, reason="interrupted", code=130))
    again = launches(machine.handle(opened(cpu(2), max_trials=6)))
    assert {(job.trial, job.attempt) for job in again} == {(0, 2), (1, 2)}


def test_what_lives_is_adopted_and_what_died_unseen_is_started_again() -> None:
    """After a killed scheduler, a running trial keeps its slot; a vanished one is launched anew."""
    machine, _ = search(slots=2)
    machine.handle(SessionClosed(at=1.0, reason="killed", code=137))
    again = launches(machine.handle(opened(cpu(2), adopted=[1], max_trials=6)))
    assert [(job.trial, job.attempt) for job in again] == [(0, 2)]
    assert {trial.id: trial.slot is not None for trial in machine.running} == {0: True, 1: True}


def test_pausing_frees_the_slots_and_resuming_fills_them() -> None:
    """Between the two nothing starts, and the paused jobs go on where they were."""
    machine, running = search()
    machine.handle(PauseAsked(at=1.0))
    assert machine.handle(ended(running[0], End.INTERRUPTED)) == []
    assert launches(machine.handle(ended(running[1]))) == []
    again = launches(machine.handle(ResumeAsked(at=2.0)))
    assert [(job.trial, job.attempt) for job in again] == [(0, 2), (2, 1)]


def test_a_trial_stopped_by_hand_counts_as_failed_and_not_in_the_row() -> None:
    """`gpusched stop RUN 0`: ended at once, never retried, and no reason to stop the search."""
    machine, running = search(max_retries=5, max_consecutive_failed=1)
    assert machine.handle(TrialStopAsked(at=1.0, trial=0)) == [Interrupt(trial=0, attempt=1, now=True)]
    (other,) = launches(machine.handle(ended(running[0], End.INTERRUPTED)))
    assert other.trial == 2
    assert machine.trials[0].state is TrialState.STOPPED
    assert machine.phase is Phase.RUNNING


def test_an_end_told_twice_counts_once() -> None:
    """A launcher's word and the file a trial left are the same end."""
    machine, running = search()
    machine.handle(ended(running[0]))
    assert machine.handle(ended(running[0])) == []


def test_a_lowered_cap_lets_trials_finish() -> None:
    """Trials beyond the new slots train on; nothing starts before the cap has room, whichever ends first."""
    machine, running = search(slots=3)
    assert machine.handle(SlotsChanged(at=1.0, slots=cpu(1))) == []
    assert launches(machine.handle(ended(running[0]))) == []
    assert launches(machine.handle(ended(running[2]))) == []
    assert len(launches(machine.handle(ended(running[1])))) == 1


def test_hyperparameters_met_late_join_the_space_and_the_trial() -> None:
    """Their values stay with the trial, and later trials have them too."""
    machine, running = search(slots=1)
    late = HyperParameters()
    late.Int("batch", 16, 64)
    config = late.get_config()["space"]
    (second,) = launches(machine.handle(ended(running[0], late=config, values={**running[0].values, "batch": 32})))
    assert machine.oracle.trials[0].values["batch"] == 32
    assert set(second.values) == {"lr", "batch"}


@settings(deadline=None, max_examples=60)
@given(data=st.data(), slots=st.integers(1, 8), seed=st.integers(0, 3))
def test_a_replayed_journal_gives_the_same_state(data: st.DataObject, slots: int, seed: int) -> None:
    """Whatever happens to jobs, in whatever order: the same events give the same decisions, and the search ends."""
    oracle = lambda: Hyperband(space(), loss(), max_epochs=9, factor=3, seed=seed)  # noqa: E731
    policy = Policy(max_retries=1, max_consecutive_failed=10**6)
    live, events, decided = Search(oracle(), policy), [], []

    def happen(event: Any) -> list[AnyCommand]:
        commands = live.handle(event)
        events.append(event)
        decided.append(commands)
        return commands

    commands = happen(opened(cpu(slots)))
    out: list[Launch] = launches(commands)
    for _ in range(10_000):
        if finish(commands):
            break
        job = out.pop(data.draw(st.integers(0, len(out) - 1)))
        end = data.draw(st.sampled_from([End.COMPLETED] * 6 + [End.FAILED, End.KILLED, End.OVERSIZE]))
        commands = happen(ended(job, end))
        out += launches(commands)
        asked = data.draw(st.sampled_from([None] * 5 + ["back", "keep", "add"]))
        if asked is not None and not finish(commands):
            trial = data.draw(st.sampled_from(sorted(live.trials)))
            added = ConfigurationAdded(at=1.0, values={"lr": 0.01})
            wishes = {"back": TrialsGivenBack(at=1.0, trials=[trial]), "add": added}
            commands = happen(wishes.get(asked, TrialStopAsked(at=1.0, trial=trial, keep=True)))
            out += launches(commands)
        assert len(out) <= slots
    assert finish(commands)
    again = Search(oracle(), policy)
    assert [again.handle(event) for event in events] == decided
    assert {i: (t.state, t.values) for i, t in again.trials.items()} == {
        i: (t.state, t.values) for i, t in live.trials.items()
    }


def test_a_running_trial_is_tried_again() -> None:
    """Its attempt is ended at once, and the same job is launched again in its place."""
    machine, running = search()
    assert machine.handle(TrialRetryAsked(at=1.0, trial=0)) == [Interrupt(trial=0, attempt=1, now=True)]
    again = launches(machine.handle(ended(running[0], End.INTERRUPTED)))
    assert [(each.trial, each.attempt, each.values) for each in again] == [(0, 2, running[0].values)]


def test_an_older_journal_s_retry_is_replayed_as_it_was() -> None:
    """There a new trial got the values of one that had failed, and the search was as long as before."""
    machine, running = search()
    after = launches(machine.handle(ended(running[0], End.FAILED, failure=BROKEN)))
    assert machine.handle(TrialRetryAsked(at=2.0, trial=0)) == []
    after += launches(machine.handle(ended(running[1])))
    assert after[1].trial == 3
    assert after[1].values == running[0].values
    assert machine.trials[0].state is TrialState.FAILED


def test_values_are_tried_again_though_each_is_tried_once() -> None:
    """In a space of few configurations too, what a person asks for is done."""
    hp = HyperParameters()
    hp.Choice("kind", ["a", "b", "c", "d"])
    machine = Search(RandomSearch(hp, loss(), max_epochs=3, max_trials=4, seed=3))
    running = launches(machine.handle(opened(cpu(1), max_trials=4)))
    running += launches(machine.handle(ended(running[0], End.FAILED, failure=BROKEN)))
    machine.handle(TrialRetryAsked(at=2.0, trial=0))
    running += launches(machine.handle(ended(running[1])))
    assert running[2].values == running[0].values
