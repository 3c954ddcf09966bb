"""The face that scripts and notebooks talk to: what to search, the search itself, and what came of it.

Holds what was asked for and knows where the run is; the search happens in other processes, and
what came of it is read from the run directory.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import inspect
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusched.errors import UsageError
from gpusched.hypermodel import HyperModel, as_hypermodel
from gpusched.hyperparameters import HyperParameters
from gpusched.objective import MultiObjective
from gpusched.system.early import Interruptible
from gpusched.system.origin import working_directory
from gpusched.trial import searching
from gpusched.trial.settings import Asked, refuse_idle, renamed
from gpusched.trial.task import Task, default_name
from gpusched.trial.tuning.overriding import overridden, standard
from gpusched.trial.tuning.trial import current
from gpusched.tuners.attributes import Given, plain_values
from gpusched.tuners.hooks import Hooks
from gpusched.tuners.oracle import Oracle
from gpusched.tuners.oracle.given import oracle_of, taken

if TYPE_CHECKING:
    from gpusched.oracles import Plan
    from gpusched.tuners.results import Results

#: What every tuner takes by name, besides the arguments of its algorithm.
COMMON = (
    *("train", "max_epochs", "max_trials", "max_model_size", "optimizer", "loss", "metrics", "distribution_strategy"),
    *("directory", "project_name", "overwrite", "executions_per_trial", "gpus", "per_gpu", "gpus_per_trial"),
    *("cpu_slots", "when_busy", "max_time", "trial_timeout", "engine", "sampler", "keep", "checkpoint_every"),
    "notify",
    "learn_from",
)
#: Keras Tuner says the same.
LOGGER = "logger= has no effect any more; log in on_trial_end"


class BaseTuner(Hooks):
    """Root of the tuners.

    Args:
        oracle: decides what is tried: an Oracle, or the name of an algorithm.
        train: a loop train(hp, trial) of your own in the hypermodel's place.
        max_epochs: of each trial, for algorithms that train all of them in full.
        directory, project_name: the run directory is directory/project_name, from the working directory; "runs" and
            the script's name where they are not given.
        overwrite: True: an older run of that name is moved aside.
        executions_per_trial: trainings of each trial, whose scores are averaged.
        max_model_size: models with more parameters are not trained.
        optimizer, loss, metrics: in the place of those the model was compiled with.
        distribution_strategy: "mirrored", "data_parallel", a tf.distribute.Strategy, which each trial makes again over
            its own GPUs, or a function that makes one.
        gpus: "all", "none", or indices and UUIDs.
        per_gpu: trials at once on one GPU; "auto": as many as fit its memory, by what trials turn out to need.
        gpus_per_trial: GPUs of one trial.
        cpu_slots: where there is no GPU: trials at once; one for each physical core where it is not given.
        when_busy: what to do about GPUs that others compute on: "wait", "skip" or "share".
        max_time: seconds of running, or text like "2h".
        trial_timeout: a trial that reports no epoch for so long is ended, and tried once more; as max_time.
        engine: "local" or "ray".
        keep: so many best trials keep their checkpoints.
        checkpoint_every: "rung" or "epoch".
        notify: who is told when the search ends: "bell", "command:..." or a URL that apprise knows; or several of them.
        learn_from: an older run whose results a new search starts from; its space may be another.

    Raises UsageError for a value that cannot be meant.
    """

    def __init__(self, oracle: Any = None, hypermodel: Any = None, **asked: Any) -> None:
        algorithm, asked, self._oracle = taken(oracle, renamed(asked))
        self.tuner_id = asked.pop("tuner_id", None) or self.tuner_id
        self.logger = asked.pop("logger", None)
        if self.logger is not None:
            warnings.warn(LOGGER, DeprecationWarning, stacklevel=3)
        fields = {field.name for field in dataclasses.fields(Asked) if field.init}
        unknown = [name for name in asked if name not in fields]
        if unknown:
            names = [
                name for name in inspect.signature(type(self).__init__).parameters if name not in ("self", "kwargs")
            ]
            close = difflib.get_close_matches(unknown[0], [*names, *COMMON], 1)
            raise UsageError(
                f"{type(self).__name__}: there is no argument {', '.join(map(repr, unknown))}"
                + (f"; did you mean {close[0]}?" if close else f"; there are {', '.join([*names, *sorted(COMMON)])}")
            )
        refuse_idle(algorithm, asked)
        # Now: in another process __main__ is another script.
        asked["project_name"] = asked.get("project_name") or default_name()
        self.asked = Asked(algorithm=algorithm, hypermodel=as_hypermodel(hypermodel), **asked)
        if asked.get("directory") is not None:
            self.directory = asked["directory"]
        self.enqueued: list[dict[str, Any]] = []  #: what enqueue was given
        self._found: HyperParameters | None = None
        self._attach()
        if self.asked.hypermodel is None and self.asked.train is None and not overridden(self, "run_trial"):
            raise UsageError(
                f"{type(self).__name__}: no hypermodel; give build_model(hp), or train=train, or override run_trial"
            )
        self._searched = False  #: whether this tuner has searched: with overwrite, what was there before is nothing
        if not searching.awaiting() and self._has_run:
            self._meet_older()

    # ------------------------------------------------------------------ what it is

    @property
    def hypermodel(self) -> HyperModel | None:
        return self.asked.hypermodel

    @hypermodel.setter
    def hypermodel(self, given: Any) -> None:
        self.asked.hypermodel = as_hypermodel(given)

    @Given
    def objective(self) -> Any:
        """The Objective; a MultiObjective, which can be iterated, where there are several."""
        objectives = self.asked.objectives
        return MultiObjective(objectives) if len(objectives) > 1 else objectives[0]

    @Given
    def seed(self) -> int | None:
        return self.asked.seed

    @Given
    def executions_per_trial(self) -> int:
        return self.asked.executions_per_trial

    @Given
    def directory(self) -> str:
        """As it was given, be it text or a Path."""
        return self.asked.directory or "runs"

    @property
    def project_name(self) -> str:
        return self.asked.project_name or default_name()

    @property
    def project_dir(self) -> str:
        """The run directory, from the working directory; absolute where that was another when the tuner was made."""
        trial = current()
        if trial is not None:  # The command line may have named another than the script.
            return str(trial.run)
        place = Path(self.directory, self.project_name)
        return str(place if self.asked.folder == working_directory() else self.asked.folder / place)

    def get_trial_dir(self, trial_id: int | str) -> str:
        """The folder of one trial."""
        from gpusched.storage.rundir import RunDir

        return str(RunDir(Path(self.project_dir)).trial(int(trial_id)).path)

    @property
    def _has_run(self) -> bool:
        """Whether there is a run to read."""
        from gpusched.storage.rundir import RunDir

        older = self.asked.overwrite and not self._searched and current() is None
        return not older and RunDir(Path(self.project_dir)).exists()

    def _meet_older(self) -> None:
        """Raises UsageError where the older run is another algorithm's; takes back its tuner's state."""
        from gpusched.storage.rundir import RunDir

        try:
            before = RunDir(Path(self.project_dir)).read_search().algorithm
        except UsageError:
            return  # It cannot be read: search() says so, and overwrite=True makes another.
        if before != self.asked.algorithm:
            raise UsageError(
                f"{self.project_dir}: holds a search by {before}, not by {self.asked.algorithm}; "
                "give another project_name, or overwrite=True"
            )
        self._restore()

    # ------------------------------------------------------------------ the search

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs the search, or continues it.

        The arguments are those of fit, or a function that returns them. It works in a notebook, where a loop is
        running, as well. Raises SearchFailed where failures ended the search, the FatalError that user code raised, and
        KeyboardInterrupt where it was stopped; it warns where it has ended without one completed trial.
        With verbose=0 nothing is printed here either. What trials print is shown with verbose=2, and where the training
        is your own: an overridden run_trial or HyperModel.fit.
        """
        task = Task(self, fit_args, fit_kwargs)
        self._searched = True  # Here or, where this is a trial of a later search, by the caller.
        if searching.meet(task):
            return
        with Interruptible():
            from gpusched.runtime import entry
            from gpusched.tuners.calling import calling
            from gpusched.ui.notify.view import Notifying
            from gpusched.ui.watch.view import for_tuner

            with calling(self, for_tuner(fit_kwargs.get("verbose"), own_loop=task.own_loop)) as view:
                told = Notifying(view)
                try:
                    entry.search(task, view=told)
                finally:
                    told.ended(sys.exception())

    async def search_async(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """The same within a running loop of asyncio."""
        task = Task(self, fit_args, fit_kwargs)
        self._searched = True  # Here or, where this is a trial of a later search, by the caller.
        if searching.meet(task):
            return
        from gpusched.runtime import entry
        from gpusched.tuners.calling import calling
        from gpusched.ui.notify.view import Notifying
        from gpusched.ui.watch.view import for_tuner

        with calling(self, for_tuner(fit_kwargs.get("verbose"), own_loop=task.own_loop)) as view:
            told = Notifying(view)
            try:
                await entry.search_async(task, view=told)
            finally:
                await asyncio.to_thread(told.ended, sys.exception())

    def enqueue(self, values: HyperParameters | Mapping[str, Any]) -> None:
        """Has search() try this configuration; what it leaves out is drawn.

        It takes the place of the next new trial, or is one more where all have been started. A search that is continued
        tries it once, though the script says it again. search() raises UsageError for what the space does not have.
        """
        self.enqueued.append(plain_values(values))

    # ------------------------------------------------------------------ what came of it

    def _results(self) -> Results:
        from gpusched.tuners.results import Results, no_results

        if not self._has_run:
            raise no_results(self.project_dir)
        return Results.open(self.project_dir)

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[HyperParameters]:
        """Of the best trials, see get_best_trials."""
        return [trial.hyperparameters for trial in self.get_best_trials(num_trials)]

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """The trials with the best scores, which are the best values of the objective at any of their epochs."""
        oracle = self._oracle
        own = oracle is not None and type(oracle).get_best_trials is not Oracle.get_best_trials
        if oracle is not None and (own or (oracle.trials and not self._has_run)):
            return oracle.get_best_trials(num_trials)
        return self._results().trials(num_trials)

    def get_best_models(self, num_models: int = 1) -> list[Any]:
        """The best trials' models, with the weights and the optimizer of their best epochs.

        Loads Keras into this process. Raises UsageError where weights are not kept, or there is no build_model.
        """
        return [self.load_model(trial) for trial in self.get_best_trials(num_models)]

    def load_model(self, trial: Any) -> Any:
        """A trial's model; get_best_models calls it, so that a subclass may load what its save_model has saved."""
        return self._results().model(
            self.asked, int(trial.trial_id), lambda: self._build_hypermodel(trial.hyperparameters)
        )

    @standard
    def _build_hypermodel(self, hp: HyperParameters) -> Any:
        """The model for these values, compiled as this tuner's arguments say; private, and yet overridden."""
        from gpusched.trial.fitting.training import compile_model

        return compile_model(self.asked, hp)

    def results(self) -> list[dict[str, Any]]:
        """A row for each trial, execution and epoch, all with the same columns: pandas.DataFrame(tuner.results())."""
        return self._results().rows()

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials; a notebook shows a table of them."""
        self._results().summary(num_trials)

    def _repr_html_(self) -> str | None:
        """What a notebook shows of it: the best trials, where there are results."""
        return self._results().html(10) if self._has_run else None

    def search_space_summary(self, extended: bool = False) -> None:
        """Prints the hyperparameters; `extended`: also how many configurations there are.

        Before a search it finds them in a process of its own.
        """
        from gpusched.tuners.results import space_summary

        if not searching.awaiting():
            space_summary(self._space(), extended=extended)

    def plan(self) -> Plan | None:
        """Prints and returns what the search will train: brackets, rungs, trials and epochs. Trains nothing."""
        from gpusched.objective import Objective
        from gpusched.oracles import KINDS
        from gpusched.trial.task import settings
        from gpusched.tuners.results import plan_summary

        if searching.awaiting():
            return None
        wanted = settings(Task(self))
        objectives = [Objective.from_config(each) for each in wanted.objectives]
        oracle = KINDS[wanted.algorithm](self._space(), objectives, seed=wanted.seed or 0, **wanted.arguments)
        plan = oracle.plan()
        plan_summary(plan)
        return plan

    def _space(self) -> HyperParameters:
        if self._has_run:
            return self._results().space
        if self._found is None:
            from gpusched.tuners.space import discover

            self._found = discover(self)
        return self._found

    def known_space(self, task: Task) -> HyperParameters | None:
        """The space where `build` alone makes it, and it has been found or takes but a moment to find."""
        hypermodel = self.asked.hypermodel
        if hypermodel is None or hypermodel.own_fit or not getattr(type(self).run_trial, "standard", False):
            return None
        if self._found is None:
            from gpusched.tuners.space import discover_here

            self._found = discover_here(task)
        return self._found

    @property
    def remaining_trials(self) -> int | None:
        """Trials that were not started yet; None where nobody says how many there are."""
        if self._has_run:
            return self._results().remaining
        return self.asked.max_trials

    @property
    def oracle(self) -> Any:
        """Keras Tuner's oracle of this tuner: its trials, space and objective, before the search, in it and after."""
        trial = current()
        if trial is not None:
            from gpusched.tuners.within import TrialOracle

            return TrialOracle(self, trial)
        return self.own_oracle

    @property
    def own_oracle(self) -> Oracle:
        """The oracle that the tuner was given, or one that says what the tuner was asked for."""
        if self._oracle is None:
            self._oracle = oracle_of(self.asked)
            self._attach()
        return self._oracle

    def _attach(self) -> None:
        """Lets the oracle know of this tuner's run."""
        if self._oracle is not None:
            from gpusched.tuners.oracle.view import RunView

            self._oracle._set_project_dir(self.directory, self.project_name)
            self._oracle._view = RunView(self)

    def guide(self, folder: Path) -> Any:
        """What a session asks the user's own oracle by. `folder` is the run directory."""
        from gpusched.tuners.oracle.guide import OracleGuide

        return OracleGuide(self.own_oracle, folder)

    def _space_so_far(self) -> HyperParameters | None:
        """The space where there is a run, or a hypermodel that says it."""
        if self._has_run:
            return self._results().space
        unasked = searching.awaiting() or current() is not None or self.asked.hypermodel is None
        return self._found if unasked else self._space()

    def reload(self) -> None:
        """Makes sure that there is a run to read. It is read anew whenever it is asked for something.

        Raises UsageError where there is none.
        """
        self._results()
        self._restore()
