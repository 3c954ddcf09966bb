"""What trials use of their devices while they run."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

GIB = 2**30

_CODE = """
import json, sys
from gpusched.ui.facts import Row
from gpusched.ui.watch.meter import Meter

gpu, *pids = sys.argv[1:]
rows = [Row(slot=i, label="", devices=(gpu,), trial=i, pid=int(pid)) for i, pid in enumerate(pids)]
with Meter() as meter:
    loads = meter.sample(rows)
print(json.dumps([[load.used_bytes, load.total_bytes] for load in map(loads.get, range(len(rows)))]))
"""


def test_a_trial_s_memory_is_its_own(fake_nvml: Any) -> None:
    """Not what others hold on its GPU; what it has started counts. Where none is named, no figure."""
    code = "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); "
    code += "print(child.pid, flush=True); sys.stdin.read(); child.kill(); child.wait()"
    alone: Any = {"start_new_session": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([sys.executable, "-c", code], **alone) as first,
        subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], **alone) as second,
        subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], **alone) as third,
    ):
        assert first.stdout is not None
        child = int(first.stdout.readline())
        held = {first.pid: 2, child: 1, second.pid: 5, 4_000_000_001: 7}
        compute = [{"pid": pid, "used": count * GIB} for pid, count in held.items()]
        fake_nvml.add(used=16 * GIB, compute=compute)
        pids = [str(process.pid) for process in (first, second, third)]
        told = json.loads(fake_nvml.python(_CODE, fake_nvml.devices[0]["uuid"], *pids))
        for process in (first, second, third):
            process.communicate()
    assert told == [[3 * GIB, 24 * GIB], [5 * GIB, 24 * GIB], [None, 24 * GIB]]
