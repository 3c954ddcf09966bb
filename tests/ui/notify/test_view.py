"""What is told of a search that has ended, and that it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.errors import GpuschedError
from gpusched.ui.notify.targets import News, NotSent
from gpusched.ui.notify.view import Notifying
from gpusched.ui.watch.plain import PlainView
from gpusched.ui.watch.terminal import Output

SCRIPT = """
import gpusched as gs

def train(hp, trial):
    x = hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(loss=x)

budget = dict(max_trials=2, max_epochs=1, gpus="none", cpu_slots=1)
gs.RandomSearch(train=train, objective="loss", notify=NOTIFY, **budget).search()
"""


class Kept:
    """A target that keeps what it is told."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def send(self, news: News) -> None:
        self.news.append(news)


class Broken:
    def send(self, news: News) -> None:
        raise NotSent("the line is dead")


def view(capsys: pytest.CaptureFixture[str]) -> tuple[Notifying, Kept]:
    kept = Kept()
    told = Notifying(PlainView(Output(sys.stdout)))
    told._targets = {"slack://secret": Broken(), "bell": kept}
    return told, kept


def test_the_end_is_told_as_the_last_line_tells_it(
    make_run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """How it ended, the best trial, the run and the exit code; a target that fails does not hinder the next."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3).finish()
    told, kept = view(capsys)
    told.started(made.dir)
    for event in made.run.events:
        told.event(event, [], made.run.search)
    told.ended(None)
    [news] = kept.news
    assert (news.title, news.run, news.code) == ("digits: complete", str(made.dir.path), 0)
    assert news.text.startswith("3 trials, 6 epochs in 4 s; best: trial ")
    assert capsys.readouterr().out.splitlines()[-1] == "notify slack://…: not sent, the line is dead"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (GpuschedError("/runs: no space left on device"), 1, "/runs: no space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_told_too(
    make_run: Callable[..., Any], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    """Also where the search did not come to its end."""
    told, kept = view(capsys)
    told.started(make_run().dir)
    told.ended(error)
    [news] = kept.news
    assert (news.title, news.code, news.text) == ("digits: the search ended by an error", code, text)


@pytest.mark.parametrize("how", ["python", "gpusched run", "an option"])
def test_a_script_asks_for_it_or_the_command_line(tmp_path: Path, how: str) -> None:
    """notify= counts in `python script.py` and in `gpusched run`, where --notify beats it."""
    commands = [f"command:echo $GPUSCHED_CODE {n} >> told" for n in range(2)]
    script = tmp_path / "s.py"
    script.write_text(SCRIPT.replace("NOTIFY", repr(commands if how != "an option" else "command:echo wrong >> told")))
    run = [sys.executable, "-m", "gpusched.cli", "run", "s.py"]
    options = [word for command in commands for word in ("--notify", command)] if how == "an option" else []
    argv = [sys.executable, "s.py"] if how == "python" else [*run, *options]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "told").read_text() == "0 0\n0 1\n"
    kept = [file.read_bytes() for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert not any(b"GPUSCHED_CODE" in content for content in kept)  # a target is often a secret


def test_a_wrong_target_touches_nothing(tmp_path: Path) -> None:
    """It is named before there is a run."""
    script = tmp_path / "s.py"
    script.write_text(SCRIPT.replace("NOTIFY", "None"))
    argv = [sys.executable, "-m", "gpusched.cli", "run", "s.py", "--notify", "smoke signals"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gpusched: notify: 'smoke signals' is no target; give bell, ")
    assert not (tmp_path / "runs").exists()
