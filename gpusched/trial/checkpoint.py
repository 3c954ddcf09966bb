"""checkpoint/: the newest state a trial can go on from, one for each of its executions.

Knows which files make a state and puts a new one in the old one's place at once: files are named
by their epoch, and state.json, replaced last, says which count. What is in them is its callers'
business; nothing here ever runs code from a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gpusched.storage.rundir import write_whole


class States:
    """The states in one folder. `damage` says why there are none where there should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damage: str | None = None
        self._entries: dict[str, dict[str, Any]] = {}
        self._load()

    def _load(self) -> None:
        try:
            self._entries = json.loads((self.folder / "state.json").read_bytes())["executions"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, OSError) as error:
            self.damage = f"{self.folder}: its state.json is not readable ({error}); training starts anew"
            return
        for execution, entry in list(self._entries.items()):
            for file, size in entry["files"].items():
                with contextlib.suppress(OSError):
                    if (self.folder / file).stat().st_size == size:
                        continue
                self.damage = f"{self.folder / file}: missing or not whole; training starts anew"
                self._entries.pop(execution, None)

    def epoch(self, execution: int = 0) -> int:
        """The epochs that the state of this execution has trained; 0 where there is none."""
        entry = self._entries.get(str(execution))
        return 0 if entry is None else int(entry["epoch"])

    def meta(self, execution: int = 0) -> dict[str, Any] | None:
        """What was put beside the files; None where there is no state."""
        entry = self._entries.get(str(execution))
        return None if entry is None else entry["meta"]

    def file(self, suffix: str, execution: int = 0) -> Path | None:
        """The file with this suffix; None where the state has none."""
        entry = self._entries.get(str(execution))
        name = None if entry is None else next((name for name in entry["files"] if name.endswith(suffix)), None)
        return None if name is None else self.folder / name

    def put(
        self,
        epoch: int,
        writers: Mapping[str, Callable[[Path], None]],
        meta: Mapping[str, Any] | None = None,
        execution: int = 0,
    ) -> None:
        """Puts a state in the place of the execution's old one.

        `writers` say by suffix how each file is written. Whenever this is cut short, the old state stands.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, int] = {}
        taken = self._entries.get(str(execution), {}).get("files", {})
        for suffix, write in writers.items():
            name = f"{execution}-{epoch:04d}{suffix}"
            if name in taken:  # Saved twice in one epoch: the older one counts until state.json is replaced.
                name = f"{execution}-{epoch:04d}b{suffix}"
            # Keras looks at the end of a name: the mark of what is unfinished stands in front.
            aside = self.folder / f".new-{name}"
            write(aside)
            _sync(aside)
            files[name] = aside.stat().st_size
            os.replace(aside, self.folder / name)
        entry = {"epoch": epoch, "files": files, "meta": dict(meta or {})}
        entries = {**self._entries, str(execution): entry}
        _sync(self.folder)
        write_whole(self.folder / "state.json", json.dumps({"format": 1, "executions": entries}).encode())
        self._entries = entries
        self._sweep()

    def drop(self, execution: int) -> None:
        """Forgets the state of one execution."""
        if self._entries.pop(str(execution), None) is not None:
            content = json.dumps({"format": 1, "executions": self._entries}).encode()
            write_whole(self.folder / "state.json", content)
            self._sweep()

    def _sweep(self) -> None:
        """Deletes what no state counts any more."""
        kept = {"state.json"}.union(*(entry["files"] for entry in self._entries.values()))
        for entry in os.scandir(self.folder):
            if entry.name not in kept:
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
