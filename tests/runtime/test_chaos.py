"""Many rounds of kill -9 on anything at any moment: the search that comes out is the undisturbed one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

SEARCH = ("--objective", "val_loss", "--cpu-slots", "2", "--seed", "7", "--algorithm", "hyperband", "--max-epochs", "9")
EPOCH = {"EPOCH_SECONDS": "0.01"}


def disturb(lab: Any, until: Callable[..., Any], dice: random.Random, whom: str) -> bool:
    """Starts the search, kills at a random moment; False where it was complete before that."""
    before = len(lab.journal())
    lines = dice.choice((0, 1, 2, 4, 8, 16, 32))
    epochs = len(lab.ledger) + dice.randrange(12)
    scheduler = lab.start(*SEARCH, **EPOCH)
    late = dice.random() < 0.5
    until(
        "the moment to kill",
        lambda: (
            scheduler.poll() is not None or (len(lab.ledger) >= epochs if late else len(lab.journal()) > before + lines)
        ),
    )
    victims: list[int] = []
    match whom:
        case "trials":
            victims = lab.trial_pids()
        case "launcher":
            victims = dice.choice((lab.launchers(), lab.guardians(), lab.launchers() + lab.guardians()))
        case "scheduler":
            victims = [scheduler.pid]
        case "all":
            victims = lab.processes()
            dice.shuffle(victims)
    if scheduler.poll() is None:
        lab.kill(victims)
    if whom in ("scheduler", "all"):
        scheduler.wait(60)
        return scheduler.returncode != 0
    return scheduler.wait(60) != 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_kills_change_nothing(make_lab: Callable[[str], Any], until: Callable[..., Any], seed: int) -> None:
    """Whatever is killed, the ranking is that of the undisturbed search, and no finished job is trained again."""
    calm = make_lab("calm")
    assert calm.finish(*SEARCH, EPOCH_SECONDS="0")[0] == 0
    dice = random.Random(seed)
    rounds = 0
    while rounds < 11:
        lab = make_lab(f"storm {rounds}")
        for _ in range(4):
            whom = dice.choice(("scheduler", "scheduler", "launcher", "trials", "all"))
            finished = done(lab)
            begun = len(lab.ledger)
            rounds += 1
            going = disturb(lab, until, dice, whom)
            assert not finished & {(trial, epoch) for trial, epoch, _ in lab.ledger[begun:]}, (whom, rounds)
            if not going:
                break
        finished, begun = done(lab), len(lab.ledger)
        code, said = lab.finish(*SEARCH, **EPOCH)
        assert code == 0, said
        assert lab.processes() == []
        assert lab.ranking() == calm.ranking()
        assert not finished & {(trial, epoch) for trial, epoch, _ in lab.ledger[begun:]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killing_schedulers_trains_no_epoch_twice(lab: Any, until: Callable[..., Any], seed: int) -> None:
    """However often the scheduler alone is killed, every epoch of the search is trained exactly once."""
    dice = random.Random(seed)
    rounds = 0
    while disturb(lab, until, dice, "scheduler"):
        rounds += 1
    assert rounds >= 3
    assert lab.finish(*SEARCH, **EPOCH)[0] == 0
    assert lab.processes() == []
    epochs = [(trial, epoch) for trial, epoch, _ in lab.ledger]
    assert len(epochs) == len(set(epochs)) == 75


def done(lab: Any) -> set[tuple[int, int]]:
    """(trial, epoch) of every job whose end is in the journal."""
    finished = set()
    for end in lab.events("job_ended"):
        if end["end"] == "completed":
            finished |= {(end["trial"], epoch) for epoch in range(1, end["epochs"] + 1)}
    return finished
