"""A trial's folder on its way between machines: what its next job needs, as bytes.

Knows files and nothing of Ray. Unpacking takes plain files alone, and never leaves the folder.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from gpusched.storage.rundir import TrialDir

#: The newest state, the best weights, and what has been reported.
_PARTS = ("checkpoint", "best", "metrics.jsonl", "outcome.json")


def pack(folder: TrialDir) -> bytes | None:
    """The parts that are there, not compressed: weights hardly shrink. None where the trial is just writing them."""
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in _PARTS:
                path = folder.path / name
                if path.exists():
                    tar.add(path, arcname=name, filter=_finished)
    except OSError:
        return None
    return buffer.getvalue()


def _finished(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Not what is still to be renamed into place."""
    return None if Path(entry.name).name.startswith(".") else entry


def unpack(parcel: bytes, folder: TrialDir) -> None:
    """Puts the parts in the place of those that are there; each is whole or as it was."""
    folder.path.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".parcel.", dir=folder.path))
    try:
        with tarfile.open(fileobj=io.BytesIO(parcel)) as tar:
            tar.extractall(aside, filter="data")
        for name in _PARTS:
            _swap(aside / name, folder.path / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _swap(new: Path, old: Path) -> None:
    if not new.exists():
        return
    if old.is_dir():
        shutil.rmtree(old)
    os.replace(new, old)
