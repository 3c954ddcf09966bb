"""The slots as they are to be now, and signs of life; no process is started."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gpusched.devices import Cpu, Gpu, Inventory, Process
from gpusched.errors import UsageError
from gpusched.runtime.machine.hang_detection import Signs
from gpusched.runtime.machine.layout import Layout
from gpusched.runtime.machine.sharing import Sharing
from gpusched.runtime.machine.watch import own_gpus
from gpusched.trial.settings import Settings

GIB = 2**30
OTHERS = Process(pid=77, kind="compute", used_bytes=GIB, name="python", user="ada")
CPU = Cpu(cores=tuple((i,) for i in range(8)), available_bytes=64 * GIB)


def settings(**more: Any) -> Settings:
    plain: dict[str, Any] = {field.name: None for field in msgspec.structs.fields(Settings) if field.required}
    plain |= {"gpus": "all", "per_gpu": 1, "gpus_per_trial": 1}
    return Settings(**{**plain, **more})


def gpus(count: int, **more: Any) -> tuple[Gpu, ...]:
    return tuple(
        Gpu(index=i, uuid=f"GPU-{i}", total_bytes=24 * GIB, free_bytes=(24 - i) * GIB, **more) for i in range(count)
    )


def layout(count: int, **more: Any) -> Layout:
    asked = settings(**more)
    return Layout(Inventory(cpu=CPU, gpus=gpus(count)), asked, Sharing(asked.per_gpu))


def places(made: Layout) -> list[tuple[int, str]]:
    return [(slot.index, "+".join(slot.devices)) for slot in made.lay().slots]


def busy(index: int) -> Gpu:
    return Gpu(index=index, uuid=f"GPU-{index}", processes=(OTHERS,))


def free(index: int) -> Gpu:
    return Gpu(index=index, uuid=f"GPU-{index}")


def test_a_gpu_that_others_use_leaves_a_gap() -> None:
    """The others' slots keep their numbers and cores; when it is free, all is as it was."""
    made = layout(3, per_gpu=2)
    whole = made.lay()
    assert made.judge([busy(1)], ())
    assert places(made) == [(0, "GPU-0"), (2, "GPU-2"), (3, "GPU-0"), (5, "GPU-2")]
    assert made.lay().waiting == ["gpu 1: python (pid 77 of ada) computes on it: waiting (--when-busy wait)"]
    assert {slot.cores for slot in made.lay().slots} <= {slot.cores for slot in whole.slots}
    assert not made.judge([busy(1)], ())
    assert made.judge([free(1)], ())
    assert made.lay() == whole


def test_our_own_processes_are_nobodys_rivals() -> None:
    """Nor is a display; what is shared is not judged at all."""
    made = layout(1)
    assert not made.judge([busy(0)], {77})
    assert not made.judge([Gpu(index=0, uuid="GPU-0", processes=(Process(pid=5, kind="graphics"),))], ())
    shared = layout(1, when_busy="share")
    assert not shared.judge([busy(0)], (), first=True)


def test_skipped_gpus_are_skipped_from_the_first() -> None:
    """Who comes later comes to where our trials are. With none left there is a way out."""
    made = layout(2, when_busy="skip")
    assert made.judge([busy(0), free(1)], (), first=True)
    assert places(made) == [(1, "GPU-1")]
    assert not made.judge([free(0), busy(1)], ())
    assert made.lay().notes == ["gpu 0: python (pid 77 of ada) computes on it: skipped (--when-busy skip)"]
    with pytest.raises(UsageError, match="--when-busy wait waits"):
        layout(1, when_busy="skip").judge([busy(0)], (), first=True)


def test_pairs_of_gpus_are_made_anew_without_a_broken_one() -> None:
    """Four GPUs, two a trial: with one lost, one pair is left and the odd one is said; with three, none."""
    made = layout(4, gpus_per_trial=2)
    assert places(made) == [(0, "GPU-0+GPU-1"), (1, "GPU-2+GPU-3")]
    made.lost["GPU-0"] = "XID 79"
    assert places(made) == [(0, "GPU-1+GPU-2")]
    assert made.lay().notes == ["gpus_per_trial=2: 3 GPUs do not divide, GPU 3 stays unused"]
    made.lost |= {"GPU-1": "XID 79", "GPU-2": "XID 79"}
    assert places(made) == []


def test_a_cpu_gets_fewer_slots_when_memory_has_run_out() -> None:
    """No more than ran before the one that was killed."""
    asked = settings(gpus="none", cpu_slots=4)
    sharing = Sharing(1)
    made = Layout(Inventory(cpu=CPU), asked, sharing)
    assert len(made.lay().slots) == 4
    sharing._short_of_host = 3
    assert len(made.lay().slots) == 2


# ---------------------------------------------------------------------------- signs of life


@pytest.fixture
def proc(tmp_path: Path) -> Any:
    def put(state: str, ticks: int) -> None:
        (tmp_path / "7").mkdir(exist_ok=True)
        fields = [state, *["0"] * 10, str(ticks), "0", *["0"] * 5]
        (tmp_path / "7" / "stat").write_text(f"7 (a (b) c) {' '.join(fields)}")

    put.folder = tmp_path  # type: ignore[attr-defined]
    return put


def test_no_epoch_for_longer_than_allowed(proc: Any, tmp_path: Path) -> None:
    """Counted from the start, and again from each epoch."""
    metrics = tmp_path / "metrics.jsonl"
    signs = Signs(10.0, proc=proc.folder)
    proc("R", 1)
    assert [signs.look("a", 7, metrics, now) for now in (0.0, 9.0)] == [None, None]
    assert not signs.trained("a")
    metrics.write_text("{}")
    assert signs.look("a", 7, metrics, 9.5) is None
    assert signs.trained("a")
    assert signs.look("a", 7, metrics, 19.0) is None
    assert signs.look("a", 7, metrics, 19.5) == "no epoch for 10 s (--trial-timeout)"
    # Another attempt begins anew.
    assert signs.look("b", 7, metrics, 30.0) is None


@pytest.mark.parametrize(
    ("state", "word"), [("T", "stopped"), ("D", "stuck in the kernel"), ("S", None), ("t", None), ("R", None)]
)
def test_a_process_that_cannot_run(state: str, word: str | None, proc: Any, tmp_path: Path) -> None:
    """Stopped, or stuck, for long, using no time; who sleeps or is debugged is let be."""
    signs = Signs(None, silent=60.0, proc=proc.folder)
    proc(state, 5)
    reasons = [signs.look("a", 7, tmp_path / "none", now) for now in (0.0, 30.0, 59.0, 60.0)]
    told = None if word is None else f"no sign of life for 60 s: its process is {word}"
    assert reasons == [None, None, None, told]
    proc(state, 6)
    assert signs.look("a", 7, tmp_path / "none", 61.0) is None
    assert signs.look("a", 8, tmp_path / "none", 300.0) is None  # It is gone: its end is about to be told.


def test_adopted_trials_are_no_strangers_where_a_container_hides_them() -> None:
    """A process that has no number here is the trial's on its GPU, and somebody else's on another."""
    hidden = 2**31 - 2
    seen = [
        Gpu(index=index, uuid=f"GPU-{index}", processes=(Process(pid=hidden + index, kind="compute"),))
        for index in range(2)
    ]
    adopted: Any = SimpleNamespace(pid=os.getpid(), devices=("GPU-1",))
    assert own_gpus(seen, [adopted]) == {hidden + 1}
