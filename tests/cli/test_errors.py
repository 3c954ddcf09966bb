"""What wrong usage gets: one line, exit code 2, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "there is no command 'frobnicate'"),
        (["digits.py"], "to run a script: gpusched run digits.py"),
        (["statsu"], "did you mean status?"),
        (["run", "serach.py"], "did you mean search.py?"),
        (["run"], "Missing argument 'SCRIPT'"),
        (["run", "missing.py"], "missing.py: there is no such file"),
        (["run", "."], ".: is a folder"),
        (["run", "x.py", "--data", "3"], "options of the script go after --: gpusched run SCRIPT -- --data"),
        (["run", "x.py", "--seed", "one"], "'one' is not a valid integer"),
        (["run", "x.py", "--factor", "1"], "1 is not in the range x>=2"),
        (["run", "x.py", "--max-time", "soon"], "'soon' is not a time"),
        (["run", "x.py", "--algorithm", "magic"], "'magic' is not one of"),
        (["status", "nowhere"], "nowhere: not a run directory"),
        (["logs", "nowhere", "1"], "nowhere: not a run directory"),
        (["import-keras-tuner", "."], ".: not a Keras Tuner project"),
        (["logs", "a", "b"], "one RUN at a time, not a, b"),
    ],
)
def test_wrong_usage_is_one_line(
    words: list[str], said: str, gpusched: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thing, its value and the way out, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "search.py").touch()
    code, out, err = gpusched(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("gpusched: ")
    assert said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["attach"], "the search is not running"),
        (["pause"], "the search is not running"),
        (["stop", "--yes"], "the search is not running"),
        (["set"], "nothing to change"),
        (["logs", "99"], "there is no trial 99; it has trials 0 to 16"),
        (["logs", "1", "--all"], "take one"),
        (["status", "--watch", "--json"], "take one"),
    ],
)
def test_orders_to_a_finished_run(
    words: list[str], said: str, make_run: Callable[..., Any], gpusched: Callable[..., Any]
) -> None:
    """It is said that nobody is there to obey."""
    made = make_run().finish()
    code, _, err = gpusched(words[0], made.dir.path, *words[1:])
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_a_disk_that_fails_is_no_lost_terminal(make_run: Callable[..., Any], gpusched: Callable[..., Any]) -> None:
    """An input/output error of a file is told, with the file's name; it is not the terminal's."""
    made = make_run().finish()
    made.dir.journal.unlink()
    made.dir.journal.symlink_to(f"/proc/{os.getpid()}/mem")  # Whose beginning no process has.
    code, _, err = gpusched("verify", made.dir.path)
    assert (code, err) == (
        2,
        f"gpusched: {made.dir.journal}: cannot be read (Input/output error); mend that to go on\n",
    )


def test_a_lost_terminal_is_an_end(make_run: Callable[..., Any]) -> None:
    """A command whose terminal is gone ends with 129, and no traceback."""
    made = make_run().finish()
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "gpusched.cli", "export", str(made.dir.path), "--format", "json"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=theirs, stderr=errors, start_new_session=True)
        os.close(theirs)
        os.close(ours)
        assert process.wait(60) == 129
        errors.seek(0)
        assert errors.read() == b""


def test_names_of_files_cannot_steer_the_terminal(gpusched: Callable[..., Any], tmp_path: Path) -> None:
    """Escapes in an argument are not repeated to the terminal."""
    assert "\x1b" not in gpusched("status", f"{tmp_path}/\x1b]0;x\x07").err


def test_help_is_fast() -> None:
    """`gpusched --help` imports no command, no terminal library, no framework."""
    code = (
        "import sys, contextlib, io\n"
        "from gpusched.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "print(sorted({'rich', 'keras', 'tensorflow', 'psutil', 'textual', 'aiofiles'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_reader_that_leaves_is_no_error(make_run: Callable[..., Any]) -> None:
    """`gpusched export | head -1` ends quietly."""
    made = make_run().finish()
    command = f"'{sys.executable}' -m gpusched.cli export \"$RUN\" | head -1"
    done = subprocess.run(
        ["bash", "-c", command],
        env={"RUN": str(made.dir.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout[:6], done.stderr) == ("trial,", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str, gpusched: Callable[..., Any]) -> None:
    """The script of each shell is printed."""
    assert "_GPUSCHED_COMPLETE" in gpusched("completion", shell).out


def test_every_command_that_takes_a_run_shows_examples(gpusched: Callable[..., Any]) -> None:
    """Its help ends with commands that can be typed as they stand."""
    for command in (
        "run",
        "plan",
        "attach",
        "logs",
        "status",
        "best",
        "export",
        "report",
        "verify",
        "set",
        "stop",
        "pause",
    ):
        _, _, shown = gpusched(command, "--help").out.partition("Examples:\n")
        lines = [line.strip() for line in shown.splitlines()]
        assert lines
        assert all(line.startswith(f"gpusched {command}") for line in lines)
