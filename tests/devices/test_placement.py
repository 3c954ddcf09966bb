"""Slots over devices: spread, pins, cores, memory, and who may use a GPU."""

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpusched.devices import Cpu, Gpu, Inventory, Process, Slot, memory_limit, place, slots_for, usable
from gpusched.errors import UsageError

GIB = 2**30
CPU = Cpu(cores=tuple((number, number + 8) for number in range(8)), available_bytes=64 * GIB)


def gpu(index, **fields):
    free = fields.pop("free", 24) * GIB
    return Gpu(index=index, uuid=f"GPU-{index}", total_bytes=24 * GIB, free_bytes=free, **fields)


def machine(*gpus):
    return Inventory(cpu=CPU, gpus=gpus)


def devices(slots):
    return [slot.devices for slot in slots]


def test_slot_of_a_gpu():
    """A slot pins its trial by UUID, in bus order, and says which slot it is."""
    (slot,) = slots_for(machine(gpu(0)))
    assert slot == Slot(
        index=0,
        devices=("GPU-0",),
        env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-0", "GPUSCHED_SLOT": "0"},
        cores=tuple(range(16)),
        total_bytes=24 * GIB,
        label="gpu 0",
    )


def test_slots_of_a_cpu():
    """Without a GPU there is a slot a core, blind to GPUs, with its own hyperthreads."""
    slots = slots_for(machine())
    assert [slot.cores for slot in slots] == [(number, number + 8) for number in range(8)]
    assert slots[3] == Slot(
        index=3,
        devices=("cpu",),
        env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "-1", "GPUSCHED_SLOT": "3"},
        cores=(3, 11),
        label="cpu 3",
    )


def test_none_asks_for_the_cpu():
    """gpus="none" leaves sound GPUs alone, and cpu_slots says how many at once."""
    assert devices(slots_for(machine(gpu(0)), gpus="none", cpu_slots=3)) == [("cpu",)] * 3


def test_notes_of_the_cpu_reach_the_user():
    """More slots than memory holds are made as asked, and said."""
    small = Inventory(cpu=Cpu(cores=CPU.cores, available_bytes=GIB))
    placed = place(small, cpu_slots=2)
    assert len(placed.slots) == 2
    assert placed.notes == ("cpu_slots=2: 1.0 GiB of memory hold about 1 trials at once (about 715 MiB a trial)",)


def test_breadth_first_and_freest_first():
    """Every GPU gets a trial before one gets two, the GPU with most free memory first."""
    slots = slots_for(machine(gpu(0, free=4), gpu(1, free=20), gpu(2, free=9)), per_gpu=2)
    assert devices(slots) == [("GPU-1",), ("GPU-2",), ("GPU-0",)] * 2
    assert [slot.label for slot in slots] == ["gpu 1 #1", "gpu 2 #1", "gpu 0 #1", "gpu 1 #2", "gpu 2 #2", "gpu 0 #2"]
    assert [slot.index for slot in slots] == list(range(6))


@given(
    st.lists(st.integers(0, 24), min_size=1, max_size=9),
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.sampled_from([None, 0, 1]), min_size=9, max_size=9),
)
def test_spread_of_any_machine(free, per_gpu, size, nodes):
    """On any machine no GPU has two trials more than another, none is over the cap, and a higher cap only appends."""
    gpus = [gpu(index, free=value, numa_node=nodes[index]) for index, value in enumerate(free)]
    if size > len(gpus):
        return
    slots = slots_for(machine(*gpus), per_gpu=per_gpu, gpus_per_trial=size)
    assert len(slots) == len(gpus) // size * per_gpu
    for end in range(len(slots) + 1):
        load = Counter(uuid for slot in slots[:end] for uuid in slot.devices)
        counts = [load[uuid] for uuid in {uuid for slot in slots for uuid in slot.devices}]
        assert max(counts, default=0) - min(counts, default=0) <= 1
    assert all(count == per_gpu for count in counts)
    more = slots_for(machine(*gpus), per_gpu=per_gpu + 1, gpus_per_trial=size)
    assert devices(more)[: len(slots)] == devices(slots)


def test_groups_keep_to_a_node():
    """GPUs of one trial are neighbours where they can be; what is left over crosses, or is said."""
    nodes = [0, 1, 0, 1, 0, 1, 0]
    placed = place(machine(*(gpu(index, numa_node=node) for index, node in enumerate(nodes))), gpus_per_trial=2)
    assert devices(placed.slots) == [("GPU-0", "GPU-2"), ("GPU-1", "GPU-3"), ("GPU-4", "GPU-6")]
    assert placed.slots[0].env["CUDA_VISIBLE_DEVICES"] == "GPU-0,GPU-2"
    assert placed.slots[0].label == "gpu 0+2"
    assert placed.notes == ("gpus_per_trial=2: 7 GPUs do not divide, GPU 5 stays unused",)
    crossing = slots_for(machine(gpu(0, numa_node=0), gpu(1, numa_node=1)), gpus_per_trial=2)
    assert devices(crossing) == [("GPU-0", "GPU-1")]


def test_cores_near_the_gpu():
    """Slots share the cores near their GPU evenly, and leave the other node's alone."""
    near = [tuple(range(4)) + tuple(range(8, 12)), tuple(range(4, 8)) + tuple(range(12, 16))]
    gpus = [gpu(index, cores=near[index // 2]) for index in range(4)]
    slots = slots_for(machine(*gpus), per_gpu=2)
    assert [slot.cores for slot in slots] == [
        (0, 8), (1, 9), (4, 12), (5, 13), (2, 10), (3, 11), (6, 14), (7, 15),
    ]  # fmt: skip


def test_cores_by_node_and_without_any():
    """A node's number is as good as a list of cores; GPUs near none of ours share them all."""
    numbered = Inventory(
        cpu=Cpu(cores=CPU.cores, available_bytes=GIB, nodes={1: (6, 7, 14, 15)}),
        gpus=(gpu(0, numa_node=1), gpu(1, cores=(99,)), gpu(2)),
    )
    assert [slot.cores for slot in slots_for(numbered)] == [
        (6, 7, 14, 15), (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15),
    ]  # fmt: skip


def test_memory_is_divided_where_shared():
    """Trials that share a GPU divide what others leave, less a context each; one alone has no limit."""
    taken = gpu(0, processes=(Process(pid=5, kind="graphics", used_bytes=4 * GIB),))
    each = int(20 * GIB * 0.94) // 2 - 512 * 2**20
    assert memory_limit(taken, 2) == each
    assert memory_limit(taken, 2, own_pids={5}) == int(24 * GIB * 0.94) // 2 - 512 * 2**20
    assert memory_limit(taken, 1) is None
    assert memory_limit(Gpu(index=0, uuid="GPU-0"), 2) is None
    assert memory_limit(Gpu(index=0, uuid="GPU-0", total_bytes=GIB), 4) == int(GIB * 0.94) // 4 // 2
    slots = slots_for(machine(taken), per_gpu=2)
    assert [(slot.share, slot.memory_limit_bytes) for slot in slots] == [(2, each), (2, each)]


def test_exclusive_gpu_takes_one():
    """A GPU that the administrator set to one process gets one trial at a time, and that is said."""
    placed = place(machine(gpu(0, exclusive=True), gpu(1)), per_gpu=3)
    assert devices(placed.slots) == [("GPU-0",), ("GPU-1",), ("GPU-1",), ("GPU-1",)]
    assert [slot.share for slot in placed.slots] == [1, 3, 3, 3]
    assert placed.notes == ("per_gpu=3: GPU 0 is in compute mode Exclusive_Process and takes one trial",)


def test_slices_are_devices():
    """MIG slices are pinned by their own UUIDs; their GPU is not used beside them."""
    board = gpu(0, refused="MIG mode is on: its slices (2) are used")
    slices = [
        Gpu(index=0, uuid=f"MIG-{place}", mig_parent="GPU-0", mig_index=place, free_bytes=(place + 1) * GIB)
        for place in range(2)
    ]
    slots = slots_for(machine(board, *slices))
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["MIG-1", "MIG-0"]
    assert [slot.label for slot in slots] == ["gpu 0:1", "gpu 0:0"]


def test_refused_gpus_get_no_slot():
    """An ill or hidden GPU is passed over."""
    assert devices(slots_for(machine(gpu(0, refused="lost"), gpu(1)))) == [("GPU-1",)]


@pytest.mark.parametrize(
    ("gpus", "wishes", "text"),
    [
        ([gpu(0)], {"per_gpu": 0}, "per_gpu=0 must be a whole number of at least 1"),
        ([gpu(0)], {"per_gpu": True}, "per_gpu=True must be a whole number of at least 1"),
        ([], {"gpus_per_trial": 0}, "gpus_per_trial=0 must be a whole number of at least 1"),
        ([gpu(0)], {"gpus_per_trial": 2}, "gpus_per_trial=2 is more than the 1 GPUs in use (0)"),
        ([], {"gpus_per_trial": 2}, "gpus_per_trial=2, but no GPU is in use here"),
        (
            [Gpu(index=0, uuid="MIG-1", mig_parent="GPU-0", mig_index=0), gpu(1)],
            {"gpus_per_trial": 2},
            "gpus_per_trial=2: CUDA gives a process only one MIG slice; leave the slices out of gpus",
        ),
        (
            [gpu(0, refused="lost")],
            {},
            'no GPU can be used (GPU 0: lost); gpus="none" trains on the CPU',
        ),
    ],
)
def test_what_cannot_be_placed(gpus, wishes, text):
    """A wish that no machine or not this one can grant is named with its value."""
    with pytest.raises(UsageError) as error:
        slots_for(machine(*gpus), **wishes)
    assert str(error.value) == text


def test_busy_policies():
    """Others' compute processes make a GPU busy unless sharing is asked for; ours and a display never do."""
    ours = Process(pid=1, kind="compute")
    display = Process(pid=2, kind="graphics", name="Xorg")
    theirs = Process(pid=3, kind="compute", name="python", user="ada")
    free, busy = gpu(0, processes=(ours, display)), gpu(0, processes=(ours, display, theirs))
    assert [usable(free, {1}, policy) for policy in ("wait", "skip", "share")] == [None, None, None]
    assert [usable(busy, {1}, policy) for policy in ("wait", "skip", "share")] == [
        "python (pid 3 of ada) computes on it: waiting (--when-busy wait)",
        "python (pid 3 of ada) computes on it: skipped (--when-busy skip)",
        None,
    ]
    assert usable(gpu(0, refused="lost"), (), "share") == "lost"
    crowd = gpu(0, processes=tuple(Process(pid=pid, kind="compute") for pid in range(5)))
    assert usable(crowd, (), "skip") == (
        "a process (pid 0), a process (pid 1), a process (pid 2) and 2 more compute on it: skipped (--when-busy skip)"
    )
    with pytest.raises(UsageError, match="when_busy='no': give wait, skip or share"):
        usable(free, (), "no")


@given(st.permutations(range(6)))
def test_pins_do_not_depend_on_the_bus(order):
    """However the bus orders the GPUs, the same UUIDs are pinned, each once."""
    gpus = tuple(Gpu(index=place, uuid=f"GPU-{number}") for place, number in enumerate(order))
    pins = [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots_for(machine(*gpus))]
    assert pins == [f"GPU-{number}" for number in order]


def test_from_driver_to_pins(fake_nvml):
    """What the driver serves is what trials are pinned to."""
    for name, used in (("GPU-c", 9), ("GPU-a", 0), ("GPU-b", 3)):
        fake_nvml.add(uuid=name, used=used * GIB)
    fake_nvml.add(uuid="GPU-d", errors={"*": 15})
    found = fake_nvml.inventory(CUDA_VISIBLE_DEVICES="0,1,2")
    slots = slots_for(found, per_gpu=2)
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["GPU-a", "GPU-b", "GPU-c"] * 2
    ours = set().union(*(slot.cores for slot in slots))
    assert ours <= os.sched_getaffinity(0)
