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
