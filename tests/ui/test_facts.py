"""A search in figures, in words and in lines."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gpusched.core.commands import Launch
from gpusched.core.events import JobEnded, PauseAsked, ResumeAsked, StopAsked
from gpusched.core.outcome import End
from gpusched.core.trial import TrialState
from gpusched.runtime.reader import Run
from gpusched.storage import metrics
from gpusched.storage.claim import TrialProcess
from gpusched.storage.identity import own_identity
from gpusched.storage.rundir import as_json, write_whole
from gpusched.ui import words
from gpusched.ui.draw import Load, best, panel, title
from gpusched.ui.facts import Observer
from gpusched.ui.report.data import collect
from gpusched.ui.status import answer
from gpusched.ui.watch.plain import Teller
from gpusched.ui.watch.tuner import TrialTeller


def test_progress_never_goes_back(make_run: Callable[..., Any]) -> None:
    """Trials and epochs done only grow, the share done too, and at the end both are all."""
    made = make_run(failing={3})
    observer = Observer(made.run)
    seen = [observer.look(alive=False)]
    while made.step():
        seen.append(observer.look(alive=False))
    done = [facts.trials_done for facts in seen]
    share = [facts.epochs_done / facts.epochs_all for facts in seen if facts.epochs_all]
    assert done == sorted(done)
    assert share == sorted(share)
    assert (done[-1], seen[-1].trials_all, share[-1]) == (17, 17, 1.0)


def test_a_pause_changes_no_total(make_run: Callable[..., Any]) -> None:
    """Epochs of a job that was interrupted are neither counted twice nor planned again, while it waits and after."""
    made = make_run(max_epochs=27, factor=3, slots=4)
    for _ in range(40):
        made.step()
    planned = Observer(made.run).look(alive=False).epochs_all
    halves = [(launch, made.train(launch, (launch.stop_epoch - launch.start_epoch) // 2)) for launch in made.out]
    assert any(trained for _, trained in halves)
    seen = [Observer(made.run).look(alive=False)]
    made._ends.clear()
    search = made.run.search
    search.handle(PauseAsked(at=search.at))
    for launch, trained in halves:
        epochs = launch.start_epoch + len(trained)
        end = {"trial": launch.trial, "attempt": launch.attempt, "end": End.INTERRUPTED, "epochs": epochs}
        search.handle(JobEnded(at=search.at, **end))
        seen.append(Observer(made.run).look(alive=False))
    search.handle(ResumeAsked(at=search.at))
    seen.append(Observer(made.run).look(alive=False))
    assert {facts.epochs_all for facts in seen} == {planned}
    assert {facts.epochs_done for facts in seen} == {seen[0].epochs_done}


def test_executions_count_together(make_run: Callable[..., Any]) -> None:
    """A trial that is trained twice has come as far as both have together: it does not begin again in between."""
    made = make_run(algorithm="random", max_epochs=4, max_trials=1, slots=1)
    write_whole(made.dir.search, as_json(msgspec.structs.replace(made.run.record, executions=2)))
    observer, seen = Observer(Run.open(made.dir.path)), []
    for execution in range(2):
        for epoch in range(1, 5):
            line = {"epoch": epoch, "execution": execution, "val_accuracy": 0.5, "seconds": 1.0}
            metrics.append(made.dir.trial(0).metrics, line)
            facts = observer.look(wall=made.dir.trial(0).metrics.stat().st_mtime)
            (row,) = facts.rows
            seen.append((row.epoch, facts.epochs_done, facts.epochs_all, row.seconds_left))
    assert [row[:3] for row in seen] == [(n // 2, n // 2, 4) for n in range(1, 9)]
    assert [row[3] for row in seen] == pytest.approx([8 - n for n in range(1, 9)], abs=0.1)


def test_a_search_that_stops_takes_an_epoch_more(make_run: Callable[..., Any]) -> None:
    """And so does one that pauses: trials end their epoch, not their training."""
    for event, left in ((StopAsked, 1.0), (PauseAsked, None)):
        made = make_run(event.__name__, algorithm="random", max_epochs=50, max_trials=2)
        made.train(made.out[0], 2)
        reported = made.dir.trial(0).metrics.stat().st_mtime
        before = Observer(made.run).look(wall=reported).rows[0].seconds_left
        made.run.search.handle(event(at=2.0))
        facts = Observer(made.run).look(wall=reported)
        assert before == pytest.approx(48.0)
        assert facts.rows[0].seconds_left == pytest.approx(1.0)
        assert facts.seconds_left == (None if left is None else pytest.approx(left))
        if event is StopAsked:
            told = Observer(made.run).look(wall=made.run.opened.wall + 90)
            assert title(told).plain.startswith("StopAsked  stopping after 1 min 30 s, about ")


def test_epochs_that_early_stopping_saves_are_told(make_run: Callable[..., Any]) -> None:
    """Those of the job, and of the rungs that the trial rises to without training; in the last line too."""
    made = make_run(algorithm="random", max_epochs=9, max_trials=2, slots=1)
    launch = made.out[0]
    made._ends.clear()
    scores = made.train(launch, 4)
    end = {"trial": 0, "attempt": 1, "end": End.COMPLETED, "epochs": 4, "stopped_early": True}
    made.handle(JobEnded(at=4.0, scores={"val_accuracy": scores}, **end))
    made.finish()
    assert Observer(made.run).look(alive=False).epochs_saved == 5
    assert "13 epochs (early stopping saved 5)" in Teller().summary(made.run.search)


def test_time_left_is_right_where_epochs_cost_the_same(make_run: Callable[..., Any]) -> None:
    """Half-way through, the estimate is what it then takes, within a tenth."""
    made = make_run(algorithm="random", max_epochs=4, max_trials=40, slots=2)
    for _ in range(20):
        made.step()
    left = Observer(made.run).look(alive=False).seconds_left
    at = made.run.search.at
    made.finish()
    assert left == pytest.approx(made.run.search.at - at, rel=0.1)


def test_what_trains_is_seen_before_anything_has_finished(make_run: Callable[..., Any]) -> None:
    """The first epochs of the first trials are the best so far, and said to be in training."""
    made = make_run(algorithm="random", max_epochs=9, max_trials=2)
    made.train(made.out[0], 2)
    facts = Observer(made.run).look(alive=False)
    assert facts.best is not None
    assert (facts.best.trial, facts.best.epoch, facts.best.finished) == (0, 2, False)
    assert [(row.trial, row.epoch, row.stop_epoch) for row in facts.rows] == [(0, 2, 9), (1, 0, 9)]
    assert facts.rows[0].seconds_left is not None


def test_values_of_the_best_trial_go_before_its_place(make_run: Callable[..., Any]) -> None:
    """Where a terminal has no room for both, the line leaves the place out."""
    made = make_run(max_epochs=9, factor=3, iterations=2)
    made.step()
    facts = Observer(made.run).look(alive=False)
    wide, narrow = best(facts, 120).plain, best(facts, 78).plain
    assert ", iteration 1, bracket 2, rung 1  units=" in wide
    assert narrow == wide.replace(", iteration 1, bracket 2, rung 1", "")
    assert len(narrow) <= 78 or "units=" in narrow[:70]


@given(st.integers(1, 200), st.integers(1, 60))
def test_the_block_fits_any_window(width: int, height: int) -> None:
    """However narrow and low: no exception."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=False)
    console.print(panel(_FACTS[0], {0: Load(10**9, 10**10, 0.5)}, width, height, "hint"), no_wrap=True)


_FACTS: list[Any] = []


@pytest.fixture(autouse=True)
def _facts(make_run: Callable[..., Any]) -> None:
    if not _FACTS:
        made = make_run("for drawing", slots=3, failing={1})
        for _ in range(6):
            made.step()
        _FACTS.append(Observer(made.run).look(alive=False))


def test_every_event_is_one_line(make_run: Callable[..., Any]) -> None:
    """Starts, ends, failures, promotions, the end; and a summary."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=3, failing={1})
    teller = Teller()
    made.finish()
    lines = [line for event in made.run.events for line in teller.lines(event, [], made.run.search)]
    score = [words.score(made.score(launch, 2)) for _, launch in made.run.launches]
    assert lines == [
        "[0:00:00] random · maximise val_accuracy · 3 trials, 6 epochs · 2 slots (cpu 0, cpu 1)",
        f"[0:00:02] trial 0: val_accuracy {score[0]} after 2 epochs",
        "[0:00:02] trial 1: failed: ValueError: units is odd",
        f"[0:00:04] trial 2: val_accuracy {score[2]} after 2 epochs (best so far)",
        "[0:00:04] search ended: complete",
    ]
    assert teller.summary(made.run.search).startswith("3 trials, 1 failed, 4 epochs in 4 s; best: trial ")


def test_a_trial_that_continues_says_no_epochs_that_it_has_trained(make_run: Callable[..., Any]) -> None:
    """Its checkpoint says where it goes on; one that is promoted names the epochs of its rung."""
    made = make_run(slots=1, max_epochs=9, factor=3)
    search, teller = made.run.search, Teller()
    assert teller.launched(0.0, made.out[0], search)[0].startswith("[0:00:00] trial 0: epoch 1 on cpu 0: units=")
    while made.out[0].start_epoch == 0:
        made.step()
    promoted = made.out[0]
    assert teller.launched(0.0, promoted, search) == [f"[0:00:00] trial {promoted.trial}: epochs 2 to 3 on cpu 0"]
    ended = JobEnded(
        at=search.at, trial=promoted.trial, attempt=promoted.attempt, end=End.INTERRUPTED, epochs=2, scores={}
    )
    (again,) = [command for command in search.handle(ended) if isinstance(command, Launch)]
    assert (again.trial, again.start_epoch, again.stop_epoch) == (promoted.trial, 1, 3)
    said = [f"[0:00:00] trial {promoted.trial}: continues on cpu 0, to epoch 3"]
    assert teller.launched(0.0, again, search) == said
    assert (
        TrialTeller()
        ._start(again, search)[0]
        .startswith(f"Search: Running Trial #{promoted.trial} again on cpu 0, to epoch 3")
    )


def test_how_long_it_has_been_paused(make_run: Callable[..., Any]) -> None:
    """The title says for how long it has been paused now, not how long it has run."""
    made = make_run()
    opened = made.run.opened
    made.run.search.handle(PauseAsked(at=opened.at + 50))
    made.run.search.handle(PauseAsked(at=opened.at + 60, now=True))
    facts = Observer(made.run).look(wall=opened.wall + 97)
    assert "paused for 47 s" in title(facts).plain
    assert facts.seconds == opened.at + 97


def test_running_time_is_told_without_pauses(make_run: Callable[..., Any]) -> None:
    """As it is held against max_time: in `status`, for programs and in the last line; the report's clock goes on."""
    made = make_run(algorithm="random", max_epochs=4, max_trials=2, slots=2)
    made.handle(PauseAsked(at=2.0))
    observer, wall = Observer(made.run), made.run.opened.wall
    for later in (2, 23, 39):
        facts = observer.look(wall=wall + later)
        assert (facts.seconds, facts.now, facts.paused_seconds) == (2.0, float(later), later - 2.0)
    made.handle(ResumeAsked(at=42.0))
    assert observer.look(wall=wall + 43).seconds == 3.0
    made.finish()
    facts = observer.look(alive=False)
    assert (facts.seconds, facts.now) == (6.0, 46.0)
    assert "8 epochs in 6 s;" in Teller().summary(made.run.search)
    assert answer(made.run, None).seconds == 6.0
    page = collect(made.run, None)
    assert (page["time"], page["seconds"]) == ("6 s", 46.0)


def test_stops_and_pauses_are_told(make_run: Callable[..., Any]) -> None:
    """In the words of the command that asked."""
    search = make_run().run.search
    teller = Teller()
    assert teller.lines(PauseAsked(at=61.0), [], search) == ["[0:01:01] paused: running trials end their epoch"]
    assert teller.lines(StopAsked(at=3661.0, now=True), [], search) == [
        "[1:01:01] interrupted: running trials are killed"
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (1e6, "11 d 13 h"),
        (math.inf, "?"),
    ],
)
def test_times_are_said_in_two_units(seconds: float, said: str) -> None:
    """The larger unit, and the next one."""
    assert words.duration(seconds) == said


@given(st.text())
def test_clean_text_is_one_harmless_line(text: str) -> None:
    """No control character is left, whatever it was."""
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in words.clean(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_people_get_four_digits(number: float) -> None:
    """Of values and of scores, whatever their size; whole values as they were given."""
    assert float(words.score(number)) == float(f"{number:.4g}")
    if not number.is_integer():
        assert float(words.value(number)) == float(f"{number:.4g}")


@pytest.mark.parametrize(
    ("given", "value", "score"),
    [
        (0.1 + 0.2, "0.3", "0.3000"),
        (0.982, "0.982", "0.9820"),
        (1.0, "1", "1.000"),
        (64, "64", "64.00"),
        (0.0, "0", "0.000"),
        (1e-5, "1e-05", "1.000e-05"),
        (-0.00012346, "-0.0001235", "-0.0001235"),
        (100000.0, "100000", "1.000e+05"),
        (12345.678, "1.235e+04", "1.235e+04"),
    ],
)
def test_figures_have_one_form(given: float, value: str, score: str) -> None:
    """What was typed is seen as it was typed; scores have all their digits."""
    assert (words.value(given), words.score(given)) == (value, score)


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ([0.982, 0.9815, 0.1023, 1.0, 0.0], ["0.9820", "0.9815", "0.1023", "1.0000", "0.0000"]),
        ([0.35214, 13.2, 2.41e7], ["0.35", "13.20", "2.410e+07"]),
        ([0.5, None, math.inf, 1e-9], ["0.5000", "none", "none", "1.000e-09"]),
        ([0.009137, 0.0009143], ["0.0091370", "0.0009143"]),
        ([3e-5, 2.123456e-5], ["3.000e-05", "2.123e-05"]),
        ([], []),
    ],
)
def test_scores_below_each_other_have_as_many_decimals(values: list[float | None], column: list[str]) -> None:
    """Their points stand below each other; one that does not fit in is in scientific form."""
    assert words.column(values) == column


@given(st.integers(0, 10**16))
def test_bytes_are_told_as_nvidia_smi_does(count: int) -> None:
    """In powers of 1024, to three digits or one decimal."""
    number, unit = words.size(count).split()
    power = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit]
    assert abs(float(number) * power - count) <= max(0.06 * power, 0.006 * count)
    assert unit == "TiB" or float(number) < 1024


def test_a_trial_that_went_on_meanwhile_is_not_damaged(make_run: Callable[..., Any]) -> None:
    """Between the journal and the metrics there is a moment: epochs trained in it are no complaint, others are."""
    made = make_run(slots=1)
    while made.out[0].start_epoch == 0:
        made.step()
    promoted = made.out[0].trial
    behind = Run.open(made.dir.path)
    behind.search.trials[promoted].state = TrialState.PENDING
    behind.search.trials[promoted].attempt -= 1
    behind.search.trials[promoted].lines = 1
    made.train(made.out[0], epochs=1)
    assert len(behind.metrics(promoted)) == 2
    assert list(behind.damage) == [promoted]
    process = TrialProcess(attempt=made.out[0].attempt, identity=own_identity(made.dir.path))
    made.dir.trial(promoted).process.write_bytes(as_json(process))
    assert len(behind.metrics(promoted)) == 2
    assert behind.damage == {}
