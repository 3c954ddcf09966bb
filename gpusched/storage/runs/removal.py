"""Deleting a run: what gpusched has made goes, what else stands in its folder stays.

Knows nothing of searches that run: who calls this holds the run's lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from gpusched.storage.lock import RECORD
from gpusched.storage.rundir import RunDir

#: Besides what RunDir names.
_REPORT = "report.html"


def size_of(run: RunDir) -> int:
    """Bytes of all files in a run's folder; links count as nothing."""
    total, folders = 0, [os.fspath(run.path)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # It went meanwhile.
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def remove(run: RunDir) -> list[Path]:
    """Deletes a run; returns what is left in its folder since it is not gpusched's. Raises OSError.

    Cut short by a crash it is no run any more, and may be deleted by hand.
    """
    own = [run.journal, run.control, run.log, run.path / RECORD, run.path / _REPORT, run.lock]
    run.search.unlink()
    for folder in (run.trials, run.launcher):
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    for file in own:
        file.unlink(missing_ok=True)
    left = sorted(run.path.iterdir())
    if not left:
        run.path.rmdir()
    return left
