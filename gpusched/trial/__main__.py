"""`python -m gpusched.trial ORDER FD`: a trial's process that starts from nothing.

ORDER holds a launcher's Load message and a JobSpec, a line each; FD takes the first sign of life.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import msgspec

from gpusched.launcher.children import enter
from gpusched.launcher.protocol import Load
from gpusched.launcher.source import load_task
from gpusched.storage.records import JobSpec


def main() -> int:
    first, second = Path(sys.argv[1]).read_bytes().splitlines()
    life = int(sys.argv[2])
    spec = msgspec.json.decode(second, type=JobSpec)
    enter(spec, None)
    with contextlib.suppress(OSError):  # The launcher may be gone; the trial goes on.
        os.write(life, b"1")
    task = load_task(msgspec.json.decode(first, type=Load))
    from gpusched.trial.job import run_job

    run_job(task, spec, alive=lambda: None)
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Not through the frameworks' own clean-up, which takes a slot's time.
