"""The virtual clock: the real decisions, without waiting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpusched import HyperParameters, Objective, simulate
from gpusched.engines.simulated import Simulation
from gpusched.errors import UsageError
from gpusched.oracles import Hyperband, RandomSearch


def space() -> HyperParameters:
    hp = HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    return hp


def uneven(seed: int, slots: int, max_epochs: int = 81) -> Simulation:
    """81/3 Hyperband whose trials take 0.5 to 1.5 seconds an epoch, with scores that differ by trial and epoch."""
    oracle = Hyperband(space(), Objective("val_loss", "min"), max_epochs=max_epochs, factor=3, seed=seed)
    draws = np.random.default_rng(seed).random((1000, 2))
    return simulate(
        oracle,
        slots,
        lambda trial, values: 0.5 + draws[trial, 0],
        lambda trial, values, epoch: float(draws[trial, 1] + values["lr"] + 1 / epoch),
    )


def promoted(run: Simulation) -> list[tuple[int, int, int]]:
    return sorted((span.trial, span.start_epoch, span.stop_epoch) for span in run.spans)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_trials_are_promoted_on_any_number_of_slots(seed: int) -> None:
    """1, 2, 4 and 8 slots train the same trials for the same epochs, and name the same best."""
    runs = [uneven(seed, slots) for slots in (1, 2, 4, 8)]
    assert len(promoted(runs[0])) == 211
    for other in runs[1:]:
        assert promoted(other) == promoted(runs[0])
        assert other.best == runs[0].best


@pytest.mark.parametrize(("slots", "least"), [(4, 0.93), (8, 0.88)])
def test_slots_are_kept_busy(slots: int, least: float) -> None:
    """81/3 with trials of unequal speed, over 30 seeds: busier than Keras Tuner's order keeps them (.93 and .85)."""
    assert np.mean([uneven(seed, slots).busy for seed in range(30)]) >= least


def test_no_slot_runs_two_jobs_at_once_and_no_trial_runs_twice_at_once() -> None:
    """Spans of a slot do not overlap, nor do those of a trial."""
    spans = uneven(0, 8).spans
    for key in ("slot", "trial"):
        last: dict[int, float] = {}
        for span in sorted(spans, key=lambda span: span.start):
            assert span.start >= last.get(getattr(span, key), 0.0)
            last[getattr(span, key)] = span.end


def test_figures_of_a_search_that_can_be_counted_by_hand() -> None:
    """Three trials of two epochs on two slots, a second each to start: makespan, busy, spans and best."""
    oracle = RandomSearch(space(), Objective("acc", "max"), max_epochs=2, max_trials=3, seed=1)
    run = simulate(oracle, 2, lambda trial, values: 1.0 + trial, lambda trial, values, epoch: trial + epoch / 10, 1.0)
    assert [tuple(span) for span in run.spans] == [
        (0, 0, 0, 2, 0.0, 3.0),
        (1, 1, 0, 2, 0.0, 5.0),
        (0, 2, 0, 2, 3.0, 10.0),
    ]
    assert (run.makespan, run.busy, run.jobs) == (10.0, 15.0 / 20.0, 3)
    assert run.best is not None
    assert (run.best.trial, run.best.score, run.best.epochs) == (2, 2.2, 2)


@pytest.mark.parametrize("bad", [{"slots": 0}, {"iterations": None}])
def test_what_cannot_be_simulated_is_said(bad: dict[str, Any]) -> None:
    """No slots, or a search without end."""
    iterations = bad.pop("iterations", 1)
    oracle = Hyperband(space(), Objective("val_loss", "min"), max_epochs=9, iterations=iterations)
    with pytest.raises(UsageError, match="give"):
        simulate(oracle, **bad)
