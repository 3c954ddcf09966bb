"""One scheduler a run: the lock that the second one meets, and the record by which everybody else knows of it.

Who looks takes no lock, not even for a moment: a scheduler that starts just then would be refused. The record names
the process, and the kernel says whether that lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from gpusched.errors import UsageError
from gpusched.storage.files import open_own
from gpusched.storage.identity import alive, on_another_host, own_identity, works_in
from gpusched.storage.reading import read, read_content
from gpusched.storage.records import Identity
from gpusched.storage.rundir import as_json, write_whole

#: Beside the lock: the Identity of the scheduler that has it. Left there, it is of one that was killed.
RECORD = "scheduler.json"
#: Somebody may hold the lock for a moment (versions that looked by it, a backup) or may not have written who he is yet.
_PATIENCE_SECONDS, _TRY_SECONDS = 2.0, 0.02


class RunLock:
    """An flock on RUN/lock, held until release() or the process's end, however it ends."""

    def __init__(self, path: Path, *, take_over: bool = False) -> None:
        """Raises UsageError, with the holder's pid, where another scheduler works on this run.

        So it does where one on another host may, unless this is to `take_over`: the other is known to have ended.
        """
        self._record, self._taken = path.with_name(RECORD), False
        new = not path.exists()
        try:
            # Its owner's alone: whoever may open it may hold it.
            self._fd = open_own(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(f"{path.parent}: cannot be written ({error.strerror}); choose another directory") from None
        try:
            with contextlib.suppress(PermissionError):  # It is another user's, who has given us the right to write.
                os.fchmod(self._fd, 0o600)
            self._take(path)
            if not take_over:
                refuse_if_away(path)
            self._write(path)
        except BaseException:
            if new and self._taken:
                path.unlink(missing_ok=True)
            os.close(self._fd)
            raise

    def _take(self, path: Path) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._taken = True
                return
            except BlockingIOError:
                pid, where = holder(path), away(path)
                if pid is None and where is None and time.monotonic() < until:
                    time.sleep(_TRY_SECONDS)
                    continue
            except OSError as error:
                raise UsageError(
                    f"{path}: its file system keeps no locks ({error.strerror}), like a FUSE mount, or Lustre without "
                    "the mount option flock; choose a directory on another"
                ) from None
            if pid is None and where is None:
                raise UsageError(
                    f"{path}: some process holds this lock, and is no scheduler of this run; `fuser {path}` names it"
                )
            who = f"process {pid}" if where is None else name_of(where)
            raise UsageError(
                f"{path.parent}: {who} runs this search already; `gpusched attach` shows it, `gpusched stop` ends it"
            )

    def _write(self, path: Path) -> None:
        try:
            os.ftruncate(self._fd, 0)  # Earlier versions kept their pid in it.
            write_whole(self._record, as_json(own_identity(path.parent)))
        except OSError as error:
            raise UsageError(
                f"{path.parent}: cannot be written ({error.strerror}); make room, or choose another directory"
            ) from None

    def forget(self) -> None:
        """Removes the record, and keeps the lock: the run directory is about to be moved."""
        with contextlib.suppress(OSError):  # A record that stays names a process that is about to end.
            self._record.unlink(missing_ok=True)

    def release(self) -> None:
        self.forget()
        os.close(self._fd)


def holder(path: Path) -> int | None:
    """The pid of the scheduler that works on a run; None where nobody does on this machine. `path` is that of the
    lock."""
    record = _recorded(path)
    if record is None:
        return _of_an_earlier_version(path)
    return record.pid if alive(record) else None


def away(path: Path) -> Identity | None:
    """The scheduler on another host that has worked on a run and has not said that it ended."""
    record = _recorded(path)
    return record if record is not None and on_another_host(record) else None


def refuse_if_away(path: Path) -> None:
    """Raises UsageError where a scheduler on another host may work on this run, or may have left trials there."""
    where = away(path)
    if where is not None:
        raise UsageError(
            f"{path.parent}: {name_of(where)} runs this search, or was killed and its trials may still train there; "
            "stop it there, or give --take-over if none of its processes is left"
        )


def name_of(identity: Identity) -> str:
    """For people."""
    return f"process {identity.pid} on {identity.host.partition('/')[0]}"


def _recorded(path: Path) -> Identity | None:
    record = read(path.with_name(RECORD), Identity)
    return record if isinstance(record, Identity) and works_in(record, path.parent) else None


def _of_an_earlier_version(path: Path) -> int | None:
    """Those wrote their pid into the lock, and only the lock itself says whether they live."""
    content = read_content(path)
    text = content.strip() if isinstance(content, bytes) else b""
    if not text.isdigit():
        return None
    try:
        fd = open_own(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return int(text)
    else:
        return None
    finally:
        os.close(fd)
