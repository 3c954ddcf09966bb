"""Commands that draw, on real screens of several sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.storage.lock import RunLock

SCRIPT = """
import os, time
import gpusched as gs

def train(hp, trial):
    x = hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        while not os.path.exists("go"):
            time.sleep(0.01)
        trial.report(loss=x)

gs.Hyperband(train=train, objective="loss", max_epochs=9, seed=1, gpus="none", cpu_slots=2, directory="FOLDER").search()
"""


@pytest.mark.parametrize(("columns", "height"), [(50, 30), (80, 24), (120, 30)])
def test_top(make_run: Callable[..., Any], window: Callable[..., Any], columns: int, height: int) -> None:
    """Slots, trials, curve and keys have their places, narrow or wide, and after a resize; q leaves a clean screen."""
    made = make_run("on a screen")
    lock = RunLock(made.dir.lock)
    for _ in range(5):
        made.step()
    tmux = window("top", made.dir.path, columns=columns, lines=height)
    for width in (columns, columns + 20):
        tmux.resize(width, height)
        screen = tmux.until(lambda screen: any("best, trial" in line for line in screen))
        assert sum(line.lstrip().startswith(("cpu 0 ", "cpu 1 ")) for line in screen) == 2
        assert screen[0].split()[:4] == ["on", "a", "screen", "running"]
        assert any(line.split()[:3] == ["trial", "▲", "state"] for line in screen)
        assert "q Quit" in screen[-1]
        assert max(map(len, screen)) <= width
    tmux._call("set-option", "remain-on-exit", "on")
    tmux.press("q")
    screen = tmux.until(lambda screen: not any("q Quit" in line for line in screen))
    assert not any("bracket" in line or "cpu 0" in line for line in screen)
    lock.release()


@pytest.mark.parametrize("columns", [44, 120])
def test_a_search_that_is_run_in_a_window(tmp_path: Path, window: Callable[..., Any], columns: int) -> None:
    """The block shows both slots, survives a resize, and gives way to a summary; notices stand above it once."""
    script = tmp_path / "s.py"
    script.write_text(SCRIPT.replace("FOLDER", str(tmp_path / "runs")).replace('"go"', repr(str(tmp_path / "go"))))
    tmux = window("run", script, columns=columns)
    tmux._call("set-option", "remain-on-exit", "on")
    for width in (columns, columns + 10):
        tmux.resize(width, 24)
        screen = tmux.until(lambda screen: sum(line.startswith(("cpu 0 ", "cpu 1 ")) for line in screen) == 2)
        assert sum(line.startswith("trials ") for line in screen) == 1
        assert max(map(len, screen)) <= width
    (tmp_path / "go").touch()
    screen = tmux.until(lambda screen: any("17 trials, 75 epochs in" in line for line in screen))
    assert not any(line.startswith(("cpu ", "device ")) for line in screen)
    whole = tmux.history()
    assert sum(line.startswith("run directory:") for line in whole) == 1


def test_status_watch(make_run: Callable[..., Any], window: Callable[..., Any]) -> None:
    """It follows a search of another process, and Ctrl-C leaves that alone."""
    made = make_run("watched")
    lock = RunLock(made.dir.lock)
    tmux = window("status", made.dir.path, "--watch", columns=80)
    tmux._call("set-option", "remain-on-exit", "on")
    tmux.until(lambda screen: any("0 of 17" in line for line in screen))
    made.step()
    made.step()
    done = sum(trial.state == "completed" for trial in made.run.search.trials.values())
    tmux.until(lambda screen: any(f"trials {done} of 17" in " ".join(line.split()) for line in screen))
    tmux.press("C-c")
    tmux.until_dead()
    lock.release()
