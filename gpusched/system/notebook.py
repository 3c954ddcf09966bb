"""The notebook, or prompt of IPython, that this process runs; and which of its cells a value comes from."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Any


def shell() -> Any:
    """IPython's shell; None where none runs. Keras imports IPython whether one runs or not."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if ask is None else ask()


def kernel() -> bool:
    """Whether this process is a notebook's kernel, whose cells show HTML that changes.

    A prompt of IPython is none, and Spyder's console shows neither.
    """
    found = getattr(shell(), "kernel", None)
    return found is not None and not type(found).__module__.startswith("spyder")


def place_of(value: Any) -> str | None:
    """Which variable of the notebook this is and which cell set it last, like "train_ds, set in cell [3]".

    None where no variable is this very object, or no notebook runs.
    """
    running = shell()
    if running is None:
        return None
    cells: list[str] = running.user_ns.get("In", [])
    for name, known in list(running.user_ns.items()):
        if known is value and not name.startswith("_"):
            setting = [number for number, cell in enumerate(cells) if name in _set_by(cell)]
            return f"{name}, set in cell [{setting[-1]}]" if setting else name
    return None


def _set_by(cell: str) -> Iterator[str]:
    try:
        tree = ast.parse(cell)
    except SyntaxError:
        return  # It never ran.
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
