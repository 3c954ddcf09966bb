"""One scheduler a run: the lock that the second one meets."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gpusched.errors import UsageError


class RunLock:
    """An flock on RUN/lock, held until release() or the process's end, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError, with the holder's pid, where another scheduler works on this run."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"{path.parent}: cannot be written ({error.strerror}); choose another directory") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode().strip() or "unknown"
            os.close(self._fd)
            raise UsageError(
                f"{path.parent}: process {holder} works on this run already; "
                f"`gpusched attach` shows it, `gpusched stop` ends it"
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(path: Path) -> int | None:
    """The pid of the scheduler that works on a run; None where nobody does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(fd, 32).decode().strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(fd)
