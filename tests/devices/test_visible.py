"""CUDA_VISIBLE_DEVICES in CUDA's language, `gpus=` in ours."""

import pytest

from gpusched.devices import Gpu
from gpusched.devices.visible import restrict, select
from gpusched.errors import UsageError

PLAIN = tuple(
    Gpu(index=index, uuid=uuid, name="A", pci_bus_id=f"00000000:{index + 1:02X}:00.0")
    for index, uuid in enumerate(["GPU-aa11", "GPU-aa22", "GPU-bb33", "GPU-cc44"])
)
SLICED = (
    Gpu(index=0, uuid="GPU-aa11", refused="MIG mode is on: its slices (2) are used"),
    Gpu(index=0, uuid="MIG-1111", mig_parent="GPU-aa11", mig_index=0, mig_instance=(7, 0)),
    Gpu(index=0, uuid="MIG-1122", mig_parent="GPU-aa11", mig_index=2, mig_instance=(9, 0)),
    Gpu(index=1, uuid="GPU-bb33"),
)


def usable(gpus, value):
    marked, _ = restrict(gpus, {"CUDA_VISIBLE_DEVICES": value})
    return [gpu.uuid for gpu in marked if gpu.refused is None]


def test_unset_hides_nothing():
    """Without the variable every GPU is there."""
    assert restrict(PLAIN, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == (PLAIN, ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", ["GPU-aa11"]),
        ("3,1", ["GPU-aa22", "GPU-cc44"]),
        (" 2 , 0 ", ["GPU-aa11", "GPU-bb33"]),
        ("0,2,-1,1", ["GPU-aa11", "GPU-bb33"]),
        ("1,9,2", ["GPU-aa22"]),
        ("9", []),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("none", []),
        ("GPU-cc44", ["GPU-cc44"]),
        ("GPU-b", ["GPU-bb33"]),
        ("GPU-aa", []),
        ("GPU-", []),
        ("GPU-bb,GPU-zz,GPU-cc", ["GPU-bb33"]),
        ("GPU-cc44,0", ["GPU-aa11", "GPU-cc44"]),
        ("MIG-1111", []),
        ("1,1", ["GPU-aa22"]),
    ],
)
def test_cuda_semantics(value, expected):
    """Indices and unique beginnings of UUIDs count up to the first entry that names nothing."""
    assert usable(PLAIN, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("MIG-1122", ["MIG-1122"]),
        ("MIG-1122,MIG-1111", ["MIG-1111", "MIG-1122"]),
        ("MIG-112", ["MIG-1122"]),
        ("MIG-11", []),
        ("MIG-GPU-aa11/9/0", ["MIG-1122"]),
        ("MIG-GPU-aa11/8/0", []),
        ("0", ["MIG-1111"]),
        ("GPU-aa11", ["MIG-1111"]),
        ("1", ["GPU-bb33"]),
    ],
)
def test_cuda_semantics_with_slices(value, expected):
    """Slices go by UUID or old name; a GPU in MIG mode stands, as in CUDA, for its first slice."""
    assert usable(SLICED, value) == expected


def test_indices_follow_the_bus():
    """Index 0 is the GPU first on the bus, in whatever order the driver lists them."""
    shuffled = (PLAIN[2], PLAIN[0], PLAIN[3], PLAIN[1])
    assert usable(shuffled, "0") == ["GPU-aa11"]


def test_hidden_gpus_keep_their_place_and_say_why():
    """A hidden GPU is listed with the variable as its reason; an ill one keeps its own."""
    ill = Gpu(index=4, uuid="", refused="the GPU is lost")
    marked, notes = restrict((*PLAIN[:2], ill), {"CUDA_VISIBLE_DEVICES": "1"})
    why = "hidden by CUDA_VISIBLE_DEVICES=1"
    assert [(gpu.refused, gpu.hidden) for gpu in marked] == [(why, True), (None, False), ("the GPU is lost", True)]
    assert notes == ()


def test_slip_is_told():
    """An entry that names nothing, and is no known word for none, is told to the user."""
    _, notes = restrict(PLAIN, {"CUDA_VISIBLE_DEVICES": "0,7"})
    assert notes == ("CUDA_VISIBLE_DEVICES=0,7: no GPU is called '7'; as in CUDA, it and what follows it is ignored",)


@pytest.mark.parametrize(("order", "told"), [(None, True), ("FASTEST_FIRST", True), ("PCI_BUS_ID", False)])
def test_doubt_about_numbers_is_told(order, told):
    """Numbers on a machine of different GPUs are ambiguous unless CUDA counts by bus too."""
    gpus = (PLAIN[0], Gpu(index=1, uuid="GPU-x", name="B", pci_bus_id="00000000:02:00.0"))
    environ = {"CUDA_VISIBLE_DEVICES": "0"} | ({"CUDA_DEVICE_ORDER": order} if order else {})
    assert bool(restrict(gpus, environ)[1]) is told


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("all", [0, 1, 2, 3]),
        (["all"], [0, 1, 2, 3]),
        ("none", []),
        ("0,2", [0, 2]),
        ([2, 0], [0, 2]),
        (3, [3]),
        (["1", "GPU-cc44", 1], [1, 3]),
        ("GPU-bb", [2]),
    ],
)
def test_selection(wanted, expected):
    """`gpus=` takes all, none, nvidia-smi's numbers and beginnings of UUIDs, in any order, each once."""
    assert [gpu.index for gpu in select(PLAIN, wanted)] == expected


@pytest.mark.parametrize(("wanted", "expected"), [("0", ["1111", "1122"]), ("0:2", ["1122"]), ("MIG-1111", ["1111"])])
def test_selection_of_slices(wanted, expected):
    """A GPU in MIG mode stands for all its slices; `0:2` is one of them."""
    assert [gpu.uuid[4:] for gpu in select(SLICED, wanted)] == expected


@pytest.mark.parametrize(
    ("gpus", "wanted", "text"),
    [
        (PLAIN[:2], 9, "gpus='9': there is no such GPU; there are 0 (GPU-aa11), 1 (GPU-aa22)"),
        (PLAIN[:2], "0,GPU-z", "gpus='GPU-z': there is no such GPU; there are 0 (GPU-aa11), 1 (GPU-aa22)"),
        (PLAIN[:2], "-1", "gpus='-1': there is no such GPU; there are 0 (GPU-aa11), 1 (GPU-aa22)"),
        (PLAIN[:2], "GPU-a", "gpus='GPU-a' is the beginning of 2 GPUs; there are 0 (GPU-aa11), 1 (GPU-aa22)"),
        (PLAIN, "", 'gpus=\'\' names no GPU: give "all", indices or UUIDs, or "none" to train on the CPU'),
        (PLAIN, [], 'gpus=[] names no GPU: give "all", indices or UUIDs, or "none" to train on the CPU'),
        (PLAIN, "all,0", 'gpus=\'all,0\': "all" and "none" stand alone'),
        (PLAIN, True, 'gpus=True: give "all", "none", indices or UUIDs, such as "0,2" or [0, 2]'),
        (PLAIN, [0.5], 'gpus=[0.5]: give "all", "none", indices or UUIDs, such as "0,2" or [0, 2]'),
        ((), 0, "gpus='0': this machine shows no GPU (no driver); leave it out or give \"none\" for the CPU"),
        (
            (Gpu(index=0, uuid="GPU-a", refused="it is lost"), PLAIN[1]),
            0,
            "gpus='0': GPU 0 cannot be used: it is lost",
        ),
        (
            (Gpu(index=0, uuid="GPU-a", refused="it is lost"), Gpu(index=1, uuid="", refused="no permission")),
            "all",
            'no GPU can be used (GPU 0: it is lost; GPU 1: no permission); gpus="none" trains on the CPU',
        ),
    ],
)
def test_wrong_selection(gpus, wanted, text):
    """What cannot be selected is named, with the GPUs there are."""
    with pytest.raises(UsageError) as error:
        select(gpus, wanted, why_none="no driver")
    assert str(error.value) == text


def test_hidden_machine_is_a_machine_without_gpus():
    """CUDA_VISIBLE_DEVICES=-1 asks for the CPU, and is no fault of the GPUs."""
    marked, _ = restrict(PLAIN, {"CUDA_VISIBLE_DEVICES": "-1"})
    assert select(marked, "all") == ()
