"""checkpoint/: the newest state a trial can go on from, one for each of its executions.

Knows which files make a state and puts a new one in the old one's place at once: files are named
by their epoch, and state.json, replaced last, says which count. What is in them is its callers'
business; nothing here ever runs code from a file. A digest of each file stands beside its size: one flipped bit,
and the state counts as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import msgspec

from gpusched.storage import checksum, claim
from gpusched.storage.files import make_folder, plain
from gpusched.storage.reading import Unreadable, decode, read_content
from gpusched.storage.rundir import as_json, write_whole
from gpusched.system.process.owner import Owner

#: Names of what is put here, finished and unfinished.
_OURS = re.compile(r"(\.new-)?(\d+-\d{4,}b?\..+|state\.json)|\.state\.json\.\d+")


class Entry(msgspec.Struct, frozen=True):
    """What is kept of one execution."""

    epoch: int
    files: dict[str, int]  #: name to size in bytes
    meta: dict[str, Any]
    digests: dict[str, str] = {}  #: name to BLAKE2b of the content; none in states of older versions


class _Table(msgspec.Struct, frozen=True):
    executions: dict[str, Entry]
    format: int = 1


class States:
    """The states in one folder. `damage` says why there are none where there should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._owner = Owner()
        self.damage: str | None = None
        self._entries: dict[str, Entry] = {}
        self._load()

    def _load(self) -> None:
        content = read_content(self.folder / "state.json")
        if content is None:
            return
        table = content if isinstance(content, Unreadable) else decode(content, _Table)
        if isinstance(table, Unreadable):
            self.damage = f"{self.folder}: its state.json cannot be used ({table.reason})"
            return
        for execution, entry in table.executions.items():
            bad = next((why for name in entry.files if (why := self._wrong(entry, name))), None)
            if bad is None:
                self._entries[execution] = entry
            else:
                self.damage = bad

    def _wrong(self, entry: Entry, name: str) -> str | None:
        """What is wrong with a file of a state; None where it is as it was written."""
        path = self.folder / name
        if os.path.basename(name) != name:
            return f"{self.folder}: its state.json names {name!r}, which is no file of a state"
        try:
            if path.stat().st_size != entry.files[name]:
                return f"{path}: not whole"
            if name in entry.digests and entry.digests[name] != _digest(path):
                return f"{path}: damaged, its content is not what was written"
        except FileNotFoundError:
            return f"{path}: missing"
        except OSError as error:
            return f"{path}: cannot be read ({error.strerror})"
        return None

    def hold_against(self, metrics: Path, execution: int, there: int) -> None:
        """Forgets a state that the epochs in metrics.jsonl do not lead to: `there` are left from the first one on."""
        if self.epoch(execution) > there:
            self.damage = f"{metrics}: epoch {there + 1} of those before the checkpoint is lost or damaged"
            del self._entries[str(execution)]

    def epoch(self, execution: int = 0) -> int:
        """The epochs that the state of this execution has trained; 0 where there is none."""
        entry = self._entries.get(str(execution))
        return 0 if entry is None else entry.epoch

    def meta(self, execution: int = 0) -> dict[str, Any] | None:
        """What was put beside the files; None where there is no state."""
        entry = self._entries.get(str(execution))
        return None if entry is None else entry.meta

    def file(self, suffix: str, execution: int = 0) -> Path | None:
        """The file with this suffix; None where the state has none."""
        entry = self._entries.get(str(execution))
        name = None if entry is None else next((name for name in entry.files if name.endswith(suffix)), None)
        return None if name is None else self.folder / name

    def put(
        self,
        epoch: int,
        writers: Mapping[str, Callable[[Path], None]],
        meta: Mapping[str, Any] | None = None,
        execution: int = 0,
        *,
        durable: bool = True,
    ) -> None:
        """Puts a state in the place of the execution's old one.

        `writers` say by suffix how each file is written. Whenever this is cut short, the old state stands; where it
        is not `durable`, losing power may cost both, until `sync` is called. Raises RuntimeError in a process that the
        trial has forked.
        """
        self._owner.demand("save_checkpoint")
        claim.check()
        make_folder(self.folder.parent, self.folder.name)
        files: dict[str, int] = {}
        digests: dict[str, str] = {}
        before = self._entries.get(str(execution))
        taken = before.files if before is not None else {}
        for suffix, write in writers.items():
            name = f"{execution}-{epoch:04d}{suffix}"
            if name in taken:  # Saved twice in one epoch: the older one counts until state.json is replaced.
                name = f"{execution}-{epoch:04d}b{suffix}"
            # Keras looks at the end of a name: the mark of what is unfinished stands in front.
            aside = self.folder / f".new-{name}"
            aside.unlink(missing_ok=True)  # Whatever stands there, be it a link.
            write(aside)
            if durable:
                _sync(aside)
            files[name], digests[name] = aside.stat().st_size, _digest(aside)
            claim.check()
            os.replace(aside, self.folder / name)
        entries = {**self._entries, str(execution): Entry(epoch, files, dict(meta or {}), digests)}
        if durable:
            _sync(self.folder)
        self._write(entries, durable)

    def drop(self, execution: int) -> None:
        """Forgets the state of one execution."""
        if str(execution) in self._entries:
            self._write({name: entry for name, entry in self._entries.items() if name != str(execution)})

    def sync(self) -> None:
        """Brings to the disk what was put without."""
        for name in {"state.json"}.union(*(entry.files for entry in self._entries.values())):
            if (self.folder / name).exists():
                _sync(self.folder / name)

    def _write(self, entries: dict[str, Entry], durable: bool = True) -> None:
        claim.check()
        content = checksum.signed(as_json(_Table(entries)))
        if durable:
            write_whole(self.folder / "state.json", content)
        else:
            aside = self.folder / ".new-state.json"
            aside.unlink(missing_ok=True)
            aside.write_bytes(content)
            os.replace(aside, self.folder / "state.json")
        self._entries = entries
        self._sweep()

    def _sweep(self) -> None:
        """Deletes what no state counts any more."""
        _clear(self.folder, {"state.json"}.union(*(entry.files for entry in self._entries.values())))


def drop(folder: Path) -> None:
    """Deletes the states in a folder, and the folder unless somebody else has put something there."""
    _clear(folder, set())
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _clear(folder: Path, kept: Set[str]) -> None:
    """Deletes the files of states but for those. Others in the folder are not ours; where it is a link, nothing is."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in os.listdir(fd):
            if name not in kept and _OURS.fullmatch(name):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)


def _digest(path: Path) -> str:
    with open(path, "rb", opener=plain) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
