"""Detection through the real nvidia-ml-py bindings, on a driver served from a file."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from gpusched.devices import Gpu, Process

GIB = 2**30


def uuid(number):
    return f"GPU-{number:08x}-0000-4000-8000-{number:012x}"


def test_whole_gpu(fake_nvml):
    """Every figure that a GPU gives arrives, in its unit."""
    own = psutil.Process()
    fake_nvml.add(
        used=3 * GIB,
        utilisation=87,
        cpus=[0, 2, 64, 65],
        node=1,
        compute=[{"pid": own.pid, "used": 2 * GIB}],
        graphics=[{"pid": 4_000_000_001}],
    )
    found = fake_nvml.inventory()
    assert (found.driver, found.cuda, found.notes) == ("580.65.06", "13.0", ())
    assert found.gpus == (
        Gpu(
            index=0,
            uuid=uuid(0),
            name="NVIDIA Test 24GB",
            total_bytes=24 * GIB,
            free_bytes=21 * GIB,
            used_bytes=3 * GIB,
            processes=(
                Process(pid=own.pid, kind="compute", used_bytes=2 * GIB, name=own.name(), user=own.username()),
                Process(pid=4_000_000_001, kind="graphics"),
            ),
            utilisation=0.87,
            temperature_celsius=35,
            power_watts=55.5,
            pci_bus_id="00000000:10:00.0",
            numa_node=1,
            cores=(0, 2, 64, 65),
            ecc_errors=0,
        ),
    )


def test_unsupported_figures_are_none(fake_nvml):
    """What a device does not support is unknown, not an error and not zero."""
    fake_nvml.devices.append({"uuid": uuid(7), "name": "NVIDIA Small"})
    fake_nvml.save()
    assert fake_nvml.inventory().gpus == (Gpu(index=0, uuid=uuid(7), name="NVIDIA Small"),)


def test_order_is_nvmls(fake_nvml):
    """GPUs are listed and numbered as nvidia-smi does, whatever their UUIDs."""
    for name in ("GPU-c", "GPU-a", "GPU-b"):
        fake_nvml.add(uuid=name)
    assert [(gpu.index, gpu.uuid) for gpu in fake_nvml.inventory().gpus] == [(0, "GPU-c"), (1, "GPU-a"), (2, "GPU-b")]


def test_program_that_computes_and_draws(fake_nvml):
    """A process in both of the driver's lists, as a desktop's are, is one process, and nobody's competitor."""
    fake_nvml.add(compute=[{"pid": 4_000_000_001, "used": 5}], graphics=[{"pid": 4_000_000_001, "used": 5}])
    (gpu,) = fake_nvml.inventory().gpus
    assert gpu.processes == (Process(pid=4_000_000_001, kind="graphics", used_bytes=5),)
    assert gpu.foreign() == ()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (9, "the NVIDIA driver is installed but not loaded (is there a GPU?)"),
        (
            18,
            "the NVIDIA driver's library and kernel module have different versions (an update without a reboot?): "
            "reboot, or reload the module",
        ),
        (4, "no permission to talk to the NVIDIA driver: check the rights of /dev/nvidia*"),
        (999, "the NVIDIA driver does not answer: Unknown Error (NVML error 999)"),
    ],
)
def test_driver_that_does_not_start(fake_nvml, code, text):
    """A driver that cannot be used is a reason in words, and the CPU is there."""
    fake_nvml.add(2)
    fake_nvml.state["errors"] = {"nvmlInitWithFlags": code}
    fake_nvml.save()
    found = fake_nvml.inventory()
    assert (found.gpus, found.notes) == ((), (text,))
    assert found.cpu.cores


def test_library_that_does_not_load(tmp_path):
    """Without a library that loads there is no driver, and no traceback."""
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")
    environ = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "gpusched.devices"], env=environ, capture_output=True, text=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["notes"] == ["no NVIDIA driver: libnvidia-ml.so.1 is not installed"]


def test_driver_without_gpus(fake_nvml):
    """A driver with nothing to drive says so."""
    assert fake_nvml.inventory().notes == ("the NVIDIA driver is loaded but shows no GPU",)


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ({"*": 15}, "the GPU is lost (fallen off the bus): reset it or reboot"),
        ({"*": 16}, "the GPU wants a reset (nvidia-smi --gpu-reset)"),
        ({"nvmlDeviceGetPowerUsage": 15}, "the GPU is lost (fallen off the bus): reset it or reboot"),
        (
            {"nvmlDeviceGetMemoryInfo": 999},
            "the GPU is in an error state (nvmlDeviceGetMemoryInfo: Unknown Error)",
        ),
        (
            {"nvmlDeviceGetHandleByIndex_v2": 4},
            "no permission to talk to the NVIDIA driver: check the rights of /dev/nvidia*",
        ),
    ],
)
def test_ill_gpu_costs_itself_alone(fake_nvml, errors, text):
    """A lost or failing GPU is listed with its reason, and the others go on."""
    fake_nvml.add(3)
    fake_nvml.devices[1]["errors"] = errors
    fake_nvml.save()
    found = fake_nvml.inventory()
    assert [(gpu.index, gpu.refused) for gpu in found.gpus] == [(0, None), (1, text), (2, None)]
    assert [gpu.uuid for gpu in found.usable] == [uuid(0), uuid(2)]


@pytest.mark.parametrize("call", ["PowerUsage", "Temperature", "UtilizationRates", "Name", "PciInfo_v3"])
@pytest.mark.parametrize("code", [3, 13, 999])
def test_figure_that_fails_is_none(fake_nvml, call, code):
    """A figure that is nice to have never costs a GPU."""
    fake_nvml.add(errors={f"nvmlDeviceGet{call}": code})
    (gpu,) = fake_nvml.inventory().gpus
    assert gpu.refused is None
    values = (gpu.power_watts, gpu.temperature_celsius, gpu.utilisation, gpu.pci_bus_id)
    assert values.count(None) == (0 if call == "Name" else 1)


def test_older_driver_without_process_list(fake_nvml):
    """A driver that lacks a function is used without it."""
    fake_nvml.add(errors={"nvmlDeviceGetComputeRunningProcesses_v3": 13}, compute=[{"pid": 1, "used": 1}])
    (gpu,) = fake_nvml.inventory().gpus
    assert (gpu.refused, gpu.processes) == (None, ())


def test_prohibited_compute_mode(fake_nvml):
    """A GPU on which the administrator forbids programs is refused; an exclusive one takes one."""
    fake_nvml.add(compute_mode=2)
    fake_nvml.add(compute_mode=3)
    forbidden, exclusive = fake_nvml.inventory().gpus
    assert forbidden.refused == "its compute mode is Prohibited (nvidia-smi --compute-mode=0 allows programs)"
    assert (exclusive.refused, exclusive.exclusive) == (None, True)


def test_mig_slices(fake_nvml):
    """Slices have UUIDs, memory and processes of their own; their GPU is not used as a whole."""
    fake_nvml.add(
        cpus=[4, 5],
        mig=[
            {"uuid": "MIG-one", "name": "T MIG 1g.5gb", "total": 5 * GIB, "used": GIB, "gi": 7, "ci": 0, "compute": []},
            None,
            {"uuid": "MIG-two", "name": "T MIG 2g.10gb", "total": 10 * GIB, "gi": 3, "ci": 1, "compute": [{"pid": 1}]},
        ],
    )
    fake_nvml.add()
    board, one, two, other = fake_nvml.inventory().gpus
    assert (board.label, board.refused) == ("0", "MIG mode is on: its slices (2) are used")
    assert (one.label, one.uuid, one.free_bytes, one.mig_parent) == ("0:0", "MIG-one", 4 * GIB, uuid(0))
    assert (two.label, two.uuid, two.free_bytes, two.mig_instance) == ("0:2", "MIG-two", 10 * GIB, (3, 1))
    assert (two.cores, two.utilisation, two.refused) == ((4, 5), None, None)
    assert [process.pid for process in two.foreign()] == [1]
    assert (other.label, other.refused) == ("1", None)


def test_mig_without_slices(fake_nvml):
    """A GPU in MIG mode with no slice made is no device."""
    fake_nvml.add(mig=[])
    (gpu,) = fake_nvml.inventory().gpus
    assert gpu.refused == "MIG mode is on, without a slice"


def test_environment_hides(fake_nvml):
    """What CUDA_VISIBLE_DEVICES hides is listed, with that reason."""
    fake_nvml.add(3)
    found = fake_nvml.inventory(CUDA_VISIBLE_DEVICES="2,GPU-00000000")
    assert [gpu.refused for gpu in found.gpus] == [None, "hidden by CUDA_VISIBLE_DEVICES=2,GPU-00000000", None]


SAMPLE = """
import json, sys, msgspec
from gpusched.devices import Nvml
with Nvml() as nvml:
    nvml.gpus()
    for line in sys.stdin:
        print(msgspec.json.encode(nvml.sample()).decode(), flush=True)
"""

FAULTS = """
import json, sys, msgspec
from gpusched.devices import Nvml
with Nvml() as nvml:
    nvml.watch_faults([gpu.uuid for gpu in nvml.gpus()])
    for line in sys.stdin:
        print(msgspec.json.encode(nvml.faults(0.0)).decode(), flush=True)
"""


class Conversation:
    """A process that looks again each time it is asked."""

    def __init__(self, machine, code):
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=machine.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.communicate()
        assert self.process.returncode == 0

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def test_samples_follow_the_machine(fake_nvml):
    """Load, memory by process and the loss of a GPU show while the driver stays open."""
    fake_nvml.add(2)
    with Conversation(fake_nvml, SAMPLE) as look:
        assert {key: value["used_bytes"] for key, value in look.ask().items()} == {uuid(0): 0, uuid(1): 0}
        (fake_nvml.processes / str(os.getpid())).write_text(f"{uuid(1)} {5 * GIB}")
        fake_nvml.devices[0]["errors"] = {"*": 15}
        fake_nvml.devices[1] |= {"utilisation": 50, "ecc": 2}
        fake_nvml.save()
        assert look.ask() == {
            uuid(0): {
                "uuid": uuid(0),
                "total_bytes": None,
                "free_bytes": None,
                "used_bytes": None,
                "utilisation": None,
                "processes": {},
                "drawing": [],
                "ecc_errors": None,
                "refused": "the GPU is lost (fallen off the bus): reset it or reboot",
                "lost": True,
            },
            uuid(1): {
                "uuid": uuid(1),
                "total_bytes": 24 * GIB,
                "free_bytes": 19 * GIB,
                "used_bytes": 5 * GIB,
                "utilisation": 0.5,
                "processes": {str(os.getpid()): 5 * GIB},
                "drawing": [],
                "ecc_errors": 2,
                "refused": None,
                "lost": False,
            },
        }
        del fake_nvml.devices[1]
        fake_nvml.save()
        assert look.ask()[uuid(1)]["refused"] == "the GPU is lost (fallen off the bus): reset it or reboot"


def test_process_that_ends_leaves_the_gpu(fake_nvml):
    """The driver forgets a process when it is gone, and its memory with it."""
    fake_nvml.add()
    with Conversation(fake_nvml, SAMPLE) as look, subprocess.Popen(["cat"], stdin=subprocess.PIPE) as trial:
        (fake_nvml.processes / str(trial.pid)).write_text(f"{uuid(0)} 7")
        assert look.ask()[uuid(0)]["processes"] == {str(trial.pid): 7}
        trial.stdin.close()
        trial.wait()
        assert look.ask()[uuid(0)]["processes"] == {}


def test_faults_are_told_once_and_sorted(fake_nvml):
    """A device's XID or ECC error is fatal, a program's is not, and neither is told twice."""
    fake_nvml.add(2)
    fake_nvml.state["events"] = [{"uuid": uuid(0), "xid": 79}]
    fake_nvml.save()
    with Conversation(fake_nvml, FAULTS) as look:
        assert look.ask() == []
        fake_nvml.state["events"] += [{"uuid": uuid(1), "xid": 31}, {"uuid": uuid(0), "xid": 79}]
        fake_nvml.devices[0]["errors"] = {"*": 15}
        fake_nvml.save()
        assert look.ask() == [
            {"uuid": uuid(1), "kind": "xid", "code": 31, "fatal": False, "text": "XID 31, memory page fault"},
            {"uuid": uuid(0), "kind": "xid", "code": 79, "fatal": True, "text": "XID 79, GPU has fallen off the bus"},
        ]
        fake_nvml.state["events"] += [{"uuid": uuid(1), "ecc": 1}]
        fake_nvml.save()
        assert look.ask() == [
            {"uuid": uuid(1), "kind": "ecc", "code": 0, "fatal": True, "text": "an uncorrectable memory error (ECC)"}
        ]
        assert look.ask() == []


@pytest.mark.gpu
def test_true_driver():
    """On a machine with a real GPU, the same detection names it and its memory."""
    from gpusched.devices import inventory

    found = inventory({})
    if not found.gpus:
        pytest.skip(f"no GPU: {'; '.join(found.notes)}")
    assert found.driver
    for gpu in found.usable:
        assert gpu.uuid.startswith(("GPU-", "MIG-"))
        assert gpu.total_bytes is None or gpu.total_bytes > GIB
