"""Oracles used alone, as in a loop of one's own: created, updated and ended trial by trial."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import gpusched as kt
from gpusched.trials import Trial, TrialStatus

LOSS = kt.Objective("val_loss", "min")


class Counting(kt.Oracle):
    """Proposes 0, 1, 2, …"""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"objective": "val_loss", **kwargs})
        self.next = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self.next += 1
        return {"status": "RUNNING", "values": {"x": self.next - 1}}

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "next": self.next}

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        self.next = state["next"]


def space() -> kt.HyperParameters:
    hp = kt.HyperParameters()
    hp.Float("a", -1, 1)
    hp.Float("b", -1, 1)
    return hp


def end(oracle: Any, trial: Trial, loss: float, status: str = "COMPLETED") -> None:
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"val_loss": loss})
    trial.status = status
    oracle.end_trial(trial)


def searched(oracle: Any, loss: Any, workers: int = 1) -> list[dict[str, Any]]:
    """Runs the oracle dry, so many trials at a time; the values of all trials in the order of their starts."""
    while True:
        trials = [trial for i in range(workers) if (trial := oracle.create_trial(f"worker {i}")).status == "RUNNING"]
        if not trials:
            return [dict(each.hyperparameters.values) for each in oracle.trials.values()]
        for trial in trials:
            end(oracle, trial, loss(trial.hyperparameters.values))


ALL = [
    lambda **kwargs: kt.oracles.RandomSearchOracle(LOSS, max_trials=6, **kwargs),
    lambda **kwargs: kt.oracles.BayesianOptimizationOracle(LOSS, max_trials=6, num_initial_points=3, **kwargs),
    lambda **kwargs: kt.oracles.GridSearchOracle(LOSS, max_trials=6, **kwargs),
    lambda **kwargs: kt.oracles.HyperbandOracle(LOSS, max_epochs=4, factor=2, **kwargs),
]


@pytest.mark.parametrize("made", ALL, ids=["random", "bayesian", "grid", "hyperband"])
class TestEach:
    """Whatever the algorithm."""

    def test_a_seed_decides(self, made: Any) -> None:
        """The same seed and scores give the same trials; 0 is a seed like any other."""

        def loss(values: dict[str, Any]) -> float:
            return float(abs(values["a"] - 0.3))

        first, second = (searched(made(seed=0, hyperparameters=space()), loss) for _ in range(2))
        assert first == second
        assert len(first) >= 6

    def test_it_is_carried_on_from_its_files(self, made: Any, tmp_path: Path) -> None:
        """An oracle reloaded from its folder goes on as the one that wrote it; what was under way comes again."""
        oracle = made(seed=1, hyperparameters=space())
        oracle._set_project_dir(tmp_path, "sök 'n'")
        end(oracle, oracle.create_trial("a"), 1.0)
        under_way = oracle.create_trial("a")
        again = made(seed=1, hyperparameters=space())
        again._set_project_dir(tmp_path, "sök 'n'")
        again.reload()
        retried = again.create_trial("b")
        assert (retried.trial_id, retried.hyperparameters.values) == (
            under_way.trial_id,
            under_way.hyperparameters.values,
        )
        assert [trial.status for trial in again.trials.values()] == ["COMPLETED", "RUNNING"]
        assert again.create_trial("c").hyperparameters.values == oracle.create_trial("c").hyperparameters.values

    def test_hyperparameters_met_late_are_searched_too(self, made: Any) -> None:
        """What a trial asked for beyond the space has values in later trials."""
        oracle = made(seed=0, hyperparameters=space())
        trial = oracle.create_trial("a")
        trial.hyperparameters.Choice("late", [1, 2, 3])
        end(oracle, trial, 0.5)
        assert oracle.create_trial("b").hyperparameters.values["late"] in (1, 2, 3)
        assert [each.name for each in oracle.get_space().space] == ["a", "b", "late"]


def test_the_pure_oracle_decides_the_same() -> None:
    """Used alone, trial by trial, it proposes what gpusched's own oracle of this seed does."""
    pure = kt.oracles.RandomSearch(space(), LOSS, max_trials=4, seed=7)
    asked = [pure.ask() for _ in range(4)]
    oracle = kt.oracles.RandomSearchOracle(LOSS, max_trials=4, seed=7, hyperparameters=space())
    assert searched(oracle, lambda values: 1.0) == [job.values for job in asked if isinstance(job, kt.oracles.Job)]


def test_random_search_stops_where_all_is_tried() -> None:
    """No configuration comes twice, and a used-up space ends the search before max_trials does."""
    hp = kt.HyperParameters()
    hp.Boolean("a")
    hp.Choice("b", [1, 2, 3])
    found = searched(kt.oracles.RandomSearchOracle(LOSS, max_trials=20, hyperparameters=hp), lambda values: 0.0)
    assert len(found) == 6
    assert len({tuple(each.items()) for each in found}) == 6


def test_bayesian_optimization_finds_a_minimum() -> None:
    """With four at a time as well, since those under way are reckoned with."""
    oracle = kt.oracles.BayesianOptimizationOracle(
        LOSS, max_trials=24, num_initial_points=6, seed=0, hyperparameters=space()
    )
    searched(oracle, lambda v: (v["a"] - 0.3) ** 2 + (v["b"] + 0.6) ** 2, workers=4)
    assert (oracle.get_best_trials()[0].score or 1.0) < 0.01


def test_hyperband_promotes() -> None:
    """A promoted configuration is a trial that names the one it goes on from, and the epochs it trains."""
    oracle = kt.oracles.HyperbandOracle(LOSS, max_epochs=4, factor=2, seed=0, hyperparameters=space())
    searched(oracle, lambda values: values["a"])
    promoted = [t for t in oracle.trials.values() if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    for trial in promoted:
        values = trial.hyperparameters.values
        before = oracle.get_trial(values["tuner/trial_id"]).hyperparameters.values
        assert (values["a"], values["b"]) == (before["a"], before["b"])
        assert values["tuner/initial_epoch"] == before["tuner/epochs"] < values["tuner/epochs"]


def test_hyperband_waits_for_its_rung() -> None:
    """IDLE while scores are awaited, STOPPED at the end."""
    hp = kt.HyperParameters()
    hp.Boolean("a")
    oracle = kt.oracles.HyperbandOracle(LOSS, max_epochs=8, factor=3, hyperparameters=hp)
    trials = [oracle.create_trial(each) for each in "abc"]
    assert [each.status for each in trials] == ["RUNNING", "RUNNING", "IDLE"]
    for trial in trials[:2]:
        end(oracle, trial, 0.0, "FAILED")
    assert oracle.create_trial("a").status == "STOPPED"


def test_the_grid_varies_what_was_met_late() -> None:
    """Each value of a hyperparameter that trials come upon is tried with each of the others', once."""
    oracle = kt.oracles.GridSearchOracle(LOSS)
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        hp = trial.hyperparameters
        if hp.Boolean("deep"):
            hp.Choice("layers", [2, 3], parent_name="deep", parent_values=[True])
        hp.Choice("late", ["x", "y"])
        end(oracle, trial, 0.0)
    found = [tuple(sorted(each.hyperparameters.values.items())) for each in oracle.trials.values()]
    assert len(found) == len(set(found)) == 2 + 4


# ---------------------------------------------------------------------------- the life of a trial


def test_a_worker_keeps_its_trial() -> None:
    """Asking again before the trial has ended gives the same one."""
    oracle = Counting()
    first = oracle.create_trial("a")
    assert oracle.create_trial("a") is first
    assert oracle.create_trial("b") is not first
    assert list(oracle.ongoing_trials) == ["a", "b"]
    assert oracle.start_order == ["0000", "0001"]


def test_an_invalid_trial_is_tried_again() -> None:
    """So often as it may be; then it has failed. One that says it has failed is not."""
    oracle = Counting(max_retries_per_trial=1)
    trial = oracle.create_trial("a")
    end(oracle, trial, 0.0, "INVALID")
    assert oracle.create_trial("a").trial_id == trial.trial_id
    end(oracle, trial, 0.0, "INVALID")
    assert oracle.get_trial(trial.trial_id).status == TrialStatus.FAILED
    end(oracle, oracle.create_trial("a"), 0.0, "FAILED")
    assert oracle.create_trial("a").trial_id == "0002"


def test_nan_is_no_score() -> None:
    """A trial that completed with it counts as invalid, and is not among the best."""
    oracle = Counting(max_retries_per_trial=1)
    end(oracle, oracle.create_trial("a"), float("nan"))
    assert oracle.trials["0000"].status == TrialStatus.INVALID
    oracle.create_trial("a")
    end(oracle, oracle.create_trial("b"), 0.5)
    assert oracle.get_best_trials()[0].trial_id == "0001"


def test_failures_in_a_row_end_it() -> None:
    """As RuntimeError, with the last one's message; a success in between begins the count anew."""
    oracle = Counting()
    for status in ("FAILED", "FAILED", "COMPLETED", "FAILED", "FAILED"):
        end(oracle, oracle.create_trial("a"), 0.5, status)
    trial = oracle.create_trial("a")
    trial.message = "no such layer"
    with pytest.raises(RuntimeError, match="3 trials in a row failed; trial 0005: no such layer"):
        end(oracle, trial, 0.0, "FAILED")


def test_errors_are_keras_tuner_s_types() -> None:
    """Each names what is wrong."""
    with pytest.raises(ValueError, match="tune_new_entries=False needs hyperparameters="):
        Counting(tune_new_entries=False)
    with pytest.raises(ValueError, match="allow_new_entries=False needs hyperparameters="):
        Counting(allow_new_entries=False)
    with pytest.raises(ValueError, match="factor: 1"):
        kt.oracles.HyperbandOracle(LOSS, factor=1)
    oracle = Counting(hyperparameters=space(), allow_new_entries=False)
    more = oracle.get_space()
    more.allow_new_entries = True
    more.Boolean("c")
    with pytest.raises(RuntimeError, match="allow_new_entries is False"):
        oracle.update_space(more)
    with pytest.raises(ValueError, match="the objective val_loss is not among its metrics"):
        oracle.update_trial(oracle.create_trial("a").trial_id, {"loss": 0.5})
    with pytest.raises(KeyError, match="trial '7': there is none; there are 0000"):
        oracle.get_trial("7")


def test_new_entries_may_be_left_untuned() -> None:
    """With tune_new_entries=False what a trial comes upon stays out of the space."""
    oracle = Counting(hyperparameters=space(), tune_new_entries=False)
    more = oracle.get_space()
    more.Boolean("c")
    oracle.update_space(more)
    assert [each.name for each in oracle.get_space().space] == ["a", "b"]


def test_score_trial_may_be_overridden() -> None:
    """The best trial is the one that the user's score says."""

    class Gap(Counting):
        def score_trial(self, trial: Trial) -> None:
            trial.score = abs((trial.metrics.get_last_value("val_loss") or 0.0) - 0.5)
            trial.best_step = 0

    oracle = Gap(max_trials=3)
    for loss in (0.1, 0.45, 0.9):
        end(oracle, oracle.create_trial("a"), loss)
    assert oracle.get_best_trials()[0].trial_id == "1"
    assert oracle.remaining_trials() == 0
    assert oracle.create_trial("a").status == "STOPPED"


def test_several_objectives_are_summed() -> None:
    """As in Keras Tuner: those to be maximised with a minus."""
    oracle = Counting(objective=["val_loss", "val_accuracy"])
    trial = oracle.create_trial("a")
    oracle.update_trial(trial.trial_id, {"val_loss": 0.5, "val_accuracy": 0.8})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    assert oracle.trials[trial.trial_id].score == pytest.approx(-0.3)


def test_end_trial_takes_an_id_as_it_once_did() -> None:
    """end_trial("0000", "COMPLETED"), as in Keras Tuner 1.2."""
    oracle = Counting()
    trial = oracle.create_trial("a")
    oracle.update_trial(trial.trial_id, {"val_loss": 0.5})
    oracle.end_trial(trial.trial_id, "COMPLETED")
    assert oracle.trials[trial.trial_id].score == 0.5
    assert not oracle.ongoing_trials


def test_one_thread_at_a_time() -> None:
    """Decorated methods of one oracle wait for each other, over classes; those of two do not."""
    inside: list[str] = []
    meeting = threading.Barrier(2, timeout=10)

    class Slow(Counting):
        @kt.synchronized
        def create_trial(self, tuner_id: str) -> Trial:
            inside.append(tuner_id)
            if tuner_id.startswith("meets"):
                meeting.wait()
            trial = super().create_trial(tuner_id)
            inside.append(tuner_id)
            return trial

    def all_at_once(pairs: list[tuple[Any, str]]) -> None:
        threads = [threading.Thread(target=oracle.create_trial, args=(name,)) for oracle, name in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    oracle = Slow()
    all_at_once([(oracle, str(i)) for i in range(8)])
    assert inside[::2] == inside[1::2]
    assert len(inside) == 16
    all_at_once([(Slow(), "meets 0"), (Slow(), "meets 1")])
