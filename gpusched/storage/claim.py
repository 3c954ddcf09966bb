"""Which process trains a trial: the one that process.json names.

A process may train on when nobody waits for it any more: its scheduler was killed and the search was started anew in
its place, or is carried on from another host, where it cannot be seen. What it would write then is not the trial's. So
it looks, before each write, whether the file is still the one that it put there itself.
"""

from __future__ import annotations

import errno
import os

import msgspec

from gpusched.storage.identity import own_identity
from gpusched.storage.records import Identity, JobSpec
from gpusched.storage.rundir import RunDir, as_json, write_whole


class TrialProcess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """process.json: the process that trains a trial, or trained it last."""

    attempt: int
    identity: Identity
    start: str = ""  #: the search's, see SearchRecord


class Superseded(BaseException):
    """This process's trial is another's by now. Not an Exception: no `except Exception` of user code may catch it."""

    def __init__(self) -> None:
        super().__init__("another process trains this trial now, or its folder was replaced: this one ends")


class _Claim:
    def __init__(self, path: str) -> None:
        self._path = path
        self._mine = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            try:
                # Opened, not only looked at: over a network, what is known of a file may be a minute old.
                fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                found = os.lstat(self._path)  # Its descriptors are used up: the trial is its own all the same.
            else:
                found = os.fstat(fd)
                os.close(fd)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns

    @property
    def holds(self) -> bool:
        return self._mine is not None and self._stamp() == self._mine


#: A process trains one trial, and then ends.
_own: _Claim | None = None


def take(run: RunDir, spec: JobSpec) -> None:
    """Makes this process the one that trains the trial. Raises OSError where the run directory cannot be written."""
    global _own
    path = run.trial(spec.trial).process
    record = TrialProcess(attempt=spec.attempt, identity=own_identity(run.path), start=spec.start)
    write_whole(path, as_json(record), durable=False)  # It means nothing after a power cut.
    _own = _Claim(str(path))


def check() -> None:
    """Raises Superseded where this process has taken a trial that is another's by now."""
    if _own is not None and not _own.holds:
        raise Superseded
