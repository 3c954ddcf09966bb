"""What trials leave in the attributes of their tuner and hypermodel, brought to those of the process that searches.

Keras Tuner trains in one process, and its users count on that: run_trial and the hooks of epochs note on self what
load_model, on_trial_end or the script reads afterwards. A trial here has a copy. What it changed on it travels by a
file in the trial's folder: numbers, text, arrays, and containers of these. Other objects stay in the trial.

Trials run beside each other, so that changes are merged: what was put into a dict, a list or a set is added to the
other's, an integer that was counted up is counted up there, and of anything else the last trial's value stays.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import pickle
import sys
from collections import deque
from collections.abc import Iterator
from datetime import date, timedelta, tzinfo
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from gpusched.storage.reading import read_content
from gpusched.storage.rundir import write_whole
from gpusched.trial.tuning.overriding import overridden

log = logging.getLogger(__name__)

#: What of a user's may note things on the tuner while a trial runs.
_OF_EPOCHS = ("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end")
_IN_TRIALS = (*_OF_EPOCHS, "run_trial", "save_model")
#: Attributes of a tuner or hypermodel that are ours.
_OURS = {"asked", "_found", "_oracle", "_searched", "tuner_id", "logger"}

_PLAIN = (type(None), bool, int, float, complex, str, bytes, date, timedelta, PurePath, np.generic)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
#: Functions that NumPy's arrays and numbers are made with, in its versions 1 and 2.
_OF_ARRAYS = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
}
#: Values and bytes of one attribute beyond which it stays in the trial: it is data, and no note.
_VALUES, _BYTES = 10_000, 1 << 20

Change = tuple[str, str, str, Any]  #: whose attribute, its name, how it changed, and by what


def begin(tuner: Any, trial: Any) -> None:
    """Calls on_trial_begin on a trial's copy of the tuner too, where hooks of epochs may count on what it notes there.

    The script's own tuner hears of the trial in its own process, and cannot tell this one.
    """
    if overridden(tuner, "on_trial_begin") and any(overridden(tuner, name) for name in _OF_EPOCHS):
        tuner.on_trial_begin(trial)


class Left:
    """The attributes before a trial, to be compared with those after it."""

    def __init__(self, tuner: Any) -> None:
        self._owners = dict(_owners(tuner))
        self._before = {whose: _notes(owner) for whose, owner in self._owners.items()}
        self._before = {whose: copy.deepcopy(notes) for whose, notes in self._before.items()}

    def changes(self) -> list[Change]:
        found: list[Change] = []
        for whose, owner in self._owners.items():
            before = self._before[whose]
            for name, value in _notes(owner).items():
                if name not in before or not _same(before[name], value):
                    how, by = _change(before.get(name, type(value)() if _is_container(value) else None), value)
                    found.append((whose, name, how, by))
        return found

    def write(self, file: Path) -> None:
        """Writes what has changed. Nothing is written where nothing has."""
        packed = []
        for change in self.changes():
            # A user's own kind of number or text may be of a class that no other process finds: it stays.
            with contextlib.suppress(pickle.PicklingError, AttributeError, TypeError):
                packed.append(pickle.dumps(change))
        if packed:
            write_whole(file, pickle.dumps(packed), durable=False)


def file_of(folder: Path, attempt: int) -> Path:
    """Where a trial's attempt leaves them."""
    return folder / f"left-{attempt}.pickle"


def bring_back(tuner: Any, file: Path) -> None:
    """Changes the attributes as a trial has changed those of its copy, once."""
    content = read_content(file)
    if not isinstance(content, bytes):
        return
    file.unlink()
    owners = dict(_owners(tuner))
    packed = _read(content)
    for part in packed if isinstance(packed, list) else ():
        match _read(part):
            case (str(whose), str(name), str(how), by) if whose in owners:
                setattr(owners[whose], name, _merged(getattr(owners[whose], name, None), how, by))


class _Plain(pickle.Unpickler):
    """Makes numbers, text, arrays and containers: a run directory may come from somebody else, and runs no code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _OF_ARRAYS:
            return super().find_class(module, name)
        # A user's own kind of these is taken where this process knows it.
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, (*_PLAIN, *_CONTAINERS, tzinfo, np.ndarray, np.dtype)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def _read(content: Any) -> Any:
    """What was packed; None for what is damaged, or is not plain."""
    try:
        return _Plain(io.BytesIO(content)).load()
    except Exception as error:  # Damaged bytes raise whatever their opcodes come to.
        log.debug("left out: %s", error)
        return None


def _owners(tuner: Any) -> Iterator[tuple[str, Any]]:
    """The user's objects that take notes in a trial; none where only ours are at work."""
    if any(overridden(tuner, name) for name in _IN_TRIALS):
        yield "tuner", tuner
    hypermodel = getattr(getattr(tuner, "asked", None), "hypermodel", None)
    if hypermodel is not None and not hasattr(hypermodel, "function"):
        yield "hypermodel", getattr(hypermodel, "like", hypermodel)


def _notes(owner: Any) -> dict[str, Any]:
    attributes = getattr(owner, "__dict__", {})
    return {name: value for name, value in attributes.items() if name not in _OURS and _is_plain(value, [_VALUES])}


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list | set | deque)


def _is_plain(value: Any, left: list[int]) -> bool:
    left[0] -= 1
    if left[0] < 0:
        return False
    if isinstance(value, np.ndarray):
        return value.nbytes <= _BYTES and not value.dtype.hasobject
    if isinstance(value, str | bytes):
        return len(value) <= _BYTES
    if isinstance(value, dict):
        return all(_is_plain(each, left) for item in value.items() for each in item)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return all(_is_plain(each, left) for each in value)
    return isinstance(value, _PLAIN)


def _same(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except ValueError:  # Arrays are compared element by element.
        return pickle.dumps(one) == pickle.dumps(other)


def _change(before: Any, after: Any) -> tuple[str, Any]:
    if isinstance(before, dict) and isinstance(after, dict):
        changed = {key: value for key, value in after.items() if key not in before or not _same(before[key], value)}
        return "merge", {key: _change(before.get(key), value) for key, value in changed.items()}
    if isinstance(before, list) and isinstance(after, list) and _same(before, after[: len(before)]):
        return "extend", after[len(before) :]
    if isinstance(before, set) and isinstance(after, set):
        return "update", after - before
    if type(before) is int and type(after) is int:
        return "add", after - before
    return "set", after


def _merged(value: Any, how: str, by: Any) -> Any:
    if how == "merge":
        value = value if isinstance(value, dict) else {}
        for key, (each, change) in by.items():
            value[key] = _merged(value.get(key), each, change)
    elif how == "update" and isinstance(value, set):
        value.update(by)
    elif how == "extend" and isinstance(value, list):
        value.extend(by)
    elif how == "add" and type(value) is int:
        return value + by
    else:
        return by
    return value
