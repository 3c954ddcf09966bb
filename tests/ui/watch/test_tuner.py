"""What `python script.py` prints while it searches: as much as Keras Tuner does, for trials at the same time."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gpusched.core.commands import Finish
from gpusched.hyperparameters import HyperParameters
from gpusched.ui.watch.live import LiveView
from gpusched.ui.watch.plain import PlainView
from gpusched.ui.watch.terminal import Output
from gpusched.ui.watch.tuner import TrialTeller
from gpusched.ui.watch.view import for_tuner


def told(made: Any, teller: TrialTeller, steps: int = 1) -> list[str]:
    """What is said when so many jobs of a run end."""
    said: list[str] = []
    handle = made.handle

    def handled(event: Any) -> Any:
        decided = handle(event)
        said.extend(teller.lines(event, decided, made.run.search))
        return decided

    made.handle = handled
    for _ in range(steps):
        made.step()
    made.handle = handle
    return said


@pytest.fixture
def made(make_run: Callable[..., Any]) -> Any:
    hp = HyperParameters()
    hp.Int("units", 16, 256, step=16)
    hp.Float("x", 0.0, 1.0, step=0.1)
    hp.Choice("activation", ["a name that is longer than its column"])
    return make_run(algorithm="random", max_epochs=2, max_trials=4, failing={1}, space=hp)


def test_a_trial_s_end_and_the_next_one_s_start_are_a_block_each(made: Any) -> None:
    """The score, the best so far, times; then the new values beside the best ones, in four digits."""
    first = made.out[0]
    said = told(made, TrialTeller())
    new = next(launch for _, launch in made.run.launches if launch.trial == 2)
    score = f"{made.score(first, 2):#.4g}"
    assert said == [
        "",
        "Trial 0 Complete [00h 00m 02s]",
        f"val_accuracy: {score}",
        "",
        f"Best val_accuracy So Far: {score} (trial 0)",
        "Total elapsed time: 00h 00m 02s",
        "",
        "Search: Running Trial #2 on cpu 0, epochs 1 to 2",
        "",
        "Value             |Best Value So Far |Hyperparameter",
        f"{new.values['units']:<18}|{first.values['units']:<18}|units",
        f"{new.values['x']:<18.4g}|{first.values['x']:<18.4g}|x",
        "a name that is lo…|a name that is lo…|activation",
    ]


def test_a_failure_is_one_line_with_its_reason(made: Any) -> None:
    """Named by the trial's number, as everywhere."""
    assert "Trial 1 failed: ValueError: units is odd" in told(made, TrialTeller(), 2)


def test_a_promotion_says_which_epochs_come(make_run: Callable[..., Any]) -> None:
    """No table again: the values are those of its first start."""
    said = told(make_run(max_epochs=9, factor=3), TrialTeller(), 9)
    again = [line for line in said if " again on " in line]
    assert again
    assert again[0].endswith("epochs 2 to 3, bracket 2, rung 2")


def test_where_the_rest_is_found(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run, by the shortest path, and the command that shows what trials print where that is not shown here."""
    monkeypatch.chdir(made.dir.path.parent)
    assert TrialTeller().started(made.dir) == [
        "Results in digits; `gpusched logs -f digits` shows what the trials print"
    ]
    assert TrialTeller(logs=True).started(made.dir) == ["Results in digits"]


def test_verbose_2_passes_on_what_trials_print(made: Any) -> None:
    """Line by line with the trial in front, the last before the block of its end."""
    teller = TrialTeller(logs=True)
    teller.started(made.dir)
    told(made, teller, 2)
    launch = next(each for each in made.out if each.trial == 2)
    made.train(launch, 1)
    line = f"[trial 2] epoch 1: val_accuracy {made.score(launch, 1):.4f}"
    assert teller.news() == [line]
    assert teller.news() == []
    with open(made.dir.trial(2).log, "a") as log:
        log.write("no end yet")
    assert teller.news() == []
    said = told(made, teller)
    assert said[0] == f"[trial 2] no end yetepoch 1: val_accuracy {made.score(launch, 1):.4f}"
    assert said[2:4] == ["", "Trial 2 Complete [00h 00m 02s]"]


def test_a_complete_search_is_read_in_one_line(made: Any) -> None:
    """A second run of the script trains nothing, says so, and goes on behind search()."""
    made.finish()
    opened, closed = made.run.events[0], made.run.events[-1]
    teller = TrialTeller()
    said = teller.lines(opened, [Finish(reason="complete", code=0)], made.run.search)
    assert said == [
        "The search is complete: its results are read, nothing is trained. "
        "overwrite=True starts a new one; a larger budget continues it."
    ]
    assert teller.lines(closed, [], made.run.search) == []


@pytest.mark.parametrize("view", [PlainView, LiveView])
def test_on_a_terminal_and_in_a_log_it_is_the_same(made: Any, view: Any) -> None:
    """Whole blocks, in either."""
    stream = io.StringIO()
    shown = view(Output(stream), TrialTeller())
    event = made.run.events[0]
    decided = [launch for _, launch in made.run.launches]
    shown.event(event, decided, made.run.search)
    assert "\nSearch: Running Trial #0 on cpu 0, epochs 1 to 2\n\nValue             |Best" in stream.getvalue()


@pytest.mark.parametrize("verbose", [0, False])
def test_verbose_0_prints_nothing(made: Any, capsys: pytest.CaptureFixture[str], verbose: Any) -> None:
    """Neither trials nor notices nor a summary."""
    view = for_tuner(verbose)
    view.started(made.dir)
    view.message("no NVIDIA driver")
    for event in made.finish().run.events:
        view.event(event, [], made.run.search)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("verbose", "own_loop", "lines"),
    [(None, False, 0), (1, False, 0), ("auto", False, 0), (True, False, 0), (2, False, 1), (None, True, 1)],
)
def test_verbose_means_what_it_means_to_keras(
    made: Any, monkeypatch: pytest.MonkeyPatch, verbose: Any, own_loop: bool, lines: int
) -> None:
    """Trials are told at 1, "auto" and without it; their own lines from 2 on, or where the user's loop prints them."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    view: Any = for_tuner(verbose, own_loop=own_loop)
    view.started(made.dir)
    view.event(made.run.events[0], [launch for _, launch in made.run.launches], made.run.search)
    made.train(made.out[0], 1)
    assert sum(line.startswith("[trial 0] epoch 1") for line in view._teller.news()) == lines
