"""How many trials share a GPU, and what each is charged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpusched.core.events import JobEnded, JobStarted
from gpusched.core.outcome import End, Failure, Usage
from gpusched.devices import Gpu, Process, Sample
from gpusched.devices.accounts import Accounts
from gpusched.runtime.machine.sharing import Sharing

GIB = 2**30
HOST = 256 * GIB


def gpu(total: float | None = 24, **more: Any) -> Gpu:
    return Gpu(index=0, uuid="GPU-0", total_bytes=None if total is None else int(total * GIB), **more)


def end(trial: int, peak: float | None = None, kind: str | None = None, **usage: Any) -> JobEnded:
    failure = None if kind is None else Failure(kind=kind, message="no")
    held = None if peak is None else int(peak * GIB)
    return JobEnded(
        at=1.0,
        trial=trial,
        attempt=1,
        end=End.COMPLETED if kind is None else End.FAILED,
        epochs=1,
        failure=failure,
        usage=Usage(gpu_peak_bytes=held, **usage),
    )


def test_auto_starts_with_one_and_admits_one_more_with_each_that_is_known() -> None:
    """… until so many of the largest would not fit with a margin; the reason is told at each step."""
    sharing, told = Sharing("auto"), []
    for peak in (None, 3.0, 2.0, 5.0, 1.0, 1.0):
        if peak is not None:
            sharing.learn(end(len(told), peak))
        told.append((sharing.cap(gpu(), 1, HOST), sharing.why(gpu(), 1, HOST)))
    assert told == [
        (1, "gpu 0: 1 at once: how much memory a trial needs is not known yet"),
        (2, "gpu 0: 2 at once: the largest of 1 known trials held 3.0 GiB; 6 fit, each that is known admits one"),
        (3, "gpu 0: 3 at once: the largest of 2 known trials held 3.0 GiB; 6 fit, each that is known admits one"),
        (4, "gpu 0: 4 at once: the largest of 3 known trials held 5.0 GiB, and 22.6 GiB hold 4 of these with a margin"),
        (4, "gpu 0: 4 at once: the largest of 4 known trials held 5.0 GiB, and 22.6 GiB hold 4 of these with a margin"),
        (4, "gpu 0: 4 at once: the largest of 5 known trials held 5.0 GiB, and 22.6 GiB hold 4 of these with a margin"),
    ]  # fmt: skip


@given(st.lists(st.floats(0.1, 30), max_size=30), st.floats(1, 80))
def test_auto_never_fills_a_gpu_with_what_is_known(peaks: list[float], size: float) -> None:
    """So many of the largest fit, with room to spare, or there is one."""
    sharing = Sharing("auto")
    for trial, peak in enumerate(peaks):
        sharing.learn(end(trial, peak))
    cap = sharing.cap(gpu(size), 1, HOST)
    assert 1 <= cap <= min(16, len(peaks) + 1)
    assert cap == 1 or cap * max(peaks) * 1.1 <= size * 0.95


def test_auto_minds_the_machine_and_the_display() -> None:
    """Processes take the host's memory too, and what a display holds is not for trials; an unknown size is one."""
    sharing = Sharing("auto")
    for trial in range(6):
        sharing.learn(end(trial, 2, peak_bytes=4 * GIB))
    assert sharing.cap(gpu(), 1, HOST) == 7
    assert sharing.cap(gpu(), 2, 30 * GIB) == 3
    assert "but a process takes up to 4.0 GiB of the machine's memory" in sharing.why(gpu(), 2, 30 * GIB)
    display = Process(pid=1, kind="graphics", used_bytes=16 * GIB)
    assert sharing.cap(gpu(processes=(display,)), 1, HOST) == 3
    assert sharing.cap(gpu(None), 1, HOST) == 1


def test_who_ran_out_of_memory_beside_others_lowers_the_number() -> None:
    """Asked for or not; alone it says nothing of sharing, and a person's new word counts."""
    sharing = Sharing(4)
    assert (sharing.cap(gpu(), 1, HOST), sharing.why(gpu(), 1, HOST)) == (4, "")
    sharing.learn(end(7, kind="ResourceExhaustedError", gpu_share=3))
    assert sharing.cap(gpu(), 1, HOST) == 2
    assert sharing.why(gpu(), 1, HOST) == "gpu 0: 2 at once: trial 7 ran out of memory as one of 3"
    sharing.learn(end(7, kind="ResourceExhaustedError", gpu_share=1))
    assert sharing.cap(gpu(), 1, HOST) == 4
    sharing.learn(end(8, kind="ResourceExhaustedError", gpu_share=2))
    assert sharing.cap(gpu(), 1, HOST) == 1
    sharing.ask(3)
    assert sharing.cap(gpu(), 1, HOST) == 3


def test_the_machines_memory_limits_them_all() -> None:
    """Two of three killed by the kernel: two at once from then on, over all GPUs."""
    sharing = Sharing(2)
    for trial in range(3):
        sharing.learn(JobStarted(at=0.0, trial=trial, attempt=1, pid=trial + 1))
    sharing.learn(end(1, kind="OOMKilled"))
    assert sharing.most_at_once == 2
    assert sharing.cap(gpu(), 2, HOST) == 1


# ---------------------------------------------------------------------------- accounts


def sample(used: int, processes: dict[int, int | None] | None = None, load: float | None = None) -> dict[str, Sample]:
    return {"GPU-0": Sample(uuid="GPU-0", used_bytes=used, processes=processes or {}, utilisation=load)}


def test_a_shared_second_is_divided() -> None:
    """Two trials on a GPU pay half of it each; two GPUs of one trial count twice."""
    accounts = Accounts()
    accounts.began("a", ("GPU-0", "GPU-1"), 10.0)
    accounts.began("b", ("GPU-1",), 12.0)
    first, second = accounts.ended("a", 16.0), accounts.ended("b", 20.0)
    assert first is not None
    assert second is not None
    assert (first.seconds, first.share, second.seconds, second.share) == (2 * 2 + 4 + 2, 2, 2 + 4, 2)
    assert accounts.ended("a", 30.0) is None


def test_peaks_and_loads_are_by_process_and_device() -> None:
    """A trial's processes are summed, the highest sample counts, and others' memory does not."""
    accounts = Accounts()
    accounts.began("a", ("GPU-0",), 0.0)
    owners = {1: "a", 2: "a", 3: None}
    accounts.sampled(sample(9, {1: 4, 2: 2, 3: 3}, 0.5), owners.get, 1.0)
    accounts.sampled(sample(6, {1: 3, 3: 3}, 1.0), owners.get, 2.0)
    account = accounts.ended("a", 3.0)
    assert account is not None
    assert (account.peak_bytes, account.utilisation, account.seen) == (6, 0.75, True)


def test_where_a_container_hides_processes_a_lone_trial_is_charged_what_it_added() -> None:
    """Beside another, nothing is known, which is not zero."""
    accounts = Accounts()
    accounts.sampled(sample(5), lambda pid: None, 0.0)
    accounts.began("a", ("GPU-0",), 1.0)
    accounts.sampled(sample(12, {4242: None}), lambda pid: None, 2.0)
    accounts.began("b", ("GPU-0",), 3.0)
    accounts.sampled(sample(30, {4242: None}), lambda pid: None, 4.0)
    first, second = accounts.ended("a", 5.0), accounts.ended("b", 6.0)
    assert first is not None
    assert second is not None
    assert (first.peak_bytes, first.seen, second.peak_bytes) == (7, False, None)


def test_a_peak_that_nothing_shows_is_what_was_given_back() -> None:
    """In a container, of a trial that ran when the session began: no look was without it, but its end tells."""
    accounts = Accounts()
    accounts.began("adopted", ("GPU-0",), 0.0)
    for used in (5, 9, 7):
        accounts.sampled(sample(used, {4242: None}), lambda pid: None, 1.0)
    account = accounts.ended("adopted", 2.0)
    assert account is not None
    assert account.peak_bytes is None
    account.emptied("GPU-0", 1)
    assert account.peak_bytes == 8


def test_what_others_hold_is_what_no_trial_does() -> None:
    """The most of it while the trial was there; nothing is known where the driver hides what trials hold."""
    accounts = Accounts()
    accounts.began("a", ("GPU-0",), 0.0)
    for used, own in ((9, 4), (20, 5), (7, 6)):
        accounts.sampled(sample(used, {1: own, 3: None}), {1: "a"}.get, 1.0)
    accounts.sampled(sample(99, {1: None}), {1: "a"}.get, 2.0)
    account = accounts.ended("a", 3.0)
    assert account is not None
    assert account.others_bytes == 15


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30))
def test_a_gpus_seconds_are_given_out_once(steps: list[tuple[str, int]]) -> None:
    """Whoever comes and goes, the parts add up to the time in which anybody was there."""
    accounts, now, busy, charged = Accounts(), 0.0, 0.0, 0.0
    for key, passed in steps:
        busy += passed if accounts.running else 0.0
        now += passed
        if key in accounts.running:
            account = accounts.ended(key, now)
            assert account is not None
            charged += account.seconds
        else:
            accounts.began(key, ("GPU-0",), now)
    charged += sum(account.seconds for key in list(accounts.running) if (account := accounts.ended(key, now)))
    assert charged == pytest.approx(busy)
