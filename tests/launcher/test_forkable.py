"""What a process may have in it and still be forked. Each in a process of its own: others' tests start runtimes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = """
import os, sys, threading
from gpusched.launcher.standby.forkable import unforkable

def served(module):
    event = threading.Event()
    kind = type("Served", (threading.Thread,), {"__module__": module})
    kind(target=event.wait, name="served", daemon=True).start()
"""


def judged(code: str) -> str:
    """What unforkable() says after the code."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code + "\nprint(unforkable())"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_plain_process_can_be_forked() -> None:
    """NumPy's and SciPy's thread pools outlive a fork."""
    assert judged("import numpy as np, scipy.linalg\nnp.ones((300, 300)) @ np.ones((300, 300))") == "None"


def test_a_thread_that_a_trial_may_wait_for_is_named() -> None:
    """A fork has no such thread, and would wait for ever."""
    assert judged("served('prefetch')") == "it started threads (served)"


@pytest.mark.parametrize("module", ["tqdm._monitor", "ipykernel.heartbeat", "werkzeug.serving", "debugpy.server"])
def test_a_thread_that_serves_people_is_no_hindrance(module: str) -> None:
    """A progress bar, a notebook, a web server and a debugger do nothing that a trial waits for."""
    assert judged(f"served('{module}')") == "None"


def test_openmp_that_has_computed_is_a_hindrance() -> None:
    """GNU's OpenMP hangs in a fork of a process that has used several of its threads; loading it is nothing."""
    code = "import os\nos.environ['OMP_NUM_THREADS'] = '2'\nimport numpy as np\nfrom sklearn.cluster import KMeans\n"
    assert judged(code) == "None"
    assert judged(code + "KMeans(2, n_init=1).fit(np.random.rand(3000, 2))") == "it computed with OpenMP's threads"


def test_threads_of_blas_that_were_limited_away_are_no_hindrance() -> None:
    """They are there and rest: in a trial that is held to fewer cores than its launcher, too."""
    assert (
        judged("""
from sklearn.cluster import KMeans
from gpusched.system.process import threads
read, write = os.pipe()
if pid := os.fork():
    os.waitpid(pid, 0)
    print(os.read(read, 1000).decode())
    sys.exit()
threads.limit(1)
os.write(write, str(unforkable()).encode())
os._exit(0)
""")
        == "None"
    )


def test_a_started_runtime_is_a_hindrance() -> None:
    """TensorFlow counts as started once it has looked at its devices, since that starts CUDA."""
    code = """
import types
context = types.ModuleType("context")
context._context = types.SimpleNamespace(_initialized=False, _physical_devices=None)
sys.modules["tensorflow.python.eager.context"] = context
"""
    assert judged(code) == "None"
    assert judged(code + "context._context._physical_devices = []") == "it started TensorFlow's runtime"
