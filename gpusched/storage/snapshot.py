"""What a long journal's replay came to, kept so that the next reader goes on from there.

A cache of this user's, outside of the run directory: it is Python's own form, and reading a run directory is never to
run code from it. It is believed only where the journal still begins with the very bytes that were replayed, by the
same code, for the same search.json; where it is absent, damaged or of another journal, the journal is replayed.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import io
import logging
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gpusched.core.search import Search
from gpusched.oracles.samplers import RandomSampler
from gpusched.storage.files import plain
from gpusched.storage.reading import NOT_DECODED
from gpusched.storage.rundir import RunDir, state_file, write_whole

log = logging.getLogger(__name__)

#: Events whose replay takes longer than keeping what it came to. Of a longer journal it is a quarter: all is kept anew.
WORTH = 2_000
#: So many are kept, the newest, of at most so many bytes each and together.
_MOST, _LARGEST, _ALL = 16, 1 << 27, 1 << 28
#: What the state of a search is made of. All of it is pure: to make such an object touches nothing.
_PURE = ("core", "oracles", "hyperparameters", "objective")
_PURE_TOO = {
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("collections", "deque"),
    ("msgspec._utils", "rebuild"),  # calls a class with keywords
}


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what the rest was made from."""

    code: str
    search: str
    length: int  #: of the journal, in bytes, as far as it was replayed
    journal: str
    body: str


class _Pure(pickle.Unpickler):
    """Makes nothing but what a search is made of."""

    def find_class(self, module: str, name: str) -> Any:
        package, _, rest = module.partition(".")
        if (module, name) in _PURE_TOO:
            return super().find_class(module, name)
        if package == "gpusched" and rest.split(".")[0] in _PURE:
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a search")


def can_be_kept(search: Search) -> bool:
    """Whether all of its state is data: a grid is walked by a generator, a model keeps what it has fitted."""
    oracle = search.oracle
    return type(oracle.sampler) is RandomSampler and len(oracle.objectives) == 1


def keep(run: RunDir, search: Search, length: int) -> None:
    """Keeps the state that the first so many bytes of the journal lead to. Where that cannot be, nothing is lost."""
    if not can_be_kept(search):
        return
    try:
        with open(run.journal, "rb", opener=plain) as file:
            content = file.read(length)
        if len(content) != length:
            return
        body = pickle.dumps(search, 5)
        if len(body) > _LARGEST:
            return
        head = _Head(
            code=_code(),
            search=_digest(run.search.read_bytes()),
            length=length,
            journal=_digest(content),
            body=_digest(body),
        )
        file_ = _file(run)
        file_.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(file_, msgspec.json.encode(head) + b"\n" + body, durable=False)
        _drop_oldest(file_)
    except (OSError, pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        log.debug("%s: no snapshot is kept: %s", run.path, error)


class Kept(NamedTuple):
    """A search, and how much of its journal led to it."""

    search: Search
    length: int  #: in bytes
    lines: int


def restore(run: RunDir) -> Kept | None:
    """What is kept of this run; None where that is nothing, or not to be believed."""
    try:
        with open(_file(run), "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            head = msgspec.json.decode(file.readline(4096), type=_Head)
            if head.code != _code() or head.search != _digest(run.search.read_bytes()):
                return None
            with open(run.journal, "rb", opener=plain) as journal:
                content = journal.read(head.length)
            if len(content) != head.length or _digest(content) != head.journal:
                return None
            body = file.read(_LARGEST + 1)
        if _digest(body) != head.body:
            return None
        with uncollected():
            search = _Pure(io.BytesIO(body)).load()
    except (OSError, *NOT_DECODED, pickle.UnpicklingError, EOFError, AttributeError, TypeError, ImportError) as error:
        log.debug("%s: its snapshot is not used: %s", run.path, error)
        return None
    return Kept(search, head.length, content.count(b"\n")) if isinstance(search, Search) else None


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cycles: a journal makes none, and all it makes stays. Twice as fast at 300,000 lines."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _file(run: RunDir) -> Path:
    return state_file("snapshots") / _digest(os.fsencode(run.path.resolve()))[:32]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _drop_oldest(newest: Path) -> None:
    there = [(each.stat(), each) for each in newest.parent.iterdir()]
    # Files of one moment have one time.
    there.sort(key=lambda found: (found[1] != newest, -found[0].st_mtime_ns))
    whole = 0
    for number, (stat, each) in enumerate(there):
        whole += stat.st_size
        if number >= _MOST or whole > _ALL:
            each.unlink(missing_ok=True)


@functools.cache
def _code() -> str:
    """Changes with every change of the code that decides, and of the Python that runs it."""
    told = [sys.version]
    root = Path(__file__).parents[1]
    for part in _PURE:
        for file in sorted([root / f"{part}.py", *(root / part).rglob("*.py")]):
            with contextlib.suppress(OSError):
                stat = file.stat()
                told.append(f"{file} {stat.st_size} {stat.st_mtime_ns}")
    return _digest("\n".join(told).encode())
