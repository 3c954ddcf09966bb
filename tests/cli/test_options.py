"""Options of `run` and `plan`: their names, those of earlier versions, and what the help says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import gpusched as gs

def train(hp, trial):
    hp.Float("lr", 0.1, 1.0)
    trial.report(val_loss=1.0)

tuner = gs.RandomSearch(train=train, objective="val_loss", max_trials=2)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "search.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize("command", ["run", "plan"])
def test_help_is_in_sections_with_defaults(gpusched: Callable[..., Any], command: str) -> None:
    """What belongs together stands together, and every option with a value says what holds without it."""
    said = gpusched(command, "--help").out
    titles = re.findall(r"^(\S[^\n]*):$", said, re.MULTILINE)
    assert titles[:5] == ["What is searched", "Budget", "Devices", "Trials", "The run"]
    options = [each for each in re.split(r"\n  (?=-)", said)[1:] if re.match(r"--\S+ (?:\[?[A-Z]|\[[a-z])", each)]
    silent = [each.split()[0] for each in options if "[default:" not in each]
    assert silent == {"run": ["--learn-from", "--try", "--address"], "plan": ["--address"]}[command]


def test_old_names_are_taken_and_not_listed(gpusched: Callable[..., Any], script: Path) -> None:
    """`--launch` does what `--start-method` does; giving both is refused, since they might differ."""
    said = gpusched("run", "--help").out
    assert not [old for old in ("--fresh", "--narrow", "--busy", "--launch") if old in said]
    assert "'--fresh'" not in gpusched("run", script, "--frsh").err
    told = json.loads(gpusched("plan", script, "--launch", "spawn", "--busy", "skip", "--fresh", "--json").out)
    assert told["plan"]["trials"] == 2
    ended = gpusched("plan", script, "--narrow")
    assert (ended.code, "run it without --fix-settled first" in ended.err) == (2, True)
    for old, new, value in (("--launch", "--start-method", "fork"), ("--busy", "--when-busy", "skip")):
        ended = gpusched("plan", script, old, value, new, value)
        assert (ended.code, f"{old} is the older name of {new}; give one of the two" in ended.err) == (2, True)


def test_commands_are_in_sections(gpusched: Callable[..., Any]) -> None:
    """Every command is listed once, under a heading."""
    from gpusched.cli.main import COMMANDS

    said = gpusched("--help").out
    listed = re.findall(r"^  ([a-z][a-z-]+) {2,}[A-Z]", said, re.MULTILINE)
    assert listed == list(COMMANDS)
    assert re.search(r"^Results:\n  best ", said, re.MULTILINE)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_word_too_many_is_refused(gpusched: Callable[..., Any], script: Path, command: str) -> None:
    """The script's own arguments stand behind --; one before it would have been taken without a word."""
    for words in (["extra"], ["extra", "--seed", "1"]):
        ended = gpusched(command, script, *words)
        assert ended.code == 2
        assert "'extra' is one argument too many; those of the script go after --" in ended.err
        assert f"gpusched {command} SCRIPT -- extra" in ended.err
    assert not (script.parent / "runs").exists()
    script.write_text(SCRIPT + "import sys; assert sys.argv[1:] == ['extra', '--seed', '1']")
    assert gpusched("plan", script, "--seed", 3, "--", "extra", "--seed", "1").code == 0
