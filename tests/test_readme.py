"""What README.md shows runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


def snippet(start: str) -> str:
    (found,) = [text for text in SNIPPETS if text.startswith(start)]
    return found


def gpusched(*words: str, cwd: Path) -> str:
    # A state of its own: "the newest run" must not be one that somebody else starts meanwhile.
    environ = {**os.environ, "XDG_STATE_HOME": str(cwd / "state")}
    command = [sys.executable, "-P", "-m", "gpusched.cli", *words]
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_algorithms_alone(tmp_path: Path) -> None:
    """The snippet on oracles prints what it says it prints."""
    code = snippet("from gpusched import HyperParameters")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+ s, slots busy \d+%, best trial \d+\n", done.stdout)


def test_a_loop_of_ones_own(tmp_path: Path) -> None:
    """The training loop is tuned by the command beside it."""
    (tmp_path / "loop.py").write_text(snippet("# loop.py"))
    gpusched("run", "loop.py", "--objective", "val_loss", "--max-epochs", "9", cwd=tmp_path)
    assert "trial" in gpusched("best", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.keras
def test_a_keras_model(tmp_path: Path) -> None:
    """The script of the first page is searched to its end by both of its commands."""
    (tmp_path / "search.py").write_text(snippet("# search.py"))
    gpusched("run", "search.py", "--max-epochs", "2", cwd=tmp_path)
    assert '"state": "complete"' in gpusched("status", "--json", "runs/search", cwd=tmp_path)


def test_every_snippet_is_one_of_these() -> None:
    """A new snippet needs a test."""
    assert len(SNIPPETS) == 3


def test_what_is_promised_about_security_is_held_by_tests_that_are_there() -> None:
    """Each file, and each test by name."""
    text = (ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8")
    file: str | None = None
    named: list[tuple[str, str | None]] = []
    for found in re.finditer(r"`(?P<file>tests/[^`:]+\.py)?(?:::(?P<test>\w+))?`", text):
        file = found["file"] or file
        if file is not None and (found["file"] or found["test"]):
            named.append((file, found["test"]))
    assert len(named) > 15
    missing = [
        (file, test)
        for file, test in named
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []
