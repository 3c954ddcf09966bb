"""Projects of several files, run as people run them: modules beside the script, `python -m`, other folders."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

Project = Callable[..., str]

_TRAIN = """
    def train(hp, trial):
        from {late} import offset
        trial.report(loss=hp.Float("lr", 0.1, 1.0) + offset)
"""
_SEARCH = """
    import gpusched as gs
    tuner = gs.RandomSearch(train=train, objective="loss", max_trials=2, max_epochs=1, cpu_slots=1, seed=1)
    tuner.search()
    best = tuner.get_best_trials()[0]
    print(best.score > 10)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """project(files, *words): the last line that `python *words` prints in the folder `elsewhere` of these files."""

    def run(files: dict[str, str], *words: str) -> str:
        for name, text in files.items():
            file = tmp_path / "sök 'n' \"s\"" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")
        folder = tmp_path / "sök 'n' \"s\"" / "elsewhere"
        folder.mkdir(exist_ok=True)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout.strip().splitlines()[-1]

    return run


def test_a_module_beside_the_script(project: Project) -> None:
    """What the trials train may stand in another file, and import a third one in the trial."""
    files = {
        "script.py": "from models import train\n" + textwrap.dedent(_SEARCH),
        "models.py": _TRAIN.format(late="parts.offsets"),
        "parts/offsets.py": "offset = 10",  # a namespace package
    }
    assert project(files, "../script.py") == "True"


def test_a_path_the_script_adds(project: Project) -> None:
    """A folder put in front of the search path wins over a module of the same name elsewhere."""
    files = {
        "script.py": "import sys; sys.path.insert(0, '../lib')\nfrom models import train\n" + textwrap.dedent(_SEARCH),
        "lib/models.py": _TRAIN.format(late="offsets"),
        "lib/offsets.py": "offset = 10",
        "offsets.py": "offset = -10",
    }
    assert project(files, "../script.py") == "True"


def test_a_module_of_a_package_run_by_name(project: Project) -> None:
    """`python -m package.module` may import by relative names, in the trial too."""
    files = {
        "elsewhere/package/__init__.py": "",
        "elsewhere/package/offsets.py": "offset = 10",
        "elsewhere/package/__main__.py": "from .models import train as inner\n"
        + textwrap.dedent(_TRAIN.format(late=".offsets"))
        + textwrap.dedent(_SEARCH),
        "elsewhere/package/models.py": _TRAIN.format(late=".offsets"),
    }
    assert project(files, "-m", "package") == "True"


def test_a_script_that_changes_its_folder(project: Project, tmp_path: Path) -> None:
    """The run stays where the tuner was made, and the trials work in the folder that search() was called in."""
    files = {
        "data/offset.txt": "10",
        "script.py": """
            import os
            import gpusched as gs

            def train(hp, trial):
                trial.report(loss=hp.Float("lr", 0.1, 1.0) + float(open("offset.txt").read()))

            tuner = gs.RandomSearch(train=train, objective="loss", max_trials=2, max_epochs=1, cpu_slots=1,
                                    directory="out", project_name="moved")
            os.chdir("../data")
            tuner.search()
            os.chdir("/")
            print(tuner.get_best_trials()[0].score > 10, os.path.isfile(tuner.project_dir + "/search.json"))
        """,
    }
    assert project(files, "../script.py") == "True True"
    assert (tmp_path / "sök 'n' \"s\"" / "elsewhere" / "out" / "moved" / "search.json").is_file()


@pytest.mark.parametrize("launch", ["fork", "spawn"])
def test_gpusched_run_stands_where_the_command_does(project: Project, tmp_path: Path, launch: str) -> None:
    """A script that moves by a relative path moves once, however its trials are started."""
    files = {
        "data/offset.txt": "10",
        "offsets.py": "offset = 10",
        "script.py": """
            import os
            os.chdir("../data")
            import gpusched as gs
            from offsets import offset

            def train(hp, trial):
                trial.report(loss=hp.Float("lr", 0.1, 1.0) + float(open("offset.txt").read()))

            gs.RandomSearch(train=train, objective="loss", max_trials=2, max_epochs=1, cpu_slots=1).search()
        """,
    }
    project(files, "-P", "-m", "gpusched.cli", "run", "../script.py", "--start-method", launch)
    assert (tmp_path / "sök 'n' \"s\"" / "data" / "runs" / "script" / "search.json").is_file()


def test_a_script_that_keeps_a_log_of_what_it_prints(project: Project, tmp_path: Path) -> None:
    """An object with write() alone, in the place of sys.stdout, takes what the search says."""
    files = {
        "script.py": """
            import sys

            class Log:
                def __init__(self):
                    self.file = open("log.txt", "a")

                def write(self, text):
                    self.file.write(text)

            def train(hp, trial):
                trial.report(loss=hp.Float("lr", 0.1, 1.0))

            screen, sys.stdout = sys.stdout, Log()
            import gpusched as gs
            tuner = gs.RandomSearch(train=train, objective="loss", max_trials=1, max_epochs=1, cpu_slots=1)
            tuner.search_space_summary()
            tuner.search()
            tuner.results_summary()
            sys.stdout.file.close()
            sys.stdout = screen
            before, summary, after = open("log.txt").read().partition("Results summary")
            print(len(before.splitlines()) > 3, bool(summary), len(after.splitlines()) > 3)
        """,
    }
    assert project(files, "../script.py") == "True True True"
