"""What every engine promises."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from gpusched.core.outcome import End
from gpusched.storage.identity import boot_id, identity_of


async def test_a_launch_ends_in_one_report(engines: Any) -> None:
    """However a job ends, it is told once, with the reason."""
    async with engines() as place:
        for trial, do in enumerate(("train", "raise", "exit", "crash")):
            await place.engine.launch(place.spec(trial, do))
        trained, raised, left, crashed = [await place.end_of(trial) for trial in range(4)]
        for trial in range(4):
            await place.engine.acknowledge(trial, 1)
    assert [len(place.ends(trial)) for trial in range(4)] == [1, 1, 1, 1]
    assert (trained.end, trained.epochs, trained.scores) == (End.COMPLETED, 2, {"val_loss": [1.0, 0.5]})
    assert (raised.end, raised.failure.kind, raised.failure.message) == (End.FAILED, "ValueError", "odd")
    assert (left.end, left.failure.message) == (End.FAILED, "its process exited with code 3 in mid-training")
    assert (crashed.end, crashed.failure.message) == (End.FAILED, "its process was ended by SIGSEGV")
    assert [len(place.started(trial)) for trial in range(4)] == [1, 1, 1, 1]


async def test_a_job_killed_from_outside_is_no_failure(engines: Any) -> None:
    """kill -9 is told apart from a fault of the trial's own."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang"))
        await place.begun(0)
        os.kill(place.started(0)[0].pid, signal.SIGKILL)
        end = await place.end_of(0)
    assert (end.end, end.failure.message) == (End.KILLED, "its process was ended by SIGKILL")


async def test_an_interrupt_waits_for_the_epoch(engines: Any) -> None:
    """Gently: the epoch is reported and saved; the trial ends before the next."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang"))
        await place.begun(0)
        await place.engine.interrupt(0, 1, now=False)
        (place.work.trial(0).path / "go once asked to stop").touch()
        end = await place.end_of(0)
    assert (end.end, end.epochs) == (End.INTERRUPTED, 1)


async def test_an_interrupt_now_kills(engines: Any) -> None:
    """At once: whatever the trial is doing."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang"))
        await place.begun(0)
        await place.engine.interrupt(0, 1, now=True)
        end = await place.end_of(0)
    assert (end.end, end.epochs) == (End.INTERRUPTED, 0)


async def test_an_interrupt_may_come_at_any_time(engines: Any) -> None:
    """Right after the launch, for an older attempt, for a trial that is unknown: one end, and no error."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang", attempt=2))
        await place.engine.interrupt(0, 1, now=True)
        await place.engine.interrupt(7, 1, now=True)
        await place.begun(0)
        assert place.ends(0) == []
        await place.engine.interrupt(0, 2, now=True)
        await place.engine.launch(place.spec(1, "hang"))
        await place.engine.interrupt(1, 1, now=True)
        assert (await place.end_of(1)).end is End.INTERRUPTED
        assert (await place.end_of(0)).attempt == 2


async def test_closing_leaves_nothing(engines: Any) -> None:
    """Running trials are ended with the engine."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "hang"))
        await place.engine.launch(place.spec(1, "hang"))
        await place.begun(0)
        await place.begun(1)
        pids = [place.started(trial)[0].pid for trial in (0, 1)]
    assert [identity_of(pid) for pid in pids] == [None, None]
    left = [file.name for file in place.work.launcher.iterdir()] if place.work.path.exists() else []
    assert left == (["log.txt"] if place.work is place.run else [])


async def test_nothing_is_found_where_nothing_ran(engines: Any) -> None:
    """A job that an earlier session decided and never started is told as killed, with no fault of its own."""
    async with engines() as place:
        assert await place.engine.adopt([place.spec(0)]) == set()
        assert [(end.end, end.failure) for end in place.ends(0)] == [(End.KILLED, None)]


async def test_what_has_finished_is_read(engines: Any) -> None:
    """An attempt that ended before anybody looked is told before adopt() returns; an older one is not taken for it."""
    async with engines() as place:
        await place.engine.launch(place.spec(0))
        await place.end_of(0)
    async with engines() as place:
        assert await place.engine.adopt([place.spec(0)]) == set()
        assert [(end.end, end.epochs) for end in place.ends(0)] == [(End.COMPLETED, 2)]
        assert await place.engine.adopt([place.spec(0, attempt=2)]) == set()
        assert place.ends(0)[1:][0].end is End.KILLED


async def test_a_recycled_pid_is_not_adopted(engines: Any) -> None:
    """A process that has the pid of an old trial, and is another, is neither taken for it nor killed."""
    async with engines() as place:
        folder = place.run.trial(0)
        folder.path.mkdir()
        own = {"pid": os.getpid(), "start_ticks": 1, "boot_id": boot_id()}
        folder.process.write_text(json.dumps({"attempt": 1, "identity": own}))
        assert await place.engine.adopt([place.spec(0)]) == set()
        await place.engine.interrupt(0, 1, now=True)


async def test_the_trial_sees_its_slot(engines: Any) -> None:
    """Environment, session, cores and signals are the trial's own; nothing of the launcher's is open in it."""
    async with engines() as place:
        core = min(os.sched_getaffinity(0))
        env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}
        await place.engine.launch(place.spec(5, "hang"))
        await place.engine.launch(place.spec(7, "look", slot=3, cores=(core,), env=env))
        assert (await place.end_of(7)).end is End.COMPLETED
        seen = json.loads((place.work.trial(7).path / "seen.json").read_text())
    ours = {name: seen["environ"].get(name) for name in (*env, "GPUSCHED_RUN", "GPUSCHED_TRIAL", "GPUSCHED_SLOT")}
    assert ours == {**env, "GPUSCHED_RUN": str(place.work.path), "GPUSCHED_TRIAL": "7", "GPUSCHED_SLOT": "3"}
    assert seen["pid"] == seen["sid"] == seen["pgid"]
    assert seen["cores"] == [core]
    assert seen["sigint"]
    log = str(place.work.trial(7).log)
    open_files = {fd: target for fd, target in seen["fds"].items() if not target.startswith("/proc/")}
    assert open_files == {"0": "/dev/null", "1": log, "2": log}


async def test_the_log_has_all_output(engines: Any) -> None:
    """Of Python, of the system's calls and of children, what was not flushed before a hard exit included."""
    async with engines() as place:
        await place.engine.launch(place.spec(0, "talk"))
        await place.end_of(0)
    assert place.run.trial(0).log.read_text().replace("\\ud800", "?").splitlines() == [
        "from Python, without an end to stderr",
        "from the system",
        "from a child",
        "to the first stdout",
        "? last words",
    ]


async def test_accounts_are_sane(engines: Any) -> None:
    """Peak memory, CPU and wall seconds come from the kernel."""
    async with engines() as place:
        await place.engine.launch(place.spec(0))
        usage = (await place.end_of(0)).usage
    assert usage is not None
    assert 2**20 < usage.peak_bytes < 2**33
    assert 0 < usage.cpu_seconds <= usage.wall_seconds * 4 + 0.1
    assert 0 < usage.wall_seconds < 60


@pytest.mark.parametrize("count", [12])
async def test_many_at_once(engines: Any, count: int) -> None:
    """Launches need not wait for one another."""
    async with engines() as place:
        for trial in range(count):
            await place.engine.launch(place.spec(trial))
        ends = [(await place.end_of(trial)).end for trial in range(count)]
    assert ends == [End.COMPLETED] * count
