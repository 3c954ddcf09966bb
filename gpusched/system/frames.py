"""Which line of the user's own code an error came from."""

from __future__ import annotations

import linecache
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from gpusched.system.origin import working_directory

_OWN = str(Path(__file__).parents[1])
_CELL = re.compile(r"ipykernel_\d+/\d+\.py$|^<ipython-input-")


def own_line(error: BaseException) -> str:
    """`train.py:5`, from the working directory; empty where none of the user's lines is among the error's frames."""
    libraries = _libraries()
    for each in _chain(error):
        lines = [line for line in _lines(each) if _is_own(line[0], libraries)]
        if lines:
            return _shown(*lines[-1])
    return ""


def changed(script: str | None) -> float | None:
    """When this file was changed last; None where that cannot be known."""
    try:
        return None if script is None else os.stat(script).st_mtime
    except OSError:
        return None


def keep_sources() -> None:
    """Keeps the lines of the user's modules as they are now: tracebacks show what was executed, though it is edited."""
    libraries = _libraries()
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")  # Asked otherwise, a lazy module loads itself.
        if not isinstance(file, str) or not file.endswith(".py") or not _is_own(file, libraries):
            continue
        lines = linecache.getlines(file)
        # Without a time of its own, an entry is never held against the file again.
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from: frameworks raise others in the place of the user's."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _lines(error: BaseException) -> Iterator[tuple[str, int]]:
    frame = error.__traceback__
    while frame is not None:
        yield frame.tb_frame.f_code.co_filename, frame.tb_lineno or 0
        frame = frame.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename, error.lineno or 0


def _is_own(file: str, libraries: tuple[str, ...]) -> bool:
    if file.startswith(libraries):  # Most are, and named in full: no path has to be worked out.
        return False
    if _CELL.search(file) or file in ("<stdin>", "<string>"):
        return True
    return not file.startswith("<") and not _absolute(file).startswith(libraries)


def _absolute(file: str) -> str:
    return os.path.normpath(os.path.join(working_directory(), file))


def _libraries() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {site.getusersitepackages(), _OWN}
    paths |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    return tuple(os.path.join(os.path.abspath(path), "") for path in paths if path)


def _shown(file: str, line: int) -> str:
    if _CELL.search(file):
        return f"notebook cell, line {line}"
    if file.startswith("<"):
        return f"line {line}"
    folder = os.path.join(working_directory(), "")
    return f"{_absolute(file).removeprefix(folder) if folder else file}:{line}"
