"""The slot table: breadth first, whatever is taken and given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpusched.core.events import SlotInfo
from gpusched.core.slots import SlotTable


@given(gpus=st.integers(1, 4), cap=st.integers(1, 3), choices=st.lists(st.integers(0, 11), max_size=60))
def test_the_least_busy_device_is_next(gpus: int, cap: int, choices: list[int]) -> None:
    """No GPU ever gets a trial while another has fewer, nor more than its cap; every slot can be taken."""
    table = SlotTable(SlotInfo(index=i, devices=(f"GPU-{i % gpus}",)) for i in range(gpus * cap))
    load = dict.fromkeys(range(gpus), 0)
    for choice in choices:
        if choice in table.taken:
            table.give_back(choice)
            load[choice % gpus] -= 1
            continue
        index = table.take(trial=choice)
        assert (index is None) == (sum(load.values()) == gpus * cap)
        if index is not None:
            assert load[index % gpus] == min(load.values())
            load[index % gpus] += 1
            assert load[index % gpus] <= cap


def test_a_slot_of_several_gpus_weighs_on_each() -> None:
    """Two GPUs a trial: a slot is as busy as the busier of its devices."""
    pairs = [("GPU-0", "GPU-1"), ("GPU-2", "GPU-3"), ("GPU-0", "GPU-1"), ("GPU-2", "GPU-3")]
    table = SlotTable(SlotInfo(index=i, devices=pair) for i, pair in enumerate(pairs))
    assert [table.take(trial) for trial in range(5)] == [0, 1, 2, 3, None]


def test_a_trial_that_runs_already_is_seated_on_its_own_devices_only() -> None:
    """Adopted trials stay on the GPU they are on, or beside the table."""
    table = SlotTable([SlotInfo(index=0, devices=("GPU-a",)), SlotInfo(index=1, devices=("GPU-b",))])
    assert table.take_like(7, ("GPU-b",)) == 1
    assert table.take_like(8, ("GPU-b",)) is None
    assert table.taken == {1: 7}


def test_a_trial_that_is_to_be_alone_gets_its_device_when_that_is_empty() -> None:
    """Until then nothing new starts there, and after it everything may."""
    table = SlotTable(SlotInfo(index=i, devices=(f"GPU-{i % 2}",)) for i in range(4))
    assert [table.take(trial) for trial in (0, 1)] == [0, 1]
    assert table.take_alone(9) is None
    assert [table.kept_for(index) for index in range(4)] == [9, None, 9, None]
    assert (table.take(2), table.take(3), table.free) == (3, None, 0)
    assert table.take_alone(9, beside={"GPU-0"}) is None
    table.give_back(0)
    assert table.take_alone(9, beside={"GPU-0"}) is None
    assert table.take_alone(9) == 0
    assert table.take(4) is None
    table.give_back(0)
    assert [table.take(trial) for trial in (4, 5)] == [0, 2]


@given(steps=st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=60))
def test_no_order_of_things_gives_an_alone_trial_company(steps: list[tuple[int, bool]]) -> None:
    """Taken, given back, kept: whoever asked to be alone is, and nothing stays closed after it."""
    table = SlotTable(SlotInfo(index=i, devices=(f"GPU-{i % 3}",)) for i in range(6))
    alone: set[int] = set()
    waiting: set[int] = set()
    for trial, wants in steps:
        places = {holder: index for index, holder in table.taken.items()}
        if trial in places:
            table.give_back(places[trial])
            alone.discard(trial)
        elif wants or trial in waiting:
            waiting.add(trial)
            if table.take_alone(trial) is not None:
                waiting.discard(trial)
                alone.add(trial)
        else:
            table.take(trial)
        devices = [table.slots[index].devices[0] for index in table.taken]
        for index, holder in table.taken.items():
            assert holder not in alone or devices.count(table.slots[index].devices[0]) == 1
    for index in list(table.taken):
        table.give_back(index)
    for trial in waiting:
        table.open(trial)
    assert table.free == 6
    assert sorted(table.take(trial) for trial in range(6)) == list(range(6))  # type: ignore[type-var]


def test_a_promotion_prefers_its_node() -> None:
    """Of slots that are as little busy the one on the trial's machine is taken; a busier one is not."""
    nodes = ["a", "a", "b", "b"]
    table = SlotTable(SlotInfo(index=i, devices=(f"GPU-{i // 2}",), node=node) for i, node in enumerate(nodes))
    assert table.take(0, near="b") == 2
    assert table.take(1, near="b") == 0
    assert [table.take(trial, near="a") for trial in (2, 3, 4)] == [1, 3, None]
    table.give_back(3)
    assert table.take(5, avoid=("GPU-1",), near="b") is None
    assert table.take(6, near="a") == 3
