"""The moments at which a framework starts its runtime in this process.

After such a moment the process cannot be forked any more, so what is to be done before it must be done right then.
Importing this module loads no framework: each is watched from its own import on.
"""

from __future__ import annotations

import functools
import importlib.machinery
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

#: "0": no copy is ever made.
SWITCH = "GPUSCHED_STANDBY"

#: Called right before a runtime starts; None: nobody minds.
before: Callable[[], object] | None = None
_calling = False


def watch(call: Callable[[], object]) -> None:
    """From now on this is called right before a framework's runtime starts, and nothing else is."""
    global before
    before = call
    _watch()


def _watch() -> None:
    """Watches the frameworks that are loaded, and those that will be."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name, prepare in _MODULES.items():
        module = sys.modules.get(name)
        if module is not None:
            prepare(module)


def _wake() -> None:
    global _calling
    if before is None or _calling:
        return
    with _once():
        before()


@contextmanager
def _once() -> Iterator[None]:
    global _calling
    _calling = True
    try:
        yield
    finally:
        _calling = False


def _tell_first(owner: Any, name: str, is_awake: Callable[..., bool]) -> None:
    original = getattr(owner, name, None)
    if original is None:  # Another version of the framework: its start is not seen, and search() takes another way.
        return

    @functools.wraps(original)
    def telling(*args: Any, **kwargs: Any) -> Any:
        if not is_awake(*args):
            _wake()
        return original(*args, **kwargs)

    setattr(owner, name, telling)


def _tensorflow(module: ModuleType) -> None:
    _tell_first(module.Context, "ensure_initialized", lambda context: bool(context._initialized))
    # Listing devices starts CUDA, though nothing counts as started after it.
    _tell_first(
        module.Context, "_initialize_physical_devices", lambda context, *_: context._physical_devices is not None
    )


def _jax(module: ModuleType) -> None:
    _tell_first(module, "backends", lambda: bool(module._backends))


def _torch(module: ModuleType) -> None:
    _tell_first(module, "_lazy_init", lambda: bool(module._initialized))


_MODULES: dict[str, Callable[[ModuleType], None]] = {
    "tensorflow.python.eager.context": _tensorflow,
    "jax._src.xla_bridge": _jax,
    "torch.cuda": _torch,
}


class _Finder:
    """Finds the modules that are watched as the import system does, and prepares them once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        prepare = _MODULES.get(name)
        if prepare is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            prepare(module)

        loader.exec_module = exec_module
        return spec
