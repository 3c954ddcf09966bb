"""What tests of several folders share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpusched.devices import Inventory

GIB = 2**30
_DRIVER = Path(__file__).parent / "devices" / "nvml" / "nvml.c"


class FakeNvml:
    """A driver from a file: change `state`, call `save`, and every process with `environ` sees it.

    nvml.c says what the state may hold. A process finds the library when it starts, so detection runs
    in processes of its own: `python`, `inventory`, or any command started with `environ`.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self.file = folder / "nvml.json"
        #: A file <pid> with "<uuid> <bytes>" in it is a compute process while that process lives.
        self.processes = folder / "nvml processes"
        self.processes.mkdir()
        self.state: dict[str, Any] = {"driver": "580.65.06", "cuda": 13000, "errors": {}, "devices": [], "events": []}
        paths = [str(library), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        own = {
            "LD_LIBRARY_PATH": ":".join(paths),
            "FAKE_NVML": str(self.file),
            "FAKE_NVML_PROCESSES": str(self.processes),
        }
        outer = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
        self.environ: dict[str, str] = outer | own
        self.save()

    @property
    def devices(self) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = self.state["devices"]
        return devices

    def add(self, count: int = 1, **fields: Any) -> None:
        """Put GPUs on the machine: sound, idle, all figures given, unless `fields` say otherwise."""
        for number in range(len(self.devices), len(self.devices) + count):
            device = {
                "uuid": f"GPU-{number:08x}-0000-4000-8000-{number:012x}",
                "name": "NVIDIA Test 24GB",
                "bus": f"00000000:{16 * (number + 1):02X}:00.0",
                "total": 24 * GIB,
                "used": 0,
                "utilisation": 0,
                "temperature": 35,
                "milliwatts": 55500,
                "compute_mode": 0,
                "ecc": 0,
                "compute": [],
                "graphics": [],
                "errors": {},
            }
            self.devices.append(device | fields)
        self.save()

    def save(self) -> None:
        """Show `state` to everyone, whole."""
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps(self.state), encoding="utf-8")
        aside.replace(self.file)

    def python(self, code: str, *arguments: str, **environ: str) -> str:
        """What a Python program prints on this machine; fails with its traceback if it fails."""
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=self.environ | environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def inventory(self, **environ: str) -> Inventory:
        """What gpusched finds here."""
        code = "import runpy; runpy.run_module('gpusched.devices', run_name='__main__')"
        return msgspec.json.decode(self.python(code, **environ), type=Inventory)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libnvidia-ml.so.1, built from tests/devices/nvml by the system's compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the test driver with")
    folder = tmp_path_factory.mktemp("nvml")
    built = folder / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(built), str(_DRIVER), "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def fake_nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    """A machine with an NVIDIA driver and no GPU yet: `fake_nvml.add(4)` puts four in."""
    return FakeNvml(nvml_library, tmp_path)


@pytest.fixture
def make_fake_nvml(nvml_library: Path, tmp_path: Path) -> Callable[[str], FakeNvml]:
    """Several such machines, by name."""

    def make(name: str) -> FakeNvml:
        folder = tmp_path / name
        folder.mkdir()
        return FakeNvml(nvml_library, folder)

    return make
