"""Parts of a trial beside it, on slots that are free."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpusched.system.process.reserved import reserve
from gpusched.trial.tuning.folds import Slots, at_once


def meeting(folder: Path, name: str, others: int) -> int:
    """Comes back where so many have come here."""
    (folder / name).touch()
    while len(list(folder.iterdir())) < others:
        time.sleep(0.002)
    return os.getpid()


def test_parts_are_trained_at_once_where_slots_are_free(tmp_path: Path) -> None:
    """Each in a process of its own, their results in order."""
    parts: list[Callable[[], tuple[int, int]]] = [
        lambda part=part: (part, meeting(tmp_path, str(part), 3))  # type: ignore[misc]
        for part in range(3)
    ]
    with Slots(tmp_path, 0, {1: (), 2: ()}) as slots:
        results = at_once(parts, slots)
    assert [part for part, _ in results] == [0, 1, 2]
    assert len({pid for _, pid in results} | {os.getpid()}) == 4


def test_another_trial_s_slot_is_left_alone(tmp_path: Path) -> None:
    """One part after the other where each slot has a trial; what ends gives its slot back."""
    seen = tmp_path / "seen"

    def part() -> int:
        seen.touch(exist_ok=False)
        seen.unlink()
        return 7

    with Slots(tmp_path, 1, {0: ()}), Slots(tmp_path, 0, {1: ()}) as slots:
        assert at_once([part, part, part], slots) == [7, 7, 7]
        assert slots.take() is None
    with Slots(tmp_path, 0, {1: ()}) as slots:
        taken = slots.take()
        assert taken is not None
        taken[0].close()


def test_a_part_has_the_cores_of_its_slot(tmp_path: Path) -> None:
    """What it computes with is what the slot has."""
    core = max(os.sched_getaffinity(0))

    def part(name: str) -> set[int]:
        meeting(tmp_path, name, 2)
        return os.sched_getaffinity(0)

    with Slots(tmp_path, 0, {1: (core,)}) as slots:
        own, other = at_once([lambda: part("a"), lambda: part("b")], slots)
    assert (own, other) == (os.sched_getaffinity(0), {core})


def test_what_a_part_raises_is_raised(tmp_path: Path) -> None:
    """As itself, with the place where it was raised; the others are ended."""

    def fails() -> None:
        raise ValueError("odd")

    with Slots(tmp_path, 0, {1: ()}) as slots:
        with pytest.raises(ValueError, match="odd") as raised:
            at_once([fails, signal.pause], slots)
        with pytest.raises(RuntimeError, match="the model cannot be pickled"):
            at_once([lambda: lambda: None], slots)
    assert "in fails" in raised.value.__notes__[0]


def test_a_killed_part_ends_the_trial_likewise(tmp_path: Path) -> None:
    """The trial is told as killed, for the scheduler to try it again."""
    pid = os.fork()
    if not pid:
        try:
            with Slots(tmp_path, 0, {1: ()}) as slots:
                at_once([lambda: os.kill(os.getpid(), signal.SIGKILL), signal.pause], slots)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_a_reserved_name_is_free_when_its_holder_ends() -> None:
    """One holder at a time."""
    held = reserve("gpusched's test of names")
    assert held is not None
    assert reserve("gpusched's test of names") is None
    held.close()
    again = reserve("gpusched's test of names")
    assert again is not None
    again.close()
