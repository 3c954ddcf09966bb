"""Faults of devices and want of memory: no trial pays for what was not its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusched import HyperParameters, Objective
from gpusched.core.commands import AnyCommand, Finish, Interrupt, Launch
from gpusched.core.events import DeviceFailed, JobEnded, SessionOpened, SlotInfo, SlotsChanged, TrialHung
from gpusched.core.outcome import End, Failure, Usage
from gpusched.core.policy import RULES, Policy
from gpusched.core.search import Search
from gpusched.core.trial import TrialState
from gpusched.oracles import Hyperband, RandomSearch

GIB = 2**30
SIGSEGV = Failure(kind="signal", message="its process was ended by SIGSEGV")
SIGKILL = Failure(kind="signal", message="its process was ended by SIGKILL")
SIGABRT = Failure(kind="signal", message="its process was ended by SIGABRT")
HUNG = Failure(kind="hang", message="no epoch for 60 s")
OOM = Failure(kind="ResourceExhaustedError", message="failed to allocate 9 GiB")
OOM_KILLED = Failure(kind="OOMKilled", message="its process was ended by the kernel")


def space() -> HyperParameters:
    hp = HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    return hp


def gpus(count: int, per_gpu: int = 1, sizes: tuple[int, ...] = ()) -> list[SlotInfo]:
    return [
        SlotInfo(
            index=i,
            devices=(f"GPU-{i % count}",),
            label=f"gpu {i % count}",
            total_bytes=(sizes[i % count] if sizes else 24) * GIB,
        )
        for i in range(count * per_gpu)
    ]


def search(
    slots: list[SlotInfo], trials: int = 12, rules: int = RULES, **more: Any
) -> tuple[Search, list[Launch], list[AnyCommand]]:
    machine = Search(RandomSearch(space(), Objective("val_loss", "min"), max_epochs=3, max_trials=trials))
    opened = SessionOpened(at=0.0, wall=0.0, pid=1, slots=slots, max_trials=trials, rules=rules, **more)
    commands = machine.handle(opened)
    return machine, launches(commands), commands


def launches(commands: list[AnyCommand]) -> list[Launch]:
    return [command for command in commands if isinstance(command, Launch)]


def finish(commands: list[AnyCommand]) -> Finish | None:
    return next((command for command in commands if isinstance(command, Finish)), None)


def ended(launch: Launch, end: End = End.COMPLETED, **more: Any) -> JobEnded:
    done: dict[str, Any] = {"epochs": launch.start_epoch}
    if end is End.COMPLETED:
        epochs = range(launch.start_epoch, launch.stop_epoch)
        done = {"epochs": launch.stop_epoch, "scores": {"val_loss": [1.0 + launch.trial - e / 1e3 for e in epochs]}}
    return JobEnded(at=1.0, trial=launch.trial, attempt=launch.attempt, end=end, **{**done, **more})


def where(machine: Search, launch: Launch) -> str:
    return machine.trials[launch.trial].devices[0]


# ---------------------------------------------------------------------------- memory


def test_out_of_memory_is_tried_again_alone() -> None:
    """The GPU that empties first of those kept for it is its own; nothing is scored, and it completes."""
    machine, out, _ = search(gpus(2, per_gpu=2))
    assert [where(machine, job) for job in out] == ["GPU-0", "GPU-1", "GPU-0", "GPU-1"]
    # Trial 2 was on GPU-0, which has the fewer trials now: kept for it, so its slot stays empty.
    assert machine.handle(ended(out[2], End.FAILED, failure=OOM)) == []
    assert machine.trials[2].state is TrialState.PENDING
    # Others go on where they are.
    (other,) = launches(machine.handle(ended(out[1])))
    assert where(machine, other) == "GPU-1"
    (alone,) = launches(machine.handle(ended(out[0])))
    assert (alone.trial, alone.attempt, alone.alone, where(machine, alone)) == (2, 2, True, "GPU-0")
    # Nothing is put beside it until it has ended, then the GPU is everybody's.
    (another,) = launches(machine.handle(ended(other)))
    assert where(machine, another) == "GPU-1"
    again = launches(machine.handle(ended(alone)))
    assert [where(machine, job) for job in again] == ["GPU-0", "GPU-0"]
    assert machine.trials[2].state is TrialState.COMPLETED


def test_out_of_memory_alone_is_a_failure_with_its_figures() -> None:
    """It is not tried a third time: what it held, and how large the GPU is, are told."""
    machine, (first,), _ = search(gpus(1), trials=2)
    (alone,) = launches(machine.handle(ended(first, End.FAILED, failure=OOM)))
    assert (alone.trial, alone.alone) == (0, True)
    usage = Usage(gpu_peak_bytes=23 * GIB)
    machine.handle(ended(alone, End.FAILED, failure=OOM, usage=usage))
    assert machine.trials[0].state is TrialState.FAILED
    assert machine.trials[0].failure is not None
    assert machine.trials[0].failure.message == (
        "needs more memory than gpu 0 of 24.0 GiB has, alone on it too; it held 23.0 GiB and wanted more "
        "(failed to allocate 9 GiB)"
    )


def test_the_largest_gpu_is_kept_for_a_trial_without_memory() -> None:
    """A smaller one that is idle is no help."""
    machine, out, _ = search(gpus(3, sizes=(8, 80, 24)), trials=3)
    assert launches(machine.handle(ended(out[0], End.FAILED, failure=OOM))) == []
    (alone,) = launches(machine.handle(ended(out[1])))
    assert (alone.trial, where(machine, alone)) == (0, "GPU-1")


def test_want_of_the_hosts_memory_is_everybodys() -> None:
    """After the kernel's OOM killer a trial runs with no other on the machine."""
    machine, out, _ = search(gpus(2), trials=4)
    assert launches(machine.handle(ended(out[0], End.KILLED, failure=OOM_KILLED))) == []
    (alone,) = launches(machine.handle(ended(out[1])))
    assert (alone.trial, alone.alone) == (0, True)
    assert [job.trial for job in launches(machine.handle(ended(alone)))] == [2, 3]


def test_a_trial_that_needs_a_gpu_alone_keeps_it_when_promoted() -> None:
    """What was learnt of a trial holds for its next job."""
    machine = Search(Hyperband(space(), Objective("val_loss", "min"), max_epochs=3, factor=3))
    opened = SessionOpened(at=0.0, wall=0.0, pid=1, slots=gpus(1, per_gpu=2), rules=RULES)
    out = launches(machine.handle(opened))
    needy = out[0].trial
    out += launches(machine.handle(ended(out.pop(0), End.FAILED, failure=OOM)))
    seen = []
    while out:
        job = out.pop(0)
        seen.append((job.trial, job.start_epoch, job.alone))
        out += launches(machine.handle(ended(job)))
    assert (needy, 0, True) in seen
    assert (needy, 1, True) in seen
    assert {trial for trial, _, alone in seen if alone} == {needy}


# ---------------------------------------------------------------------------- devices


def test_a_gpu_that_fails_gives_its_trials_to_the_others() -> None:
    """Its trials are ended, go on elsewhere from their checkpoints, and nothing starts on it any more."""
    machine, out, _ = search(gpus(2, per_gpu=2), trials=4)
    commands = machine.handle(DeviceFailed(at=1.0, device="GPU-0", reason="XID 79"))
    assert commands == [Interrupt(trial=0, attempt=1, now=True), Interrupt(trial=2, attempt=1, now=True)]
    # One of them met the fault before it could be told.
    assert machine.handle(ended(out[0], End.FAILED, failure=Failure(kind="InternalError", message="CUDA"))) == []
    assert machine.handle(ended(out[2], End.INTERRUPTED)) == []
    again = [job for done in (out[1], out[3]) for job in launches(machine.handle(ended(done)))]
    assert [(job.trial, job.attempt, where(machine, job)) for job in again] == [(0, 2, "GPU-1"), (2, 2, "GPU-1")]
    assert finish(machine.handle(ended(again[0]))) is None
    assert finish(machine.handle(ended(again[1]))) == Finish(reason="complete", code=0)


def test_a_search_ends_when_no_device_is_left() -> None:
    """… with every reason; a new session tries the devices again, and no trial was lost."""
    machine, out, _ = search(gpus(2), trials=3)
    machine.handle(DeviceFailed(at=1.0, device="GPU-0", reason="XID 79"))
    machine.handle(ended(out[0], End.INTERRUPTED))
    machine.handle(DeviceFailed(at=1.0, device="GPU-1", reason="the GPU is lost"))
    assert finish(machine.handle(ended(out[1], End.KILLED, failure=SIGSEGV))) == Finish(
        reason="no device is left (gpu 0: XID 79; gpu 1: the GPU is lost)", code=1
    )
    again = machine.handle(SessionOpened(at=2.0, wall=0.0, pid=1, slots=gpus(2), max_trials=3, rules=RULES))
    assert [job.trial for job in launches(again)] == [0, 1]


def test_a_gpu_is_to_blame_when_another_ends_well_what_died_on_it() -> None:
    """The first death is a trial's or a device's: it goes elsewhere. Two in a row and a good end elsewhere decide."""
    machine, out, _ = search(gpus(2), trials=6)
    (second,) = launches(machine.handle(ended(out[0], End.FAILED, failure=SIGSEGV)))
    assert (second.trial, where(machine, second)) == (2, "GPU-0")
    machine.handle(ended(second, End.FAILED, failure=SIGSEGV))
    assert machine.places.quarantined == {}
    (elsewhere,) = launches(machine.handle(ended(out[1])))
    assert (elsewhere.trial, where(machine, elsewhere)) == (0, "GPU-1")
    machine.handle(ended(elsewhere))
    assert machine.places.quarantined == {
        "GPU-0": "trials 0 and 2 died on it, one after the other (its process was ended by SIGSEGV), "
        "and trial 0 ended well elsewhere"
    }


@pytest.mark.parametrize("failure", [SIGKILL, SIGABRT, HUNG])
def test_the_only_gpu_is_never_taken_for_deaths(failure: Failure) -> None:
    """Killed by hand, aborted or silent, as many as may be: only its driver's word takes it away."""
    machine, out, commands = search(gpus(1), trials=8)
    while out:
        job = out.pop(0)
        if failure is HUNG:
            machine.handle(TrialHung(at=1.0, trial=job.trial, attempt=job.attempt, reason="no epoch for 60 s"))
        end = End.KILLED if failure is SIGKILL else End.INTERRUPTED if failure is HUNG else End.FAILED
        commands = machine.handle(ended(job, end, failure=failure))
        out += launches(commands)
    assert machine.places.quarantined == {}


def test_trials_killed_by_hand_on_one_gpu_do_not_blame_it() -> None:
    """They go on, and end well, wherever that is."""
    machine, out, _ = search(gpus(2), trials=6)
    for _ in range(3):
        (again,) = launches(machine.handle(ended(out[0], End.KILLED, failure=SIGKILL)))
        out[0] = again
    while out:
        out += launches(machine.handle(ended(out.pop(0))))
    assert machine.places.quarantined == {}


def test_a_trial_that_had_too_little_beside_others_is_not_too_large() -> None:
    """It is tried again while somebody else holds the GPU, not for ever; then the figures say who held what."""
    machine, (job,), _ = search(gpus(1), trials=1)
    (job,) = launches(machine.handle(ended(job, End.FAILED, failure=OOM)))
    crowded = Usage(gpu_peak_bytes=2 * GIB, gpu_others_bytes=20 * GIB)
    for _ in range(5):
        (job,) = launches(machine.handle(ended(job, End.FAILED, failure=OOM, usage=crowded)))
        assert job.alone
    machine.handle(ended(job, End.FAILED, failure=OOM, usage=crowded))
    assert machine.trials[0].state is TrialState.FAILED
    assert machine.trials[0].failure is not None
    assert "it held 2.0 GiB and wanted more; others held 20.0 GiB of it" in machine.trials[0].failure.message


def test_a_trial_that_dies_wherever_it_runs_is_to_blame() -> None:
    """No device is quarantined for it."""
    machine, out, _ = search(gpus(2), trials=6)
    (other,) = launches(machine.handle(ended(out[0], End.FAILED, failure=SIGSEGV)))
    (again,) = launches(machine.handle(ended(out[1])))
    assert (again.trial, where(machine, again)) == (0, "GPU-1")
    (next_,) = launches(machine.handle(ended(again, End.FAILED, failure=SIGSEGV)))
    assert machine.trials[0].state is TrialState.FAILED
    # GPU-0's row is broken too: one death there, of another trial, is one.
    assert launches(machine.handle(ended(other, End.FAILED, failure=SIGSEGV)))
    assert machine.places.quarantined == {}
    assert next_.trial == 3


def test_a_job_that_ends_well_breaks_the_row() -> None:
    """Two deaths with a success between them say nothing of the device."""
    machine, (job,), _ = search(gpus(1), trials=6)
    for end in (End.FAILED, End.COMPLETED, End.FAILED, End.COMPLETED):
        failure = SIGSEGV if end is End.FAILED else None
        (job,) = launches(machine.handle(ended(job, end, failure=failure)))
    assert machine.places.quarantined == {}


def test_a_framework_that_sees_one_gpu_and_not_another() -> None:
    """NoGPU ends the search where no GPU was ever seen; where one was, it is that GPU's fault."""
    blind = Failure(kind="NoGPU", message="TensorFlow sees no GPU")
    machine, out, _ = search(gpus(2), trials=6)
    machine.handle(ended(out[0], End.FATAL, failure=blind))
    assert machine.ending == Finish(reason="TensorFlow sees no GPU", code=1)
    machine, out, _ = search(gpus(2), trials=6)
    machine.handle(ended(out[1]))
    assert launches(machine.handle(ended(out[0], End.FATAL, failure=blind)))
    assert machine.ending is None


def test_a_hung_trial_is_ended_and_tried_once_more() -> None:
    """The second time it fails; an attempt that has ended meanwhile is let be."""
    machine, (first,), _ = search(gpus(1), trials=1)
    hung = TrialHung(at=1.0, trial=0, attempt=1, reason="no epoch for 60 s")
    assert machine.handle(hung) == [Interrupt(trial=0, attempt=1, now=True)]
    assert machine.handle(hung) == []
    (again,) = launches(machine.handle(ended(first, End.INTERRUPTED)))
    assert machine.handle(hung) == []
    machine.handle(TrialHung(at=1.0, trial=0, attempt=2, reason="no epoch for 60 s"))
    assert finish(machine.handle(ended(again, End.INTERRUPTED))) is not None
    assert machine.trials[0].state is TrialState.FAILED
    assert machine.trials[0].failure == Failure(kind="hang", message="no epoch for 60 s")


# ---------------------------------------------------------------------------- the slots


def test_a_search_waits_for_devices_that_may_come() -> None:
    """Without a slot it does not end as long as one is waited for, and begins when it is there."""
    machine, out, commands = search([], waiting=["gpu 0: python (pid 7) computes on it"])
    assert (out, commands) == ([], [])
    assert [job.trial for job in launches(machine.handle(SlotsChanged(at=1.0, slots=gpus(1))))] == [0]
    machine, _, commands = search([])
    assert finish(commands) == Finish(reason="no device is left", code=1)


def test_changed_slots_leave_running_trials_where_they_are() -> None:
    """A slot that is there before and after keeps its trial."""
    machine, out, _ = search(gpus(2, per_gpu=2))
    machine.handle(ended(out[0]))
    before = {trial.id: trial.slot for trial in machine.running}
    machine.handle(SlotsChanged(at=1.0, slots=gpus(2, per_gpu=3)))
    assert {trial.id: trial.slot for trial in machine.running if trial.id in before} == before


def test_journals_from_before_these_rules_are_replayed_as_they_were_written() -> None:
    """Out of memory was a failure then."""
    machine, out, _ = search(gpus(1), rules=0)
    (other,) = launches(machine.handle(ended(out[0], End.FAILED, failure=OOM)))
    assert machine.trials[0].state is TrialState.FAILED
    assert other.trial == 1


@settings(max_examples=80, deadline=None)
@given(data=st.data(), count=st.integers(1, 3), per_gpu=st.integers(1, 3), seed=st.integers(0, 3))
def test_whatever_fails_promotions_are_the_same(data: st.DataObject, count: int, per_gpu: int, seed: int) -> None:
    """Devices fail, trials hang, die and run out of memory once: no score is lost, no GPU has company that must not,
    and the journal's replay decides the same."""

    def oracle() -> Hyperband:
        return Hyperband(space(), Objective("val_loss", "min"), max_epochs=9, factor=3, seed=seed)

    calm = Search(oracle())
    out = launches(calm.handle(SessionOpened(at=0.0, wall=0.0, pid=1, slots=gpus(1), rules=RULES)))
    while out:
        out += launches(calm.handle(ended(out.pop())))

    live, events, decided = Search(oracle(), Policy(max_kills=10**6)), [], []
    harmed: set[int] = set()

    def happen(event: Any) -> list[AnyCommand]:
        commands = live.handle(event)
        events.append(event)
        decided.append(commands)
        return commands

    commands = happen(SessionOpened(at=0.0, wall=0.0, pid=1, slots=gpus(count, per_gpu), rules=RULES))
    out = launches(commands)
    lost_one = False
    for _ in range(2_000):
        if finish(commands):
            break
        kind = data.draw(st.sampled_from(["ok"] * 6 + ["oom", "host", "segv", "device", "hang"]))
        if kind == "device" and count > 1 and not lost_one:
            lost_one = True
            commands = happen(DeviceFailed(at=1.0, device="GPU-0", reason="XID 79"))
            out += launches(commands)
            continue
        job = out.pop(data.draw(st.integers(0, len(out) - 1)))
        fresh = job.trial not in harmed
        if kind == "oom" and fresh and not job.alone:
            harmed.add(job.trial)
            commands = happen(ended(job, End.FAILED, failure=OOM))
        elif kind == "host" and fresh and not job.alone:
            harmed.add(job.trial)
            commands = happen(ended(job, End.KILLED, failure=OOM_KILLED))
        elif kind == "segv" and fresh and not harmed:  # One death: two in a row would cost the device.
            harmed.add(job.trial)
            commands = happen(ended(job, End.FAILED, failure=SIGSEGV))
        elif kind == "hang" and fresh and not harmed:
            harmed.add(job.trial)
            more = happen(TrialHung(at=1.0, trial=job.trial, attempt=job.attempt, reason="silent"))
            assert launches(more) == []
            commands = happen(ended(job, End.INTERRUPTED))
        else:
            commands = happen(ended(job))
        out += launches(commands)
        for alone in (trial for trial in live.running if trial.was_alone):
            others = {d for other in live.running if other is not alone for d in other.devices}
            assert not others & set(alone.devices)
            assert alone.was_alone == "device" or len(live.running) == 1
    assert finish(commands) == Finish(reason="complete", code=0)
    assert live.oracle.rank() == calm.oracle.rank()
    again = Search(oracle(), Policy(max_kills=10**6))
    assert [again.handle(event) for event in events] == decided
