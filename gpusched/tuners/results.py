"""What came of a search, read from its run directory, whoever ran it and wherever it runs.

Knows how a run becomes the objects that Keras Tuner's users expect. Reads only.
"""

from __future__ import annotations

import io
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gpusched.core.trial import LOST, TrialState
from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters, serialize
from gpusched.oracles.samplers.space import Space
from gpusched.printable import tell
from gpusched.runtime.reader import Run
from gpusched.system.notebook import kernel
from gpusched.trial.settings import Asked
from gpusched.tuners.trials import TrialResult, trial_of
from gpusched.ui import words
from gpusched.ui.export.table import rows
from gpusched.ui.notebook import html
from gpusched.ui.notebook.results import Rows, best_trials
from gpusched.ui.notebook.view import ipython
from gpusched.ui.plan import plan_lines
from gpusched.ui.trials.ranking import rule, sorted_trials
from gpusched.ui.watch.plain import summary

if TYPE_CHECKING:
    from gpusched.oracles import Plan


def no_results(path: str) -> UsageError:
    """Says that there is no run to read."""
    return UsageError(f"{path}: there are no results yet; call search() first, or give its directory and name")


class Results:
    """A run as its tuner's user looks at it."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @classmethod
    def open(cls, path: str) -> Results:
        """Raises UsageError where there is no run."""
        if not (Path(path) / "search.json").exists():
            raise no_results(path)
        return cls(Run.open(path))

    @property
    def space(self) -> HyperParameters:
        """All hyperparameters, those found during the search included; its values are their defaults."""
        oracle = self.run.search.oracle
        space = [serialize(each) for each in oracle.space.hyperparameters]
        found = HyperParameters.from_config({"space": space, "values": {}})
        found.draw = lambda hyperparameter: hyperparameter.default
        found.ensure_active_values()
        found.draw = None
        return found

    def trials(self, count: int | None = None) -> list[TrialResult]:
        """The best trials, those in training included, see `ui.trials.ranking.rule`; all where no count is given."""
        space, ranked = self.space, sorted_trials(self.run.search, self.run.metrics)
        return [trial_of(self.run, best.trial, space, best) for best in ranked[:count]]

    def trial(self, trial_id: int) -> TrialResult:
        """Any trial that has been started. Raises UsageError where there is none of this number."""
        if trial_id not in self.run.search.trials:
            raise UsageError(f"trial {trial_id}: there is no such trial in {self.run.dir.path}")
        return trial_of(self.run, trial_id, self.space)

    def rows(self) -> Rows:
        """What `gpusched export` writes. Warns of what is damaged and left out."""
        table = Rows(rows(self.run))
        for lines in self.run.damage.values():
            for line in lines:
                warnings.warn(f"{line}; it is left out here", stacklevel=3)
        return table

    def model(self, asked: Asked, trial: int, build: Callable[[], Any]) -> Any:
        """A trial's model, which `build` makes, with the weights and the optimizer of its best epoch."""
        if asked.hypermodel is None:
            raise UsageError("get_best_models: train= and run_trial build no model that could be loaded")
        import keras

        from gpusched.trial.checkpoint import States
        from gpusched.trial.fitting import state

        best = States(self.run.dir.trial(trial).best)
        file = best.file(".weights.h5")
        if best.damage is not None:
            raise UsageError(f"trial {trial}: its weights cannot be used ({best.damage})")
        if file is None:
            raise UsageError(
                f"trial {trial}: its weights are not kept; keep={asked.keep} trials keep theirs, "
                "give the tuner a larger keep="
            )
        # As in Keras Tuner: the layers are called `dense`, not `dense_4`, whatever was built before.
        keras.backend.clear_session()
        model = build()
        if not state.build_if_possible(model, best.meta() or {}):
            raise UsageError(
                f"trial {trial}: its model cannot be built without data; give the model's class a "
                "build(input_shape), or begin it with keras.Input"
            )
        state.load_weights(model, file)
        return model

    @property
    def remaining(self) -> int | None:
        """Trials that were not started yet; None for a search without end."""
        total = self.run.search.oracle.plan().trials
        return None if total is None else max(0, total - len(self.run.search.trials))

    def summary(self, count: int, file: TextIO | None = None) -> None:
        """Prints the best trials, and how many there are beside them; a notebook shows them as a table."""
        if file is None and kernel():
            text = io.StringIO()
            self._print(count, text)
            ipython()({"text/html": self.html(count), "text/plain": text.getvalue()}, update=False)
        else:
            self._print(count, file or sys.stdout)

    def html(self, count: int) -> str:
        """The best trials, and what came of the search in a line."""
        search = self.run.search
        ranked = sorted_trials(search, self.run.metrics)
        told = html.line(html.bold(self.run.dir.name), html.text(summary(search, ranked[0] if ranked else None)))
        where = html.line(html.faint(f"results in {self.run.dir.path}"))
        return html.page(told, best_trials(ranked[:count], search.oracle.objectives[0].name), where)

    def _print(self, count: int, out: TextIO) -> None:
        search, trials = self.run.search, self.trials(count)
        objectives = ", ".join(each.spec for each in search.oracle.objectives)
        shown = "best trial" if len(trials) == 1 else f"{len(trials)} best trials" if trials else "no trial"
        tell(f"Results summary\nResults in {self.run.dir.path}\nShowing {shown}", out)
        tell(f"Objective: {objectives}", out)
        if len(trials) > 1:
            tell(rule(search.oracle), out)
        for each in trials:
            print(file=out)
            each.summary(out)
        lost = sum(trial.state in LOST for trial in search.trials.values())
        if lost or not trials:
            stopped = any(trial.state is TrialState.STOPPED for trial in search.trials.values())
            of_all = f"{lost} of {words.plural(len(search.trials), 'trial')}"
            failed = f"{of_all} failed{' or were stopped' if stopped else ''}" if lost else "No trial has completed"
            tell(f"\n{failed}: `gpusched status {shlex.quote(str(self.run.dir.path))}` shows why", out)


def space_summary(space: HyperParameters, *, extended: bool = False, file: TextIO | None = None) -> None:
    """Prints every hyperparameter with all that defines it; `extended` says also how many configurations there are."""
    out = file or sys.stdout
    tell(f"Search space summary\nDefault search space size: {len(space.space)}", out)
    if extended:
        count = Space(space).distinct()
        tell(f"Configurations: {'without end' if count is None else count}", out)
    for each in space.space:
        config = each.get_config()
        tell(f"{config.pop('name')} ({type(each).__name__})\n{config}", out)


def plan_summary(plan: Plan, file: TextIO | None = None) -> None:
    """Prints a table of brackets and rungs: trials×epochs."""
    for line in plan_lines(plan):
        tell(line, file or sys.stdout)
