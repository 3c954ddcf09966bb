"""The searches that are disturbed: scripts with a loop of their own, now and then one of Keras, and what they come to.

A loop carries a chain of hashes through its checkpoints: an epoch trained from the wrong state has another score, and
so has every epoch after it.
"""

from __future__ import annotations

import math
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpusched.runtime.reader import Run
from gpusched.ui.export.table import rows

#: What the loops that are to fail say, so that their tracebacks are told from others.
MEANT = "meant to fail"

LOOP = """
    import hashlib, time
    import gpusched as gs

    def train(hp, trial):
        rate = hp.Float("rate", 1e-4, 1e-1, sampling="log")
        units = hp.Int("units", 1, 64)
        kind = hp.Choice("kind", ["a", "b", "c"])
        saved = trial.load_checkpoint()
        state = saved.decode() if saved else ""
        for epoch in range(trial.start_epoch, trial.stop_epoch):
            time.sleep({pause} * (1 + units % 3))
            if {failing} and units % 5 == 0:
                raise ValueError("{meant}")
            state = hashlib.sha256(f"{{state}} {{epoch}} {{rate}} {{units}} {{kind}}".encode()).hexdigest()
            print("epoch", epoch, state)
            trial.report(val_loss=int(state[:8], 16) / 2**32 + rate, chain=int(state[8:16], 16))
            if (epoch + 1) % {every} == 0 or epoch + 1 == trial.stop_epoch:
                trial.save_checkpoint(state.encode())

    tuner = gs.{tuner}(train=train, objective="val_loss", {arguments}, seed={seed}, cpu_slots={slots}, gpus="none",
                       max_consecutive_failed_trials=1000)
    if __name__ == "__main__":
        tuner.search()
"""

KERAS = """
    import numpy as np
    import gpusched as gs

    def build_model(hp):
        import keras
        layers = [keras.layers.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 8)), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")), "mse")
        return model

    def load_data():
        x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
        return dict(x=x, y=x.sum(1), validation_split=0.25, verbose=0, shuffle=False)

    tuner = gs.{tuner}(build_model, objective="val_loss", {arguments}, seed={seed}, cpu_slots={slots}, gpus="none")
    if __name__ == "__main__":
        tuner.search(load_data)
"""


@dataclass(frozen=True)
class Search:
    """One search, as drawn."""

    keras: bool
    tuner: str
    arguments: str
    slots: int
    seed: int
    way: str  #: "run": `gpusched run SCRIPT`; "python": `python SCRIPT`
    pause: float  #: seconds, at least, of an epoch
    every: int  #: epochs from one checkpoint to the next
    failing: bool  #: whether some trials raise

    @property
    def words(self) -> str:
        kind = "Keras" if self.keras else "a loop, some trials fail" if self.failing else "a loop"
        return f"{self.tuner}({self.arguments}), {kind}, {self.slots} slots, by `{self.way}`"

    def script(self) -> str:
        fields = {
            name: getattr(self, name) for name in ("pause", "failing", "every", "tuner", "arguments", "seed", "slots")
        }
        return textwrap.dedent(KERAS if self.keras else LOOP).format(**fields, meant=MEANT)


def draw(dice: random.Random, *, keras: bool) -> Search:
    """A search whose result does not depend on which trial ends first."""
    tuner, arguments = dice.choice(
        [
            ("Hyperband", "max_epochs=9, factor=3"),
            ("Hyperband", "max_epochs=4, factor=2, hyperband_iterations=2"),
            ("RandomSearch", f"max_epochs={dice.randint(1, 6)}, max_trials={dice.randint(4, 16)}"),
            ("GridSearch", "max_epochs=2, max_trials=14"),
        ]
    )
    if keras:
        tuner, arguments = dice.choice(
            [("Hyperband", "max_epochs=3, factor=3"), ("RandomSearch", "max_epochs=2, max_trials=4")]
        )
    return Search(
        keras=keras,
        tuner=tuner,
        arguments=arguments,
        slots=dice.randint(1, 4),
        seed=dice.randrange(1000),
        way=dice.choice(("run", "run", "python")),
        pause=dice.choice((0.002, 0.02, 0.05)),
        every=dice.choice((1, 1, 3)),
        failing=dice.random() < 0.2,
    )


@dataclass(frozen=True)
class Result:
    """What a search came to: all that does not depend on time."""

    trials: dict[int, Any]
    ranking: list[int]

    def differences(self, other: Result) -> list[str]:
        """In words; `self` is the calm one."""
        found = [f"trial {i} is lost" for i in self.trials if i not in other.trials]
        found += [f"trial {i} is one too many" for i in other.trials if i not in self.trials]
        for i in self.trials.keys() & other.trials.keys():
            if not _same(self.trials[i], other.trials[i]):
                found.append(f"trial {i}: {self.trials[i]!r} in peace, now {other.trials[i]!r}")
        if self.ranking != other.ranking:
            found.append(f"ranking: {self.ranking} in peace, now {other.ranking}")
        return found


def _same(one: Any, other: Any) -> bool:
    """Equal; numbers of Keras as far as its arithmetic goes."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return bool(one == other)


def result(path: Path) -> Result:
    """Raises GpuschedError where the run cannot be read."""
    run = Run.open(path)
    trials: dict[int, Any] = {}
    for row in rows(run):
        state = (row["state"], [])
        epochs = trials.setdefault(row["trial"], state)[1]
        epochs.append({name: value for name, value in row.items() if name not in ("seconds", "trial", "state")})
    return Result(trials, run.search.oracle.rank())
