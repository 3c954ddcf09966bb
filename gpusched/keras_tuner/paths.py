"""Makes Keras Tuner's module paths importable below gpusched: `from gpusched.engine.trial import Trial`.

One finder stands behind all files: it makes a module of a line in a table, whose names are looked up when they are
asked for, so that nothing is loaded before. What is not to be had says what to use instead.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

from gpusched.keras_tuner.names import HOMES, INSTEAD, PATHS, TOP

ROOT = "gpusched"
#: The same paths once more: for who imports gpusched.keras_tuner, and as keras_tuner.src, where Keras Tuner's code is.
TWINS = (f"{ROOT}.keras_tuner.", f"{ROOT}.src.")


def lookup(path: str, name: str) -> Any:
    """What `name` is below `path`; the empty path is the package itself.

    Raises AttributeError, which says what to use instead where that is known.
    """
    path = "" if path == "src" else path
    below = f"{path}.{name}" if path else name
    if name in (PATHS[path] if path else TOP):
        module, _, called = (HOMES.get(below) or HOMES[name]).partition(":")
        return getattr(importlib.import_module(module), called or name)
    if below in PATHS:
        return importlib.import_module(f"{ROOT}.{below}")
    if below == "__version__":
        return importlib.import_module("importlib.metadata").version(ROOT)
    where = f"{ROOT}.{path}" if path else ROOT
    instead = INSTEAD.get(below) or INSTEAD.get(name)
    if instead and not name.startswith("__"):
        raise AttributeError(f"{where}.{name} is not there: {instead}")
    raise AttributeError(f"module {where!r} has no attribute {name!r}{_meant(path, name)}")


def _meant(path: str, name: str) -> str:
    elsewhere = next((each for each, names in PATHS.items() if name in names), None)
    if elsewhere is not None:
        return f"; it is {ROOT}.{elsewhere}.{name}"
    close = difflib.get_close_matches(name, PATHS[path] if path else [*TOP, *HOMES], 1)
    return f"; did you mean {close[0]}?" if close else ""


def _known(fullname: str) -> str:
    """The path that a module stands for, whichever way it is written."""
    prefix = next((twin for twin in TWINS if fullname.startswith(twin)), f"{ROOT}.")
    return fullname.removeprefix(prefix)


class Path(types.ModuleType):
    """A module of Keras Tuner's, which has nothing but names that lead elsewhere."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return lookup(self.__name__.removeprefix(f"{ROOT}."), name)

    def __reduce__(self) -> tuple[Any, ...]:
        # A function that uses it travels to a trial by value, and the module by its name, as other modules do.
        return importlib.import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *PATHS[self.__name__.removeprefix(f"{ROOT}.")]])


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what no file is there for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(f"{ROOT}."):
            return None
        known = _known(fullname)
        above, _, name = fullname.rpartition(".")
        instead = INSTEAD.get(known) or ("" if name.islower() else INSTEAD.get(name))
        if instead and known not in PATHS:
            # Not with its own name: `from gpusched import utils` would drop the message then.
            raise ModuleNotFoundError(f"{fullname} is not there: {instead}", name=above)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if known in PATHS else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return Path(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__["__all__"] = PATHS[module.__name__.removeprefix(f"{ROOT}.")]


class TwinFinder(Finder):
    """Gives gpusched.keras_tuner.X and gpusched.src.X the very module gpusched.X, be it a file or a path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        known = _known(fullname)
        if not fullname.startswith(TWINS) or known.split(".")[0] not in PATHS:
            return None
        try:
            found = importlib.util.find_spec(f"{ROOT}.{known}")
        except ModuleNotFoundError:
            found = None
        return found and importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: types.ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(f"{ROOT}.{_known(module.__name__)}")


def install() -> None:
    """Makes the paths importable, and gives gpusched's own packages the names that Keras Tuner has there."""
    if any(isinstance(each, Finder) for each in sys.meta_path):
        return
    # Last, since files win; but a file below gpusched.X must not be loaded again as one below gpusched.keras_tuner.X.
    sys.meta_path.append(Finder())
    sys.meta_path.insert(0, TwinFinder())
    for path in PATHS:
        there = sys.modules.get(f"{ROOT}.{path}")
        if there is not None:
            there.__dict__["__getattr__"] = _getter(path)


def _getter(path: str) -> Any:
    def get(name: str) -> Any:
        return lookup(path, name)

    return get
