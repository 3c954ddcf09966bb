"""The run directory: who owns which filename.

runs/digits/
  search.json  journal.jsonl  lock  scheduler.json  control.sock  scheduler.log
  launcher/                    one folder of sockets and logs for the launchers
  trials/0007/
    trial.json  metrics.jsonl  log.txt  log.times  outcome.json  process.json
    checkpoint/  best/  files/
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from gpusched.errors import UsageError
from gpusched.storage import checksum
from gpusched.storage.files import make_folder
from gpusched.storage.reading import Unreadable, read
from gpusched.storage.records import SearchRecord
from gpusched.trials import name_of

T = TypeVar("T")


def write_whole(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o644) -> None:
    """Puts content at path at once: a reader sees the old file or the new one, never a part.

    Durably, unless it is worth nothing after a power cut.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _anew(aside, mode) as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _anew(path: Path, mode: int) -> BinaryIO:
    """A new file, whatever stood there: a link in its place is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return open(os.open(path, flags, mode), "wb")
    except FileExistsError:  # Of a process that was killed, and had this pid.
        os.unlink(path)
        return open(os.open(path, flags, mode), "wb")


def write_record(path: Path, record: msgspec.Struct, *, durable: bool = True) -> None:
    """Puts a record at path, whole, with a checksum that everyone who reads it checks."""
    write_whole(path, checksum.signed(as_json(record)), durable=durable)


def read_record(path: Path, kind: type[T]) -> T | None:
    """The record at path; None where there is no file.

    Raises UsageError where the file cannot be read, or is not such a record.
    """
    found = read(path, kind)
    if isinstance(found, Unreadable):
        raise UsageError(f"{found.reason}; {'mend that' if found.refused else 'move it aside'} to go on")
    return found


@dataclass(frozen=True)
class TrialDir:
    """The folder of one trial."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / "trial.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def outcome(self) -> Path:
        return self.path / "outcome.json"

    @property
    def process(self) -> Path:
        """The Identity of the process that trains this trial, or trained it last."""
        return self.path / "process.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def best(self) -> Path:
        return self.path / "best"

    @property
    def files(self) -> Path:
        """What a loop of the user's own keeps."""
        return self.path / "files"


@dataclass(frozen=True)
class RunDir:
    """The folder of one search."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def search(self) -> Path:
        return self.path / "search.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def control(self) -> Path:
        return self.path / "control.sock"

    @property
    def log(self) -> Path:
        """What a scheduler in the background prints."""
        return self.path / "scheduler.log"

    @property
    def launcher(self) -> Path:
        return self.path / "launcher"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    def trial(self, trial_id: int) -> TrialDir:
        return TrialDir(self.trials / name_of(trial_id))

    def trial_ids(self) -> list[int]:
        """Ids of the trials that have a folder, ascending."""
        try:
            names = os.listdir(self.trials)
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if re.fullmatch(r"\d{4,}", name))

    def read_search(self) -> SearchRecord:
        """Raises UsageError where this is no run directory."""
        record = read_record(self.search, SearchRecord)
        if record is None:
            raise UsageError(f"{self.path}: not a run directory, it has no search.json")
        return record

    def exists(self) -> bool:
        return _is_run(self.path)

    def make_trial(self, trial_id: int) -> TrialDir:
        """The trial's folder, made where it is absent. Raises OSError where it cannot be, or is a link.

        A run directory that has been moved is not made again in its old place.
        """
        os.stat(self.path)
        return TrialDir(make_folder(self.path, self.trials.name, name_of(trial_id)))

    def move_aside(self) -> Path:
        """Renames the whole run to NAME-YYYYmmdd-HHMMSS (never deletes it) and returns its new path."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        target, n = self.path.with_name(f"{self.path.name}-{stamp}"), 1
        while target.exists():
            n += 1
            target = self.path.with_name(f"{self.path.name}-{stamp}-{n}")
        self.path.rename(target)
        return target


def state_file(name: str) -> Path:
    """A file of this user's that belongs to no run."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "gpusched" / name


def keep_traceback(text: str) -> Path | None:
    """Puts the traceback of user code that failed before there was a run where its author finds it; None: nowhere."""
    file = state_file("traceback.txt")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode(errors="replace"), durable=False)
    except OSError:
        return None  # The one line that is printed has to do.
    return file


def _is_run(path: Path) -> bool:
    """Raises UsageError where nobody but its owner may know."""
    try:
        return (path / "search.json").exists()
    except PermissionError:
        raise UsageError(
            f"{path}: is another user's and closed to you; its owner opens it to all with `chmod 755 {path}`"
        ) from None


def as_json(value: Any) -> bytes:
    """JSON of any record or plain value, NaN and infinity as null."""
    return msgspec.json.encode(value)
