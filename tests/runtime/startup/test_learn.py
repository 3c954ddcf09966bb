"""A new search that starts from an older run's results."""

from __future__ import annotations

from typing import Any

from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir
from gpusched.ui.verify import verify

SMALL = """
def train(hp, trial):
    units = hp.Choice("units", [8, 16, 32])
    norm = hp.Boolean("norm")
    for epoch in range(trial.start_epoch, trial.stop_epoch):
        trial.report(val_loss=1 / units + norm / (epoch + 1))
"""
OPTIONS = ("--algorithm", "random", "--objective", "val_loss", "--max-epochs", "2", "--cpu-slots", "2", "--seed", "7")


def opened(lab: Any, name: str) -> Run:
    return Run(RunDir(lab.folder / "runs" / name))


def values(run: Run) -> list[dict[str, Any]]:
    return [trial.values for trial in run.search.trials.values()]


def test_a_model_starts_from_an_older_run_though_the_space_has_changed(lab: Any, options: tuple[str, ...]) -> None:
    """New hyperparameters have their default in the older trials, lost ones are left out, and the best comes first."""
    assert lab.finish(*options)[0] == 0
    older = opened(lab, "search it")
    best = older.search.oracle.trials[older.search.oracle.rank()[0]].values
    lab.write(
        lab.script.read_text()
        .replace('hp.Int("units", 1, 100)', 'hp.Int("depth", 1, 4) + hp.Int("width", 2, 3)')
        .replace("units / 100", "units / 10")
    )
    learn = ("--algorithm", "bayesian", "--max-epochs", "3", "--max-trials", "4", "--cpu-slots", "2", "--seed", "7")
    learn = (*learn, "--objective", "val_loss", "--run", "runs/new")
    code, said = lab.finish(*learn, "--learn-from", "search it")
    assert code == 0, said
    assert "learns from 17 trials of runs/search it; the best one's values are tried first" in said
    assert "depth is new: the older trials count as having 1" in said
    assert "units is gone" in said
    run = opened(lab, "new")
    assert values(run)[0] == {"lr": best["lr"], "depth": 1, "width": 2}
    assert verify(run).complaints == []
    code, said = lab.finish(*learn)  # It is continued without naming it again.
    assert (code, len(values(opened(lab, "new")))) == (0, 4)


def test_random_search_does_not_repeat_an_older_run(lab: Any) -> None:
    """In a space with an end, what has been trained in full is not trained again."""
    lab.write(SMALL)
    assert lab.finish(*OPTIONS, "--max-trials", "4")[0] == 0
    older = values(opened(lab, "search it"))
    code, said = lab.finish(*OPTIONS, "--learn-from", "search it", "--run", "runs/new")
    assert (code, "what they have trained is not repeated" in said) == (0, True)
    new = values(opened(lab, "new"))
    assert len(new) == 2
    assert not [each for each in new if each in older]
    assert verify(opened(lab, "new")).complaints == []


def test_what_cannot_be_learned_from_is_refused(lab: Any) -> None:
    """Another objective, an algorithm that would not look at it, a space that has been tried: nothing is begun."""
    endless = lab.script.read_text()
    lab.write(SMALL)
    assert lab.finish(*OPTIONS)[0] == 0
    other = ("--run", "runs/new", "--learn-from", "runs/search it")
    assert "every configuration has been trained in" in lab.finish(*OPTIONS, *other)[1]
    said = lab.finish(*OPTIONS, "--objective", "val_loss:max", *other)[1]
    assert "was searched for val_loss:min, and this is for val_loss:max" in said
    lab.write(endless)
    assert "as if nothing were known" in lab.finish(*OPTIONS, *other)[1]
    assert not (lab.folder / "runs" / "new").exists()
