"""What a script and its trials name and say comes to people through one gate, whichever command shows it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpusched.printable import UNSEEN, cell, clean, escaped
from gpusched.runtime.reader import Run
from gpusched.tuners.results import Results
from gpusched.ui.watch.live import Screen
from gpusched.ui.watch.terminal import Output

#: A title, a query of the cursor's place, markup of rich, and a turn of the direction of writing.
EVIL = "\x1b]0;owned\x07\x1b[6n[/red]\u202e\u200f\x9b31m"
SCRIPT = f"""
import gpusched as gs

EVIL = {EVIL!r}

def train(hp, trial):
    hp.Float("x" + EVIL, 0, 1)
    kind = hp.Choice("=kind" + EVIL, ["=cmd()" + EVIL, "+1"])
    print("printed", EVIL)
    for _ in range(trial.start_epoch, trial.stop_epoch):
        if trial.id == 1:
            raise type("Boom" + EVIL, (Exception,), {{}})("=said " + EVIL + "\\nmore " + EVIL)
        trial.report(**{{"a[/red]" + EVIL: trial.id}})

tuner = gs.RandomSearch(train=train, objective=gs.Objective("a[/red]" + EVIL, "min"), max_trials=3, max_epochs=2,
                        seed=1, cpu_slots=2, directory="runs", project_name="evil")
if __name__ == "__main__":
    tuner.search()
    tuner.results_summary()
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run whose author means no good, and what was printed when it was searched."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "evil.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "evil.py"], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return folder / "runs" / "evil", (done.stdout + done.stderr).decode()


def assert_harmless(text: str) -> None:
    assert re.findall(f"[{UNSEEN}]", text) == []
    assert "owned" not in text


def test_a_search_prints_nothing_harmful(searched: tuple[Path, str]) -> None:
    """Its lines, its end and the summary."""
    run, printed = searched
    assert_harmless(printed)
    assert "Boom[/red]" in printed
    assert "a[/red]" in printed
    assert Run.open(run).search.trials[1].failure.kind.strip() == "Boom[/red]"


@pytest.mark.parametrize("words", [("status",), ("best",), ("logs", "--all"), ("report",), ("export",), ("verify",)])
def test_commands_print_nothing_harmful(
    searched: tuple[Path, str], gpusched: Callable[..., Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    """Neither on their output nor in their complaints."""
    page = ["-o", tmp_path / "page.html"] if words == ("report",) else []
    said = gpusched(words[0], searched[0], *words[1:], *page)
    assert said.code == 0
    assert_harmless(said.out + said.err)
    if page:
        assert_harmless((tmp_path / "page.html").read_text("utf-8"))


@pytest.mark.parametrize("words", [("status", "--json"), ("best", "--json"), ("export", "--format", "json")])
def test_json_is_exact_and_can_be_printed(
    searched: tuple[Path, str], gpusched: Callable[..., Any], words: tuple[str, ...]
) -> None:
    """What has no place on a terminal is written as an escape of JSON: a program reads what was named."""
    said = gpusched(words[0], searched[0], *words[1:])
    assert re.findall(f"[{UNSEEN}]", said.out) == []
    assert any(EVIL in text for text in _texts(json.loads(said.out)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def test_no_cell_of_an_export_is_a_formula(searched: tuple[Path, str], gpusched: Callable[..., Any]) -> None:
    """Names, values and reasons begin with an apostrophe where they would be one; numbers, also in texts, do not."""
    table = list(csv.reader(io.StringIO(gpusched("export", searched[0]).out)))
    cells = {text for row in table for text in row}
    assert any(text.startswith("'=kind") for text in table[0])
    assert [text for text in cells if text.startswith(("=", "@"))] == []
    assert [cell(value) for value in ("-0.5", -0.5, "@x", " =1+1", "plain", None)] == [
        *("-0.5", -0.5, "'@x", "' =1+1", "plain", None)
    ]


def test_the_live_view_draws_what_looks_like_markup(searched: tuple[Path, str]) -> None:
    """A name in brackets is shown as it is, and only the view itself gives the terminal orders."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    screen = Screen(Output(stream), Run.open(searched[0]))
    screen.draw()
    shown = stream.getvalue()
    assert "a[/red]" in shown
    assert_harmless(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown))
    assert "\x1b[6n" not in shown


def test_summaries_in_python_print_nothing_harmful(searched: tuple[Path, str]) -> None:
    """Those of trials, of failed ones too."""
    out = io.StringIO()
    results = Results.open(str(searched[0]))
    results.summary(3, out)
    results.trial(1).summary(out)
    assert_harmless(out.getvalue())


def test_what_has_no_width_is_not_let_through() -> None:
    """Marks, turns and isolates of direction, tags and zero-width characters; letters of all scripts and emoji are."""
    assert clean("a\u061cb\u200bc\u2067d\ufeffe\U000e0041f") == "a b c d e f"
    assert clean("grün 日本 שלום 👩\u200d🔬") == "grün 日本 שלום 👩\u200d🔬"
    assert json.loads(escaped(json.dumps({"a": "\x9b\U000e0041"}, ensure_ascii=False))) == {"a": "\x9b\U000e0041"}
