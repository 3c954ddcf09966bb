"""scripts/soak: its short form, and that it finds what it looks for."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SOAKING = Path(__file__).parents[1] / "scripts" / "soaking"


@pytest.mark.slow
def test_searches_under_faults_come_to_what_they_come_to_in_peace(tmp_path: Path) -> None:
    """A few rounds of soak: signals, freezes and a full disk change no result, and leave nothing."""
    command = [sys.executable, str(SOAKING), "--rounds", "6", "--seed", "5", "--no-keras", "--at-once", "2"]
    for fault in ("kill -9", "SIGTERM to the scheduler", "SIGTERM to a trial", "for a while"):
        command += ["--fault", fault]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 rounds" in done.stdout
    assert done.stdout.rstrip().endswith("nothing wrong")


@pytest.fixture
def soaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of scripts/soaking, for this test alone."""
    import importlib

    monkeypatch.syspath_prepend(str(SOAKING))
    names = ("searches", "stage", "faults", "rounds")
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        del sys.modules[name]


@pytest.fixture
def judged(soaking: Any, tmp_path: Path) -> Iterator[Callable[[str], list[str]]]:
    """What soak finds wrong with a script in place of the search's."""
    stages = []

    def judge(script: str, **limits: float) -> list[str]:
        search = soaking["searches"].draw(random.Random(0), keras=False)
        stage = soaking["stage"].Stage(tmp_path / f"round {len(stages)}", search)
        stages.append(stage)
        stage.script.write_text(script)
        search_ = soaking["searches"].Search(**{**vars(search), "way": "python"})
        stage.search = search_
        nothing = soaking["faults"].Fault("nothing", lambda *_: "")
        told = soaking["rounds"].Told(0, "nothing")
        peace = soaking["searches"].Result({}, [])
        soaking["rounds"].Round(stage, nothing, random.Random(0), told, 0.1, limits.get("limit", 60)).play(peace)
        return list(told.wrong)

    yield judge
    for stage in stages:
        stage.end()


def test_what_is_wrong_is_found(judged: Callable[..., list[str]]) -> None:
    """A traceback, a failure without a fault, a session that does not end, and a run that is not there."""
    assert judged("print('Traceback (most recent call last):\\n  File\\nOSError: x')") == [
        "output.txt: Traceback (most recent call last) … OSError: x"
    ]
    assert judged("raise SystemExit('gpusched: it broke')")[0] == "not carried on: exit 1; gpusched: it broke"
    assert judged("import time; time.sleep(300)", limit=0.5)[0].startswith("hangs: no end after")
    assert judged("pass")[0].startswith("cannot be read: ")


def test_a_process_that_is_left_is_found(judged: Callable[..., list[str]], soaking: Any) -> None:
    """Also one in a session of its own, whose parent is gone."""
    leave = "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True)"
    soaking["rounds"].GRACE = 0.5
    assert any(line.startswith("left after exit 0: process ") for line in judged(leave))


def test_a_difference_is_found(soaking: Any) -> None:
    """Lost trials, other scores and another ranking are told; numbers of Keras are as good as equal."""
    result = soaking["searches"].Result
    peace = result({0: ("completed", [{"val_loss": 0.5}]), 1: ("completed", [{"val_loss": 0.25}])}, [1, 0])
    assert peace.differences(result({**peace.trials}, [1, 0])) == []
    assert peace.differences(result({0: ("completed", [{"val_loss": 0.5000001}]), 1: peace.trials[1]}, [1, 0])) == []
    assert peace.differences(result({1: peace.trials[1]}, [1])) == [
        "trial 0 is lost",
        "ranking: [1, 0] in peace, now [1]",
    ]
    assert len(peace.differences(result({0: ("completed", [{"val_loss": 0.6}]), 1: peace.trials[1]}, [1, 0]))) == 1
