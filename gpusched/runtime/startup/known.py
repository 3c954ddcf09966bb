"""Trials that ran elsewhere as the beginning of a search here: in the journal, as if its first session had run them.

An algorithm that trains every trial in full counts them among its own. Hyperband and ASHA decide themselves how far
a trial is trained, so they learn from them instead, and try the best values first.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpusched.core.commands import AnyCommand, Finish, Launch
from gpusched.core.events import AnyEvent, JobEnded, SessionClosed, SessionOpened, SlotInfo
from gpusched.core.outcome import End
from gpusched.core.policy import RULES
from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters, serialize
from gpusched.objective import Objective
from gpusched.oracles import CUSTOM
from gpusched.oracles.samplers.space import Space
from gpusched.runtime.reader import Run
from gpusched.runtime.startup import resume
from gpusched.runtime.startup.keras_tuner import Finished, Project, is_project, read_project
from gpusched.runtime.startup.learn import Learning
from gpusched.storage import metrics
from gpusched.storage.files import make_folder
from gpusched.storage.journal import Journal
from gpusched.storage.records import Imported, Narrowed, Older, SearchRecord, TrialRecord
from gpusched.storage.rundir import RunDir, write_record, write_whole
from gpusched.storage.runs.known import remember
from gpusched.trial.checkpoint import States
from gpusched.trial.settings import RESUMING, Settings


class Known:
    """The trials of a project that fit a search: `record` is for its search.json, `write` is to be called behind it."""

    def __init__(
        self,
        project: Project,
        *,
        algorithm: str,
        objectives: Sequence[Objective],
        max_epochs: int,
        space: dict[str, Any],
    ) -> None:
        """Raises UsageError, in one line, where no trial fits."""
        if len(objectives) > 1:
            raise UsageError(f"{project.path}: trials of several objectives cannot be read from Keras Tuner's files")
        if algorithm == CUSTOM:
            raise UsageError(f"{project.path}: trials of Keras Tuner cannot be told to an oracle of your own")
        self._project, self._objective, self._max_epochs = project, objectives[0], max_epochs
        self._learned = algorithm in RESUMING
        self._space = Space(HyperParameters.from_config(space))
        self._late = Space(project.space)
        self.trials = [trial for trial in project.trials if self._fits(trial)]
        if not self.trials:
            raise UsageError(f"{project.path}: none of its trials is used here ({self._why()})")
        self.left_out = project.unfinished + len(project.trials) - len(self.trials)

    @property
    def record(self) -> Imported:
        path = str(self._project.path.resolve())
        if not self._learned:
            return Imported(project=path, trials=len(self.trials))
        older = []
        longest = max(trial.best_step + 1 for trial in self.trials)
        for number, trial in enumerate(self.trials):
            # Where nothing says how far a trial was trained, all were trained alike.
            epochs = max(trial.epochs or longest, trial.best_step + 1)
            scores = [*[None] * trial.best_step, trial.metrics[self._objective.name]]
            scores += [None] * (epochs - len(scores))
            older.append(Older(trial=number, values=self._own(trial), scores=scores))
        return Imported(project=path, older=older)

    def line(self) -> str:
        """What was read, for people."""
        count = len(self.trials)
        trials = "1 finished trial" if count == 1 else f"{count} finished trials"
        what = "is known, its values are" if count == 1 else "are known, the best one's values are"
        use = f"{what} tried first" if self._learned else "counts here" if count == 1 else "count here"
        failed = f"; {self.left_out} that failed or do not fit are left out" if self.left_out else ""
        return f"{self._project.path} is a Keras Tuner project: its {trials} {use}{failed}"

    def write(self, run: RunDir) -> None:
        """The journal and the trials' folders of a run that has only a search.json."""
        if self._learned:
            return
        search = Run(run).search
        lines: list[AnyEvent | AnyCommand] = []

        def take(event: AnyEvent) -> list[AnyCommand]:
            decided = search.handle(event)
            lines.extend([event, *(command for command in decided if not isinstance(command, Finish))])
            return decided

        met: set[str] = set()
        for number, trial in enumerate(self.trials):
            search.oracle.known[number] = {**self._own(trial), **self._others(trial, met)}
            met |= trial.values.keys()
        slot = SlotInfo(index=0, devices=("cpu",), label="Keras Tuner")
        count = len(self.trials)
        decided = take(
            SessionOpened(at=0.0, wall=time.time(), pid=os.getpid(), slots=[slot], rules=RULES, max_trials=count)
        )
        known = {each.full_name for each in self._space.hyperparameters}
        for number, trial in enumerate(self.trials):
            launch = next((each for each in decided if isinstance(each, Launch) and each.trial == number), None)
            if launch is None:  # The space has no more configurations: those that are left repeat others.
                break
            late = [
                each
                for each in self._late.hyperparameters
                if each.name in trial.values and each.name not in launch.values and each.full_name not in known
            ]
            known |= {each.full_name for each in late}
            decided = take(
                JobEnded(
                    at=0.0,
                    trial=number,
                    attempt=launch.attempt,
                    end=End.COMPLETED,
                    epochs=len(self._scores(trial)),
                    scores={self._objective.name: self._scores(trial)},
                    stopped_early=len(self._scores(trial)) < launch.stop_epoch,
                    late=[serialize(each) for each in late],
                    values=trial.values if late else {},
                )
            )
            self._folder(run, number, trial, launch)
        take(SessionClosed(at=0.0, reason="imported from Keras Tuner", code=0))
        journal = Journal(run.journal)
        journal.append(lines)
        journal.close()

    def _folder(self, run: RunDir, number: int, trial: Finished, launch: Launch) -> None:
        folder = run.make_trial(number)
        write_record(folder.record, TrialRecord(trial=number, values=launch.values), durable=False)
        scores = self._scores(trial)
        before: list[dict[str, Any]] = [{"epoch": epoch, self._objective.name: None} for epoch in range(1, len(scores))]
        metrics.write(folder.metrics, [*before, {"epoch": len(scores), **trial.metrics}])
        write_whole(folder.log, f"imported from {trial.folder}\n".encode(), durable=False)
        if (weights := trial.weights) is not None:
            meta = {"objective": self._objective.name, "value": scores[-1], "execution": 0, "build": trial.build}
            put = {".weights.h5": lambda path: _link(weights, path)}
            States(folder.best).put(len(scores), put, meta, durable=False)

    # ------------------------------------------------------------------ one trial

    def _fits(self, trial: Finished) -> bool:
        return (
            self._objective.name in trial.metrics
            and self._space.fits(self._own(trial))
            and self._late.fits({name: trial.values[name] for name in trial.values if name not in self._names})
        )

    @property
    def _names(self) -> set[str]:
        return {each.name for each in self._space.hyperparameters}

    def _own(self, trial: Finished) -> dict[str, Any]:
        """The values of what the search knows from the start, as far as they are active."""
        return self._active({name: value for name, value in trial.values.items() if name in self._names})

    def _active(self, values: dict[str, Any]) -> dict[str, Any]:
        active = {each.name for each in self._space.hyperparameters if self._space.is_active(each, values)}
        return {name: value for name, value in values.items() if name in active}

    def _others(self, trial: Finished, met: set[str]) -> dict[str, Any]:
        """The values of what only its build function knew, once an earlier trial has brought them in."""
        return {name: value for name, value in trial.values.items() if name not in self._names and name in met}

    def _scores(self, trial: Finished) -> list[float | None]:
        """Of the epochs up to the best one, which alone is known."""
        count = min(trial.best_step + 1, self._max_epochs)
        return [*[None] * (count - 1), trial.metrics[self._objective.name]]

    def _why(self) -> str:
        """Why the first trial is not used."""
        if not self._project.trials:
            return "none has been completed"
        trial = self._project.trials[0]
        if self._objective.name not in trial.metrics:
            return f"they have no {self._objective.name}, only {', '.join(trial.metrics)}"
        try:
            self._space.check(self._own(trial))
        except UsageError as error:
            return str(error).removeprefix("initial: ")
        return "their hyperparameters are others"


def begin(
    run: RunDir,
    settings: Settings,
    space: dict[str, Any],
    narrowed: Narrowed | None = None,
    *,
    restart: bool = False,
    older: Run | None = None,
) -> list[str]:
    """Writes what a new search begins with, the trials of a Keras Tuner project in its folder included.

    `restart` leaves these out. It learns from the trials of an `older` run. Returns lines for people. Raises UsageError
    where the folder does not take it.
    """
    learning = None if older is None else Learning(older, settings, space)
    lines = [] if learning is None else learning.lines()
    known = None
    if is_project(run.path) and narrowed is None and not restart:
        try:
            known = _in_folder(run, settings, space)
            lines.append(known.line())
        except UsageError as why:
            lines.append(f"{why}; the search starts without them")
    sources: resume.Sources = {
        "narrowed": narrowed,
        "imported": None if known is None else known.record,
        "learned": None if learning is None else learning.record,
    }
    resume.begin(run, settings, space, sources)
    if known is not None:
        known.write(run)
    return lines


def import_project(path: Path, run: RunDir, objective: str | None = None) -> str:
    """Makes a run of a project's finished trials; returns a line about it.

    Raises UsageError, with nothing written, where there is a run already, no project, or no trial to import.
    """
    if run.exists():
        raise UsageError(f"{run.path}: there is a run already; name another with --run")
    project = read_project(path)
    parsed: Any = Objective.parse(objective) if objective else project.objective()
    # Hyperband's brackets cannot be told from its files: to look at, its trials are those of a random search.
    algorithm = "bayesian" if project.algorithm == "bayesian" else "random"
    epochs = max((max(trial.epochs or 1, trial.best_step + 1) for trial in project.trials), default=1)
    space = project.space.get_config()
    known = Known(project, algorithm=algorithm, objectives=[parsed], max_epochs=epochs, space=space)
    record = SearchRecord(
        algorithm=algorithm,
        arguments={"max_epochs": epochs, "max_trials": len(known.trials)},
        objectives=[parsed.get_config()],
        seed=project.seed,
        space=space,
        created=time.time(),
        imported=known.record,
    )
    try:
        make_folder(run.path, run.trials.name)
        write_record(run.search, record)
        known.write(run)
    except OSError as error:
        raise UsageError(f"{run.path}: cannot be written ({error.strerror}); name another with --run") from None
    remember(run)
    left_out = f"; {known.left_out} that failed or do not fit are left out" if known.left_out else ""
    count = len(known.trials)
    return f"{run.path}: {count} finished trial{'s' * (count != 1)} of {project.path}, by {parsed.spec}{left_out}"


def _in_folder(run: RunDir, settings: Settings, space: dict[str, Any]) -> Known:
    return Known(
        read_project(run.path),
        algorithm=settings.algorithm,
        objectives=[Objective.from_config(each) for each in settings.objectives],
        max_epochs=settings.arguments.get("max_epochs", 1),
        space=space,
    )


def _link(source: Path, target: Path) -> None:
    """Without a second copy where the file system allows that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
