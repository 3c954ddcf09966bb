"""Tuners of models that are not Keras's: BaseTuner, and SklearnTuner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_a_base_tuner_saves_and_loads_its_way(loop: Callable[..., Any]) -> None:
    """run_trial gets the hypermodel's models; what save_model keeps, load_model gives to get_best_models."""
    assert loop("""
        from gpusched.engine.base_tuner import BaseTuner
        class Factor:
            def __init__(self, value): self.value = value
            def __call__(self, x): return self.value * x
        class Tuner(BaseTuner):
            def run_trial(self, trial, x):
                model = self.hypermodel.build(trial.hyperparameters)
                self.oracle.update_space(trial.hyperparameters)
                self.save_model(trial.trial_id, model)
                return {"score": model(x)}
            def save_model(self, trial_id, model, step=0):
                with open(self.get_trial_dir(trial_id) + "/factor", "w") as file:
                    file.write(repr(model.value))
            def load_model(self, trial):
                return Factor(float(open(self.get_trial_dir(trial.trial_id) + "/factor").read()))
        tuner = Tuner("random", lambda hp: Factor(hp.Float("a", 0, 10)), objective="score:max", max_trials=4, seed=1)
        tuner.search(2.0)
        factors = [model.value for model in tuner.get_best_models(4)]
        print(json.dumps([factors == sorted(factors, reverse=True), len(set(factors)), "keras" in sys.modules]))
    """) == [True, 4, False]


def test_an_older_run_is_not_seen_where_it_is_to_be_overwritten(loop: Callable[..., Any]) -> None:
    """From the moment the tuner is made; and a run of another algorithm is refused then."""
    assert loop("""
        class Both:
            def run_trial(self, trial):
                return float(trial.hyperparameters.Int("x", 1, 3))
        class Grid(Both, gs.GridSearch): pass
        class Random(Both, gs.RandomSearch): pass
        Grid().search()
        try:
            Random()
        except ValueError as error:
            said = str(error)
        tuner = Random(max_trials=2, overwrite=True)
        before = tuner.remaining_trials
        tuner.search()
        print(json.dumps([said, before, len(tuner.get_best_trials(9))]))
    """) == [
        "runs/loop: holds a search by grid, not by random; give another project_name, or overwrite=True",
        2,
        2,
    ]


def test_a_search_of_scikit_learn_s_models(loop: Callable[..., Any]) -> None:
    """Frames, weights, groups, a scorer and further metrics; the model of the best trial is there afterwards."""
    assert loop("""
        import numpy as np
        import pandas as pd
        from sklearn import linear_model, metrics, model_selection
        draws = np.random.default_rng(0)
        x = pd.DataFrame(draws.normal(size=(60, 4)))
        y = pd.Series((x[0] > 0).astype(int))
        tuner = gs.SklearnTuner(
            "random",
            lambda hp: linear_model.RidgeClassifier(alpha=hp.Float("alpha", 1e-3, 10, sampling="log")),
            scoring=metrics.make_scorer(metrics.balanced_accuracy_score),
            metrics=[metrics.accuracy_score],
            cv=model_selection.GroupKFold(3),
            objective="score:max", max_trials=3, seed=1)
        tuner.search(x, y, sample_weight=np.ones(60), groups=np.arange(60) % 3)
        best = tuner.get_best_trials()[0]
        told = [best.score > 0.8, best.best_step, sorted(best.metrics.metrics)]
        print(json.dumps([told, tuner.get_best_models()[0].score(x, y) > 0.8, list(best.values)]))
    """) == [[True, 0, ["accuracy_score", "score"]], True, ["alpha"]]


def test_folds_are_trained_at_once_where_slots_are_free(loop: Callable[..., Any]) -> None:
    """One trial on two slots: a fold waits for another that begins. The scores are those of one slot."""
    assert loop("""
        import os, pathlib, time
        import numpy as np

        class Meets:
            def __init__(self, noise, folder): self.noise, self.folder = noise, pathlib.Path(folder)
            def fit(self, x, y):
                (self.folder / str(os.getpid())).touch()
                while self.folder.name == "2" and len(list(self.folder.iterdir())) < 2: time.sleep(0.002)
                self.drawn = np.random.random() * self.noise
            def score(self, x, y): return self.drawn + x.mean()

        told = []
        for slots in (2, 1):
            folder = pathlib.Path(f"met/{slots}")
            folder.mkdir(parents=True)
            tuner = gs.SklearnTuner("random", lambda hp: Meets(hp.Float("noise", 0.1, 1), folder.resolve()),
                                    objective="score:max", max_trials=1, seed=1, project_name=folder.name,
                                    cpu_slots=slots)
            tuner.search(np.arange(20.0), np.arange(20))
            processes = len(list(folder.iterdir()))
            told.append([tuner.get_best_trials()[0].score, tuner.get_best_models()[0].drawn, processes])
        print(json.dumps([told[0][:2] == told[1][:2], told[0][2] >= 2, told[1][2]]))
    """) == [True, True, 1]


def test_data_without_rows_fails_the_trials(loop: Callable[..., Any]) -> None:
    """A list cannot be cut into folds, and the error says what can."""
    assert (
        loop("""
        from sklearn import linear_model
        tuner = gs.SklearnTuner("random", lambda hp: linear_model.RidgeClassifier(hp.Float("alpha", 0.1, 1)),
                                objective="score:max", max_trials=3)
        try:
            tuner.search([[1], [2], [3], [4], [5], [6]], [1, 1, 1, 2, 2, 2])
        except RuntimeError as error:
            print(json.dumps(str(error).partition(": ")[2]))
    """)
        == "TypeError: list has no rows to choose from; give an array, like numpy.asarray(data)"
    )


def test_what_a_trial_asks_for_at_its_end_is_done(loop: Callable[..., Any]) -> None:
    """Its handlers and its threads, in its own process; those of the script in the script's, once."""
    assert loop("""
        import atexit, pathlib, threading, time
        def ends(name):
            with open("ends.txt", "a") as file:
                file.write(name + "\\n")
        def train(hp, trial):
            trial.report(loss=hp.Float("x", 0, 1))
            atexit.register(ends, f"trial {trial.id}")
            threading.Thread(target=lambda: (time.sleep(0.1), ends(f"thread {trial.id}"))).start()
        atexit.register(ends, "script")
        tuner = gs.RandomSearch(train=train, objective="loss", max_trials=2, cpu_slots=1, seed=1)
        tuner.search()
        print(json.dumps(pathlib.Path("ends.txt").read_text().splitlines()))
    """) == ["thread 0", "trial 0", "thread 1", "trial 1"]
