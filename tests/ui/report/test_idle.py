"""Of the slots' time, what was in use."""

from __future__ import annotations

from typing import Any

import pytest

from gpusched.core.events import (
    AnyEvent,
    DeviceFailed,
    PauseAsked,
    ResumeAsked,
    SessionClosed,
    SessionOpened,
    SlotInfo,
    SlotsChanged,
    StopAsked,
)
from gpusched.ui.report.idle import use_of


def places(count: int) -> list[SlotInfo]:
    return [SlotInfo(index=i, devices=(f"GPU-{i}",), label=f"gpu {i}") for i in range(count)]


def opened(at: float, count: int) -> SessionOpened:
    return SessionOpened(at=at, slots=places(count), wall=0.0, pid=1, max_trials=None)


JOB = [(0.0, 100.0)]

CASES: dict[str, tuple[list[AnyEvent], list[tuple[float, float]], float, float]] = {
    "one of two works": ([opened(0, 2)], JOB, 200.0, 0.5),
    "the cap is raised at the end": ([opened(0, 1), SlotsChanged(at=90.0, slots=places(4))], JOB, 130.0, 100 / 130),
    "the cap is lowered under what runs": (
        [opened(0, 2), SlotsChanged(at=50.0, slots=places(1))], [*JOB, *JOB], 150.0, 1.0,
    ),
    "a pause is not idle": (
        [opened(0, 1), PauseAsked(at=40.0), ResumeAsked(at=90.0)], [(0.0, 40.0), (90.0, 100.0)], 50.0, 1.0,
    ),
    "a stop is not idle": ([opened(0, 2), StopAsked(at=50.0)], [*JOB, (0.0, 50.0)], 100.0, 1.0),
    "between sessions nothing is there": (
        [opened(0, 2), SessionClosed(at=50.0, reason="", code=130), opened(80.0, 1)],
        [(0.0, 50.0), (0.0, 50.0), (80.0, 100.0)], 120.0, 1.0,
    ),
    "a device that failed is not there": ([opened(0, 2), DeviceFailed(at=10.0, device="GPU-1", reason="")],
        JOB, 110.0, 100 / 110,
    ),
    "it comes back with the next session": (
        [opened(0, 2), DeviceFailed(at=0.0, device="GPU-1", reason=""), opened(50.0, 2)], JOB, 150.0, 100 / 150,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_idle_time_is_that_of_slots_which_were_there(case: str) -> None:
    """A slot counts while it is there and a trial could be started in it, whatever happened before and after."""
    events, jobs, offered, busy = CASES[case]
    use = use_of(events, jobs, 100.0)
    assert use.offered == pytest.approx(offered)
    assert use.busy == pytest.approx(busy)


def test_lanes_end_where_slots_end() -> None:
    """The timeline draws a slot while it was there."""
    events = [opened(0, 1), SlotsChanged(at=90.0, slots=places(2)), PauseAsked(at=95.0), ResumeAsked(at=97.0)]
    assert use_of(events, [], 100.0).lanes == {0: [(0.0, 95.0), (97.0, 100.0)], 1: [(90.0, 95.0), (97.0, 100.0)]}


def test_nothing_has_run() -> None:
    """No share is told of no time."""
    assert use_of([], [], 0.0).busy is None


def test_an_attempt_that_nobody_saw_end_is_over_with_its_session(make_run: Any) -> None:
    """After a crash its slot is not drawn, and counted, as in use for ever."""
    made = make_run(slots=1)
    first = made.out[0]
    made.run.search.at = 7.0
    made.handle(SessionOpened(at=7.0, slots=places(1), wall=0.0, pid=1, max_trials=None))
    ends = {(span.trial, span.attempt): span.end for span in made.run.spans()}
    assert ends[first.trial, first.attempt] == 7.0
    assert ends[first.trial, first.attempt + 1] is None
