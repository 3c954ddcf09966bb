"""What Keras Tuner 1.4 is known to get wrong, each defect under its name.

Two more stand beside what they are about: the optimizer's state at a promotion in `trial/fitting/test_state.py`,
bit for bit, and what failures do to a rung in `oracles/test_hyperband.py`, for every order of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpusched import HyperParameters, Objective
from gpusched.core.commands import Finish, Launch
from gpusched.core.events import JobEnded, SessionOpened, SlotInfo
from gpusched.core.outcome import End
from gpusched.core.policy import Policy
from gpusched.core.search import Search
from gpusched.oracles import ORACLES, BayesianOptimization, Done, Hyperband, Job, Oracle, RandomSearch

LOSS = Objective("loss", "min")


def space() -> HyperParameters:
    hp = HyperParameters()
    hp.Float("x", 0, 1)
    hp.Choice("kind", ["a", "b", "c"])
    return hp


def six() -> HyperParameters:
    hp = HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    hp.Boolean("flag")
    return hp


def jobs(oracle: Oracle) -> Iterator[Job]:
    """One at a time to the end; a trial's loss is its id."""
    while not isinstance(answer := oracle.ask(), Done):
        assert isinstance(answer, Job)
        yield answer
        oracle.tell(answer, [float(answer.trial_id)] * (answer.stop_epoch - answer.start_epoch))


@pytest.mark.parametrize("algorithm", sorted(ORACLES.keys() - {"grid"}))
def test_seed_0_is_a_seed(algorithm: str) -> None:
    """It decides the values as any other seed does, and another seed decides others."""

    def values(seed: int) -> list[dict[str, Any]]:
        oracle = ORACLES[algorithm](space(), LOSS, seed=seed, max_epochs=3)
        return [job.values for job, _ in zip(jobs(oracle), range(8), strict=False)]

    assert values(0) == values(0)
    assert values(0) != values(1)


def test_bayesian_search_never_repeats_a_configuration() -> None:
    """Of six possible ones it proposes six, and ends."""
    oracle = BayesianOptimization(six(), LOSS, max_epochs=1, max_trials=50, seed=1)
    tried = [tuple(job.values.values()) for job in jobs(oracle)]
    assert (len(tried), len(set(tried))) == (6, 6)


def test_bayesian_search_goes_on_when_a_hyperparameter_appears_late() -> None:
    """Trials from before it take part in the model, and those after it have it."""
    oracle = BayesianOptimization(space(), LOSS, max_epochs=1, max_trials=20, seed=1)
    late = HyperParameters()
    late.Float("momentum", 0, 1)
    values = []
    for job in jobs(oracle):
        values.append(job.values)
        if job.trial_id == 9:
            oracle.extend(9, late.space)
    assert [("momentum" in each) for each in values] == [False] * 10 + [True] * 10
    assert len({each["momentum"] for each in values[10:]}) == 10


def test_hyperband_halves_in_a_space_of_six() -> None:
    """It goes on to the last rung with the configurations there are, and to all its budget for the best."""
    ends = [(job.trial_id, job.stop_epoch) for job in jobs(Hyperband(six(), LOSS, max_epochs=9, factor=3, seed=1))]
    assert len({trial for trial, _ in ends}) == 6
    assert {stop for _, stop in ends} == {1, 3, 9}


def test_models_that_are_too_large_are_no_failures() -> None:
    """However many in a row there are: the search goes on to its last trial."""
    search = Search(RandomSearch(space(), LOSS, max_epochs=1, max_trials=9, seed=1), Policy(max_consecutive_failed=2))
    opened = SessionOpened(at=0.0, wall=0.0, pid=1, slots=[SlotInfo(index=0, devices=("cpu",))], max_trials=9)
    commands, at = search.handle(opened), 0.0
    ends: list[End] = []
    while launches := [each for each in commands if isinstance(each, Launch)]:
        at += 1
        last = launches[0].trial == 8
        ends.append(End.COMPLETED if last else End.OVERSIZE)
        commands = search.handle(
            JobEnded(
                at=at, trial=launches[0].trial, attempt=1, end=ends[-1], epochs=int(last), scores={"loss": [1.0] * last}
            )
        )
    assert ends == [End.OVERSIZE] * 8 + [End.COMPLETED]
    assert [each.code for each in commands if isinstance(each, Finish)] == [0]


def test_hp_values_hold_the_user_s_hyperparameters_alone(loop: Callable[..., Any]) -> None:
    """Nothing of the algorithm's own ("tuner/epochs" and its kin) is among them, in a trial or afterwards."""
    script = """
        def train(hp, trial):
            x = hp.Float("x", 0, 1)
            for epoch in range(trial.start_epoch, trial.stop_epoch):
                trial.report(loss=x, values=len(hp.values))
        tuner = gs.Hyperband(train=train, objective="loss", max_epochs=9, factor=3, seed=1, cpu_slots=2)
        tuner.search()
        best = tuner.get_best_hyperparameters()[0]
        seen = max(row["values"] for row in tuner.results())
        print(json.dumps([list(best.values), [each.name for each in best.space], seen]))
    """
    assert loop(script) == [["x"], ["x"], 1]


GRID = """
    def train(hp, trial):
        a, b = hp.Int("a", 1, 3), hp.Boolean("b")
        for epoch in range(trial.start_epoch, trial.stop_epoch):
            with open("ledger", "a") as ledger:
                ledger.write(f"{trial.id}\\n")
            trial.report(loss=a + b)
    tuner = gs.GridSearch(train=train, objective="loss", max_trials=int(sys.argv[1]), cpu_slots=2, project_name="grid")
    tuner.search()
    print(json.dumps(sorted((t.hyperparameters["a"], t.hyperparameters["b"]) for t in tuner.get_best_trials(99))))
"""


def test_grid_search_is_carried_on(loop: Callable[..., Any], tmp_path: Path) -> None:
    """In a second session it goes on behind the trials of the first, and covers the product once."""
    assert len(loop(GRID, "2")) == 2
    assert loop(GRID, "99") == [[a, b] for a in (1, 2, 3) for b in (False, True)]
    assert sorted((tmp_path / "ledger").read_text().split()) == list("012345")


def test_a_truncated_state_file_does_not_end_the_project(loop: Callable[..., Any], tmp_path: Path) -> None:
    """Cut anywhere in its last line, the journal is read as far as it goes, and the search is carried on from there."""
    loop(GRID, "3")
    journal = tmp_path / "runs" / "grid" / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) - 20])
    assert json.loads(content.splitlines()[-1])["type"] == "session_closed"
    assert loop(GRID, "99") == [[a, b] for a in (1, 2, 3) for b in (False, True)]
    assert sorted((tmp_path / "ledger").read_text().split()) == list("012345")
