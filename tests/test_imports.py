"""Imports point one way, and importing gpusched stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gpusched"

#: Each part may import those named before it, and itself.
ORDER = [
    "printable",
    "figures",
    "errors",
    "hyperparameters",
    "objective",
    "metrics",
    "trials",
    "oracles",
    "core",
    "storage",
    "hypermodel",
    "applications",
    "devices",
    "system",
    "trial",
    "launcher",
    "engines",
    "runtime",
    "ui",
    "tuners",
    "keras_tuner",
    "cli",
]

#: Parts that decide: no clock, files, processes, logging or global random state.
PURE = {"core", "oracles"}
IMPURE = {"asyncio", "logging", "os", "pathlib", "random", "socket", "subprocess", "threading", "time"}

#: What only trials and launchers may load, and only when they run.
HEAVY = {"keras", "tensorflow", "jax", "torch", "pynvml", "textual", "ray", "plotly", "apprise"}

#: Classes derived from Keras's, imported by a trial once Keras is; and (ui/top) a full-screen view that is nothing
#: without its library, imported by its command alone.
LOADED_WHEN_NEEDED = {"applications/layers.py", "trial/fitting/hooks.py", "trial/fitting/recorder.py"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Dotted names this file imports; those under TYPE_CHECKING do not count."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped.update(ast.walk(node))
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "gpusched":
                yield from (f"gpusched.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_direction(path: Path) -> None:
    """A part imports only parts below it."""
    own = part(path)
    if own in ("__init__", "__main__"):
        return
    allowed = set(ORDER[: ORDER.index(own) + 1])
    used = {name.split(".")[1] for name in imports(path) if name.startswith("gpusched.")}
    # A process of a trial is entered from below, and its child's set-up is the launcher's.
    if path.relative_to(PACKAGE).as_posix() == "trial/__main__.py":
        allowed.add("launcher")
    # search() is where user code meets the runtime; the tuners hand over to it when it is called.
    assert used <= allowed, f"{own} must not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_parts_stay_pure(path: Path) -> None:
    """The parts that decide know no clock, files or processes."""
    if part(path) in PURE:
        assert not {name.split(".")[0] for name in imports(path)} & IMPURE


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_loaded_when_needed(path: Path) -> None:
    """No module loads a framework, NVML or a full-screen library by being imported."""
    if path.relative_to(PACKAGE).as_posix() in LOADED_WHEN_NEEDED or path.relative_to(PACKAGE).parts[:2] == (
        "ui",
        "top",
    ):
        return
    assert not {name.split(".")[0] for name in imports(path, top_level_only=True)} & HEAVY


def test_importing_gpusched_loads_no_framework() -> None:
    """`import gpusched` leaves Keras, the frameworks, NVML, SciPy and the command line unloaded."""
    code = "import sys, gpusched; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & (HEAVY | {"scipy", "sklearn", "click", "rich", "psutil", "aiofiles"})


def test_no_text_installs_a_stranger_s_package() -> None:
    """Another project owns the name gpusched on the package index: what is needed is named itself."""
    texts = [*PACKAGE.rglob("*.py"), PACKAGE.parent / "README.md", *(PACKAGE.parent / "docs").glob("*.md")]
    asked = re.compile(r"pip install +[^\n]*\bgpusched\b")
    assert [str(path) for path in texts if path.exists() and asked.search(path.read_text(encoding="utf-8"))] == []
