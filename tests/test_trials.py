"""A trial as its user holds it."""

import io
import json

from gpusched.hyperparameters import HyperParameters
from gpusched.trials import Trial, TrialStatus


def trial() -> Trial:
    hp = HyperParameters()
    hp.Int("units", 1, 9, default=3)
    made = Trial(hp, "0004", TrialStatus.COMPLETED)
    made.metrics.update("val_loss", 0.5, step=2)
    made.score, made.best_step = 0.5, 2
    return made


def test_a_trial_comes_back_from_its_state(tmp_path):
    """State, file and trial say the same."""
    state = trial().get_state()
    assert json.loads(trial().save(tmp_path / "trial.json")) == state
    assert Trial.from_state(state).get_state() == Trial.load(tmp_path / "trial.json").get_state() == state
    other = Trial(HyperParameters())
    other.reload(tmp_path / "trial.json")
    assert (other.trial_id, other.hyperparameters["units"], other.metrics.get_best_step("val_loss")) == ("0004", 3, 2)


def test_trials_without_an_id_get_one_each():
    """Two trials that are given no id are two trials."""
    assert Trial(HyperParameters()).trial_id != Trial(HyperParameters()).trial_id


def test_the_summary_shows_values_score_and_what_went_wrong():
    """Each on a line; a trial without values says so."""
    out = io.StringIO()
    trial().summary(out)
    Trial(HyperParameters(), "0005", TrialStatus.FAILED, "ValueError: no").summary(out)
    assert out.getvalue().splitlines() == [
        *("Trial 0004 summary", "Hyperparameters:", "units: 3", "Score: 0.5"),
        *("Trial 0005 summary", "Hyperparameters:", "default configuration", "ValueError: no"),
    ]
