"""What a tuner's subclass overrides is called: where, when, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LOGGING = """
import numpy
class Logging(gs.{tuner}):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.said = []
    def on_search_begin(self): self.said.append("search begins")
    def on_search_end(self): self.said.append("search ends")
    def on_trial_begin(self, trial): self.said.append(["begin", trial.trial_id, trial.status])
    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.said.append(["end", trial.trial_id, trial.status, trial.score, sorted(trial.metrics.metrics)])
"""


def test_hooks_of_trials_are_called_in_the_script_s_process(loop: Callable[..., Any]) -> None:
    """Once before and once after each trial, which has its results by then or the reason why not."""
    said = loop(
        LOGGING.format(tuner="GridSearch")
        + """
    def run_trial(self, trial):
        x = trial.hyperparameters.Int("x", 1, 3)
        if x == 2:
            raise ValueError("odd")
        return {"loss": numpy.float64(x), "size": numpy.int64(7)}
tuner = Logging(objective="loss", cpu_slots=1, max_retries_per_trial=1)
tuner.search()
print(json.dumps(tuner.said))
"""
    )
    assert said == [
        "search begins",
        ["begin", "0000", "RUNNING"],
        ["end", "0000", "COMPLETED", 1.0, ["loss", "size"]],
        ["begin", "0001", "RUNNING"],
        ["end", "0001", "FAILED", None, []],
        ["begin", "0002", "RUNNING"],
        ["end", "0002", "COMPLETED", 3.0, ["loss", "size"]],
        "search ends",
    ]


def test_a_promoted_trial_begins_and_ends_once(loop: Callable[..., Any]) -> None:
    """Through all its rungs, and over two sessions."""
    script = (
        LOGGING.format(tuner="Hyperband")
        + """
def train(hp, trial):
    x = hp.Float("x", 0, 1)
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(loss=x)
        trial.save_checkpoint(b"")
tuner = Logging(train=train, objective="loss", max_epochs=4, factor=2, seed=1, cpu_slots=2)
tuner.search()
calls = [call for call in tuner.said if isinstance(call, list)]
print(json.dumps([sorted(call[1] for call in calls if call[0] == kind) for kind in ("begin", "end")]))
"""
    )
    begun, ended = loop(script)
    assert begun == ended == [f"{trial:04d}" for trial in range(len(begun))]
    assert loop(script) == [[], []]


def test_an_error_in_a_hook_ends_the_search(loop: Callable[..., Any]) -> None:
    """It reaches the caller as itself, and the search can be continued."""
    assert loop("""
        class Strict(gs.GridSearch):
            def on_trial_end(self, trial):
                if self.strict:
                    raise KeyError(trial.trial_id)
            def run_trial(self, trial):
                return float(trial.hyperparameters.Int("x", 1, 3))
        tuner = Strict(cpu_slots=1)
        tuner.strict = True
        try:
            tuner.search()
        except KeyError as error:
            said = repr(error)
        tuner.strict = False
        tuner.search()
        print(json.dumps([said, len(tuner.get_best_trials(9))]))
    """) == ["KeyError('0000')", 3]


def test_metrics_may_be_told_to_the_oracle(loop: Callable[..., Any]) -> None:
    """As scripts for older versions of Keras Tuner do: several of one step are averaged, and a warning says so once."""
    assert loop("""
        import warnings
        class Old(gs.GridSearch):
            def on_trial_end(self, trial):
                ended[trial.trial_id] = [trial.score, trial.best_step, trial.metrics.get_best_value("loss")]
            def run_trial(self, trial):
                x = trial.hyperparameters.Int("x", 1, 2)
                self.oracle.update_trial(trial.trial_id, {"loss": x + 2.0}, step=0)
                self.oracle.update_trial(trial.trial_id, {"loss": x - 1.0}, step=1)
                self.oracle.update_trial(trial.trial_id, {"loss": x + 1.0}, step=1)
        ended = {}
        tuner = Old(objective="loss", cpu_slots=2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tuner.search()
        print(json.dumps([[each.category.__name__ for each in caught], ended]))
    """) == [["DeprecationWarning"], {"0000": [1.0, 1, 1.0], "0001": [2.0, 1, 2.0]}]


@pytest.mark.keras
def test_run_trial_and_what_it_calls(python: Callable[..., Any]) -> None:
    """What run_trial changes of fit's arguments counts, epochs included; private methods that build are called too."""
    assert python("""
        class Tuner(keras_tuner.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                kwargs["epochs"] = trial.hyperparameters.Int("epochs", 2, 2)
                histories = super().run_trial(trial, *args, **kwargs)
                loss = self.load_model(trial).evaluate(x_train, y_train, verbose=0)
                with open("best", "w") as file:
                    print(abs(loss - min(histories[0].history["loss"])) < 0.1, self.oracle.objective, file=file)
                return histories
            def _build_hypermodel(self, hp):
                model = super()._build_hypermodel(hp)
                model.compile("sgd", "mae")
                return model
            def _build_and_fit_model(self, trial, *args, **kwargs):
                self.batches = 0
                return super()._build_and_fit_model(trial, *args, **kwargs)
            def on_batch_end(self, trial, model, batch, logs=None):
                self.batches += 1
            def on_epoch_end(self, trial, model, epoch, logs=None):
                with open("epochs", "a") as file:
                    print(trial.trial_id, epoch, self.batches, model.loss, sorted(logs), file=file)
            def _get_checkpoint_fname(self, trial_id):
                return "elsewhere"
        def build_model(hp):
            model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1)])
            model.compile("adam", "mse")
            return model
        tuner = Tuner(build_model, objective="loss", max_trials=1, cpu_slots=1, overwrite=True)
        tuner.search(x_train, y_train, batch_size=100, verbose=0)
        told = open("epochs").read().splitlines()
        print(json.dumps([told, open("best").read().split()[0], tuner.get_best_trials()[0].epochs]))
    """) == [["0000 0 2 mae ['loss']", "0000 1 4 mae ['loss']"], "True", 2]


def test_a_tuner_s_own_state(loop: Callable[..., Any]) -> None:
    """What get_state returns is there again for a tuner that is made over the same run."""
    script = """
        class Counting(gs.GridSearch):
            count = 0
            def get_state(self): return {"count": self.count}
            def set_state(self, state): self.count = state["count"]
            def on_trial_end(self, trial):
                self.count += 1
                super().on_trial_end(trial)
            def run_trial(self, trial):
                return float(trial.hyperparameters.Int("x", 1, 3))
        tuner = Counting()
        before = tuner.count
        tuner.search()
        print(json.dumps([before, tuner.count]))
    """
    assert [loop(script), loop(script)] == [[0, 3], [3, 3]]


def test_what_run_trial_notes_on_the_tuner_is_there_afterwards(loop: Callable[..., Any]) -> None:
    """In dicts, lists, sets and counters, from all trials, in on_trial_end and after the search."""
    said = loop("""
class Noting(gs.RandomSearch):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kinds, self.scores, self.count, self.seen = {}, [], 0, []
    def run_trial(self, trial):
        x = trial.hyperparameters.Choice("x", [1, 2, 3])
        self.kinds[trial.trial_id] = f"x is {x}"
        self.scores.append(x)
        self.count += 1
        self.names = {f"n{trial.trial_id}"}
        return {"loss": float(x)}
    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.seen.append(self.kinds[trial.trial_id] == f"x is {trial.hyperparameters.get('x')}")
tuner = Noting(objective="loss", max_trials=3, cpu_slots=2)
tuner.search()
print(json.dumps([sorted(tuner.kinds), sorted(tuner.scores), tuner.count, sorted(tuner.names), tuner.seen]))
""")
    ids = ["0000", "0001", "0002"]
    assert said == [ids, [1, 2, 3], 3, [f"n{trial}" for trial in ids], [True] * 3]


def test_hooks_of_epochs_find_what_on_trial_begin_has_noted(loop: Callable[..., Any]) -> None:
    """A log that on_trial_begin opens for a trial and on_epoch_end fills is whole in on_trial_end."""
    said = loop("""
class Logging(gs.RandomSearch):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.log, self.whole = {}, []
    def on_trial_begin(self, trial):
        self.log[trial.trial_id] = {"values": dict(trial.hyperparameters.values), "losses": []}
    def on_epoch_end(self, trial, model, epoch, logs=None):
        self.log[trial.trial_id]["losses"].append(logs["loss"])
    def run_trial(self, trial):
        x = trial.hyperparameters.Choice("x", [1, 2])
        for epoch in range(2):
            self.on_epoch_end(trial, None, epoch, logs={"loss": x / (epoch + 1)})
        return {"loss": x / 2}
    def on_trial_end(self, trial):
        noted = self.log[trial.trial_id]
        self.whole.append(noted["losses"] == [noted["values"]["x"], noted["values"]["x"] / 2])
tuner = Logging(objective="loss", max_trials=2, cpu_slots=2)
tuner.search()
print(json.dumps(tuner.whole))
""")
    assert said == [True, True]
