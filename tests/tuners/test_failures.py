"""What fails, and what that means for the trial, the search and its caller, as in Keras Tuner's guide on failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("where", ["build", "run_trial"])
def test_a_fatal_error_reaches_the_caller_as_itself(loop: Callable[..., Any], where: str) -> None:
    """Its class is the script's own, and nothing more is trained."""
    body = 'raise TooMuch("no room left")'
    build, run_trial = (body, "return 1.0") if where == "build" else ('hp.Int("x", 1, 3)', body)
    assert loop(f"""
        class TooMuch(gs.errors.FatalValueError):
            pass
        def build_model(hp):
            {build}
        class Tuner(gs.GridSearch):
            def run_trial(self, trial):
                self.hypermodel.build(trial.hyperparameters)
                {run_trial}
        tuner = Tuner(build_model, objective="loss", max_retries_per_trial=3)
        try:
            tuner.search()
        except TooMuch as error:
            print(json.dumps([str(error), isinstance(error, ValueError)]))
    """) == ["no room left", True]


def test_a_build_that_refuses_its_defaults_fails_one_trial(loop: Callable[..., Any]) -> None:
    """FailedTrialError and a ValueError of the user's alike: the type decides; only what is raised again is retried."""
    assert loop("""
        def build_model(hp):
            kind = hp.Choice("kind", ["refused", "wrong", "good"])
            with open("tried", "a") as file:
                print(kind, file=file)
            if kind == "refused":
                raise gs.errors.FailedTrialError("Model too large")
            if kind == "wrong":
                raise ValueError("Model too large! It contains 9 params.")
            return kind
        class Tuner(gs.GridSearch):
            asks_by_build = True
            def run_trial(self, trial):
                open("tried", "a").write("- ")
                self.hypermodel.build(trial.hyperparameters)
                return 1.0
        tuner = Tuner(build_model, max_retries_per_trial=2)
        tuner.search()
        trials = [line[2:-1] for line in open("tried") if line.startswith("- ")]
        print(json.dumps([sorted(trials), [trial.values for trial in tuner.get_best_trials(9)]]))
    """) == [["good", "refused", "wrong", "wrong", "wrong"], [{"kind": "good"}]]


FAILING = """
    import warnings
    class Tuner(gs.GridSearch):
        def run_trial(self, trial):
            raise ValueError(f"odd {{trial.hyperparameters.Int('x', 1, {count})}}")
    tuner = Tuner(cpu_slots=1)
    said = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tuner.search()
        except RuntimeError as error:
            said = str(error)
    print(json.dumps([said, [[str(each.message), each.filename == __file__] for each in caught]]))
"""


def test_failures_in_a_row_are_a_runtime_error(loop: Callable[..., Any]) -> None:
    """It names the trials and the newest error."""
    assert loop(FAILING.format(count=5)) == [
        "3 trials in a row failed (0, 1, 2); trial 2: ValueError: odd 3 (loop.py:7)",
        [],
    ]


def test_a_search_of_failures_alone_warns(loop: Callable[..., Any]) -> None:
    """Fewer than max_consecutive_failed_trials are no error, though no trial is left; the line of search() is named."""
    said = "complete, without one completed trial (trial 1: ValueError: odd 2 (loop.py:7))"
    assert loop(FAILING.format(count=2)) == [None, [[said, True]]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("'text'", "TypeError"),
        ("None", "TypeError"),
        ("{'accuracy': 1.0}", "ValueError"),
    ],
)
def test_wrong_results_end_the_search(loop: Callable[..., Any], value: str, kind: str) -> None:
    """With a fatal error of Keras Tuner's type, whichever trial comes upon it."""
    assert loop(f"""
        class Tuner(gs.GridSearch):
            def run_trial(self, trial):
                trial.hyperparameters.Int("x", 1, 3)
                return {value}
        try:
            Tuner(objective="loss").search()
        except gs.errors.FatalError as error:
            print(json.dumps(isinstance(error, {kind})))
    """)
