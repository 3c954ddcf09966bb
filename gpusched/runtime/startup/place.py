"""The run directory that a session is to work in: made or moved aside, and locked."""

from __future__ import annotations

import contextlib
import stat

from gpusched.engines import left
from gpusched.errors import UsageError
from gpusched.storage.files import make_folder, near
from gpusched.storage.lock import RunLock, holder
from gpusched.storage.rundir import RunDir


def lock_of(run: RunDir, *, take_over: bool, made: bool) -> RunLock:
    """Raises UsageError where it cannot be had; a directory that was made for nothing but that goes again."""
    try:
        return RunLock(run.lock, take_over=take_over)
    except UsageError:
        if made:
            with contextlib.suppress(OSError):  # Somebody else has begun there meanwhile.
                run.path.rmdir()
        raise


def prepare(run: RunDir, *, restart: bool, take_over: bool = False) -> list[str]:
    """Makes the run directory, if need be, its owner's alone unless that owner has opened it.

    Returns lines for people. Raises UsageError where it is another's or cannot be written.
    """
    lines = []
    try:
        mode = 0o700
        if run.exists() and restart:
            pid = holder(run.lock)
            if pid is not None:
                raise UsageError(f"{run.path}: process {pid} runs this search; stop it before you restart it")
            lock = RunLock(run.lock, take_over=take_over)
            try:
                # What would train on for nobody, and keep the devices from the trials of this search.
                if ended := left.end_all(run):
                    lines.append(
                        f"ended {ended} processes of the older run that were left when its scheduler was killed"
                    )
                mode = stat.S_IMODE(run.path.stat().st_mode)
                lock.forget()
                lines.append(f"the older run is kept in {near(run.move_aside())}")
            finally:
                lock.release()
        if not run.path.exists():
            make_folder(run.path)
            run.path.chmod(mode)
    except OSError as error:
        raise UsageError(f"{run.path}: cannot be written ({error.strerror}); choose another --run") from None
    return lines
