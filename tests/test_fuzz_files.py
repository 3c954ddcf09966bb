"""scripts/fuzz_files: its short form, and that it finds what it looks for."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FUZZ = Path(__file__).parents[1] / "scripts" / "fuzz_files"


@pytest.mark.slow
def test_damaged_files_change_no_answer_unnoticed(tmp_path: Path) -> None:
    """A few dozen mutations of the files of a run: no traceback, no command without an end, no change in silence."""
    command = [sys.executable, str(FUZZ), "--mutations", "40", "--again-every", "13", "--seed", "11"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 mutations, seed 11: 0 findings" in done.stdout


@pytest.fixture(scope="module")
def fuzz() -> Any:
    loader = importlib.machinery.SourceFileLoader("fuzz_files", str(FUZZ))
    spec = importlib.util.spec_from_loader("fuzz_files", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_mutations_of_a_seed_are_the_same(fuzz: Any, tmp_path: Path) -> None:
    """A finding can be looked at again, and every mutation changes what it is given."""
    content = b'{"epoch":1,"loss":0.5}\n{"epoch":2,"loss":0.25}\n'
    for change in fuzz.BLIND:
        assert change(content, random.Random(1)) == change(content, random.Random(1))
    assert sum(change(content, random.Random(1)) != content for change in fuzz.BLIND) >= len(fuzz.BLIND) - 2


def test_an_answer_that_changes_in_silence_is_a_finding(fuzz: Any) -> None:
    """Unless somebody complains, the search is said to be in another state, or the lie is signed."""
    before = fuzz.Answers({"status": '{"state": "complete"}', "best": "a", "logs": "x"}, {}, {})
    changed = before._replace(said=before.said | {"best": "b"})
    blind = fuzz.Mutation(Path("trials/0000/metrics.jsonl"), "bit", forged=False)
    assert fuzz.silent(blind, before, changed) == ["best"]
    assert fuzz.silent(blind._replace(forged=True), before, changed) == []
    assert fuzz.silent(blind, before, changed._replace(complaints={"verify": "1 line 2 is damaged"})) == []
    killed = changed._replace(said=changed.said | {"status": '{"state": "abandoned"}'})
    assert fuzz.silent(blind, before, killed) == []
    printed = before._replace(said=before.said | {"logs": "y"})
    assert fuzz.silent(blind._replace(path=Path("trials/0000/log.txt")), before, printed) == []
