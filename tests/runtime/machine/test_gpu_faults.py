"""GPUs that break while a search runs, on the stand-in driver."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gpusched.core.events import DeviceFailed
from gpusched.devices import Gpu, Sample
from gpusched.runtime.machine.watch import Watch

GIB = 2**30


def test_a_gpu_that_is_lost(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """Its trial goes on elsewhere from its checkpoint, nothing is lost, and nothing starts there any more."""
    lab = gpu_lab(2)
    lab.ills("while epoch == 1 and GPU.startswith('GPU-00000000'): time.sleep(0.01)")
    scheduler = lab.start(trials=5)
    until("a trial in its second epoch", lambda: lab.lab.run.trial(0).metrics.exists() and len(lab.began()) > 2)
    lab.nvml.devices[0]["errors"] = {"*": 15}
    lab.nvml.save()
    assert scheduler.wait(60) == 0
    assert "gpu 0 is out of use: the GPU is lost (fallen off the bus)" in lab.lab.said
    assert lab.lab.search.places.quarantined == {
        lab.uuids[0]: "the GPU is lost (fallen off the bus): reset it or reboot"
    }
    again = [line for line in lab.ledger if line["what"] == "begins" and line["trial"] == 0]
    assert [(line["gpu"], line["epoch"]) for line in again] == [(lab.uuids[0], 0), (lab.uuids[1], 1)]
    assert lab.states() == ["completed"] * 5
    lab.sound()


def test_a_trial_that_feels_a_fault_first_is_not_lost(gpu_lab: Any) -> None:
    """It raises what its framework makes of the fault; the driver is asked before that is judged."""
    lab = gpu_lab(2)
    lab.ills(
        "if epoch == 1 and GPU.startswith('GPU-00000000'):\n"
        "    state = json.load(open(os.environ['FAKE_NVML']))\n"
        "    state['events'] = [{'uuid': GPU, 'xid': 79}]\n"
        "    json.dump(state, open('.state', 'w'))\n"
        "    os.replace('.state', os.environ['FAKE_NVML'])\n"
        "    raise RuntimeError('CUDA error: unspecified launch failure')\n"
    )
    assert lab.finish(trials=5, GPUSCHED_LOOK_SECONDS="30") == 0
    assert lab.lab.search.places.quarantined == {lab.uuids[0]: "the driver reports XID 79, GPU has fallen off the bus"}
    assert lab.states() == ["completed"] * 5
    lab.sound()


def test_a_gpu_that_kills_trials_which_end_well_elsewhere(gpu_lab: Any) -> None:
    """It is quarantined, and all complete."""
    lab = gpu_lab(2)
    lab.ills(
        "died = lambda: sum(name.startswith('died') for name in os.listdir())\n"
        "if GPU.startswith('GPU-00000001') and died() < 2:\n"
        "    open(f'died {trial.id}', 'w')\n"
        "    os.kill(os.getpid(), 11)\n"
        "while died() < 2: time.sleep(0.002)\n"
        "while GPU.startswith('GPU-00000001') and not trial._stop.asked: time.sleep(0.002)\n"
    )
    assert lab.finish(trials=8) == 0
    assert list(lab.lab.search.places.quarantined) == [lab.uuids[1]]
    assert lab.states() == ["completed"] * 8
    assert 2 <= Counter(gpu for _, gpu in lab.began())[1] <= 3  # One more may begin before the proof is there.
    lab.sound()


def test_without_a_gpu_left_the_search_ends(gpu_lab: Any) -> None:
    """The exit code is 1, the reasons are told, and the next session completes what was out."""
    lab = gpu_lab(1)
    lab.ills("while epoch == 1: time.sleep(0.01)")
    scheduler = lab.start(trials=2)
    while not lab.began():
        assert scheduler.poll() is None
    lab.nvml.devices[0]["errors"] = {"*": 15}
    lab.nvml.save()
    assert scheduler.wait(60) == 1
    assert "no device is left (gpu 0: the GPU is lost" in lab.lab.said
    lab.nvml.devices[0]["errors"] = {}
    lab.nvml.save()
    lab.ills("")
    assert lab.finish(trials=2) == 0
    assert lab.states() == ["completed"] * 2


def test_slices_of_a_gpu_fail_with_it(gpu_lab: Any, until: Callable[..., Any]) -> None:
    """MIG slices are devices of their own, with accounts; a fault of their GPU is theirs."""
    lab = gpu_lab(0)
    slices = [{"uuid": f"MIG-{i}", "name": "1g", "gi": i, "ci": 0, "total": 6 * GIB, "used": 0} for i in range(2)]
    lab.nvml.add(mig=slices)
    lab.nvml.add()
    lab.ills("while epoch == 1 and GPU.startswith('MIG'): time.sleep(0.01)")
    scheduler = lab.start(trials=6)
    until("epochs on both", lambda: sum(line["gpu"].startswith("MIG") for line in lab.ledger) == 2)
    until("an account of both", lambda: all(lab.lab.run.trial(i).metrics.exists() for i in range(3)))
    lab.nvml.state["events"] = [{"uuid": lab.nvml.devices[0]["uuid"], "xid": 79}]
    lab.nvml.save()
    assert scheduler.wait(60) == 0
    assert lab.states() == ["completed"] * 6
    assert lab.lab.search.places.quarantined == {
        f"MIG-{i}": "the driver reports XID 79, GPU has fallen off the bus" for i in range(2)
    }
    lab.sound()


class _Driver:
    """Answers look after look; after the last answer it never does again."""

    def __init__(self, answers: Iterator[Sample]) -> None:
        self._answers = answers
        self.over = asyncio.Event()

    async def ask(self, call: Any, more_seconds: float = 0.0) -> Any:
        answer = next(self._answers, None)
        if answer is None:
            self.over.set()
            await asyncio.Event().wait()
        return {"GPU-0": answer}, []


SOUND, REFUSED = Sample(uuid="GPU-0"), Sample(uuid="GPU-0", refused="the GPU is in an error state")


@pytest.mark.parametrize(
    ("answers", "lost"),
    [
        ([SOUND, REFUSED, REFUSED, SOUND, REFUSED, REFUSED, SOUND], False),
        ([SOUND, REFUSED, REFUSED, REFUSED], True),
        ([SOUND, Sample(uuid="GPU-0", refused="the GPU is lost", lost=True)], True),
    ],
)
async def test_a_gpu_that_gives_no_answer_for_a_moment_is_not_lost(answers: list[Sample], lost: bool) -> None:
    """Three regular looks after another decide, or the driver's word that it is gone; no clock does."""
    told: list[Any] = []
    search = SimpleNamespace(running=[], trials={}, places=SimpleNamespace(quarantined={}))
    scheduler: Any = SimpleNamespace(search=search, slots={}, post=told.append, relay=lambda: None)
    layout: Any = SimpleNamespace(
        gpus=(Gpu(index=0, uuid="GPU-0"),), busy={}, fresh=set(), caps=dict, sharing=SimpleNamespace(most_at_once=None)
    )
    signs: Any = SimpleNamespace(forget=lambda keep: None)
    driver: Any = _Driver(iter(answers))
    watch = Watch(scheduler, layout, driver, signs, every=0.0)
    watch._heard = {"GPU-0"}
    watch._open.set()
    looking = asyncio.create_task(watch.run())
    async with asyncio.timeout(60):
        await driver.over.wait()
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    assert [type(event) for event in told] == [DeviceFailed] * lost
