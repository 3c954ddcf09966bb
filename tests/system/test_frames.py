"""The user's own line in an error's traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpusched.system.frames import own_line


def caught(act: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as raised:  # noqa: PT011  # any error at all
        act()
    return raised.value


def test_the_deepest_line_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below it a library may have raised: what is named is where it was called."""
    monkeypatch.chdir(Path(__file__).parent)
    error = caught(lambda: json.loads("{"))
    assert own_line(error).startswith("test_frames.py:")
    monkeypatch.chdir("/")
    assert own_line(error) == f"{__file__.lstrip('/')}:{own_line(error).rpartition(':')[2]}"


def test_what_a_framework_raised_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an error has no line of the user's, that of its cause is named."""
    monkeypatch.chdir(Path(__file__).parent)
    outer = RuntimeError("while calling")
    outer.__cause__ = caught(lambda: 1 / 0)
    assert own_line(outer).startswith("test_frames.py:")
    assert own_line(RuntimeError("from nowhere")) == ""


def test_cells_of_a_notebook() -> None:
    """A cell has no file that one could open."""
    code = compile("1 / 0", "/tmp/ipykernel_123/456.py", "exec")
    assert own_line(caught(lambda: exec(code))) == "notebook cell, line 1"


def test_a_script_elsewhere(tmp_path: Path) -> None:
    """Outside of the working directory the whole path is named, and a syntax error's own line."""
    (tmp_path / "bad.py").write_text("x = 1\ndef f(:\n")
    program = (
        "from gpusched.system.frames import own_line\nimport sys\nsys.path.insert(0, sys.argv[1])\n"
        "try:\n    import bad\nexcept SyntaxError as error:\n    print(own_line(error))\n"
    )
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd="/usr")
    assert said.stdout.strip() == f"{tmp_path / 'bad.py'}:2", said.stderr
