"""The hyperparameters of user code: which there are, found by trying it, and those that a trial hands to it.

Trying means calling build functions and loops with a stand-in for the training. It may start a
framework's runtime: which process that may do is the caller's business.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusched.errors import (
    FatalTypeError,
    GpuschedError,
    UsageError,
    fails_one_trial,
    fatal_classes,
    name_of_class,
    words_of,
)
from gpusched.hypermodel import build
from gpusched.hyperparameters import HyperParameters, explore, serialize
from gpusched.oracles import CUSTOM
from gpusched.storage.records import JobSpec
from gpusched.system.frames import own_line
from gpusched.trial.tuning.foreseen import Foreseen
from gpusched.trial.tuning.probing import ProbingTrial, untrained_models
from gpusched.trial.tuning.tried import Tried, Untrained

if TYPE_CHECKING:
    from gpusched.trial.task import Task


def discover(task: Task) -> HyperParameters:
    """The search space of a task, conditions and hyperparameters of the training included.

    What build_model raises is passed on. A loop's own exception is shown, in one line, only if no hyperparameter
    was found before it. Raises UsageError where there is nothing to tune.
    """
    asked = task.asked
    given = asked.hyperparameters.copy() if asked.hyperparameters is not None else HyperParameters()
    given.allow_new_entries = asked.allow_new_entries
    hypermodel = asked.hypermodel
    if hypermodel is not None:
        hypermodel.declare_hyperparameters(given)
    failures: list[BaseException] = []
    foreseen = Foreseen(task)
    found = explore(_probe(task, failures, foreseen), given)
    foreseen.check()
    if failures and not found.space:
        raise _told(failures[-1])
    if not asked.tune_new_entries:
        found = given.copy()
    if not found.space and asked.algorithm != CUSTOM:
        raise UsageError(
            'the search has no hyperparameters: ask for one, like hp.Float("learning_rate", 1e-4, 1e-1), '
            "or give hyperparameters="
        )
    found.draw = None
    return found


def _told(error: BaseException) -> UsageError:
    where = own_line(error)
    told = UsageError(f"{f'{where}: ' if where else ''}{name_of_class(error)}: {words_of(error)}")
    told.__cause__ = error
    return told


def _probe(task: Task, failures: list[BaseException], foreseen: Foreseen) -> Callable[[HyperParameters], None]:
    """What asks user code for its hyperparameters once."""
    hypermodel, train = task.asked.hypermodel, task.asked.train
    if train is not None:
        foreseen.loop(train)

    def loop(call: Callable[[], Any]) -> None:
        try:
            call()
        except Tried:
            pass
        except UsageError:
            raise
        except Exception as error:
            if fatal_classes(error):
                raise
            failures.append(error)

    def model_of(hp: HyperParameters) -> Any:
        assert hypermodel is not None
        try:
            return build(hypermodel, hp)
        except Exception as error:
            if not of_one_trial(error):
                raise
            failures.append(error)
            return None

    def probe(hp: HyperParameters) -> None:
        if task.asked.algorithm == CUSTOM:
            # Loops may count on values that the user's own oracle gives beyond the space: trials tell what they ask.
            if hypermodel is not None:
                model_of(hp)
        elif task.own_run_trial:
            before = len(failures)
            if not task.asks_by_build:
                args, kwargs = task.fit_arguments
                with (
                    tempfile.TemporaryDirectory(prefix="gpusched-probe-") as folder,
                    untrained_models(task.tuner.asked),
                    ProbingTrial(hp, hypermodel, task.asked.objectives, Path(folder)) as trial,
                ):
                    loop(lambda: task.tuner.run_trial(trial, *args, **kwargs))
            if hypermodel is not None and (task.asks_by_build or len(failures) > before):
                model_of(hp)
        elif train is not None:
            from gpusched.trial.function import Probing

            with tempfile.TemporaryDirectory(prefix="gpusched-probe-") as folder:
                loop(lambda: train(hp, Probing(hp, Path(folder))))
        elif hypermodel is not None:
            before = len(failures)
            model = model_of(hp)
            if len(failures) > before:
                return
            if model is None:
                raise NoModel("build_model returned None: is its `return model` missing?")
            if not hypermodel.own_fit:
                foreseen.model(model)
            else:
                args, kwargs = task.fit_arguments
                kwargs["callbacks"] = list(kwargs.get("callbacks") or [])
                loop(lambda: hypermodel.fit(hp, Untrained(model), *args, **kwargs))

    return probe


class NoModel(UsageError, FatalTypeError):
    """build_model returned something else than a model."""


def of_one_trial(error: Exception) -> bool:
    """Whether a build function refuses these values, and others may do.

    FailedTrialError says so. So does a ValueError or RuntimeError that user code raises itself; one out of a library
    is more likely a mistake in the code, which is worth telling before the first trial, as is any other exception.
    """
    if fails_one_trial(error):
        return True
    if isinstance(error, GpuschedError) or type(error) not in (ValueError, RuntimeError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "site-packages" not in frames[-1].filename


# ---------------------------------------------------------------------------- in a trial


class TrialSpace:
    """The `hp` of one trial, and what user code asked of it that nobody knew."""

    def __init__(self, task: Task, spec: JobSpec) -> None:
        asked = task.asked
        space = spec.space.get("space", [])
        self.hp = HyperParameters.from_config({"space": space, "values": spec.values})
        self.hp.allow_new_entries = asked.allow_new_entries
        self._tuned = asked.tune_new_entries
        if asked.tune_new_entries:
            # Imported here: trials of a known space never need it.
            def draw(hyperparameter: Any) -> Any:
                from gpusched.oracles.seeded_values import late_value

                return late_value(spec.seed, spec.trial, hyperparameter)

            self.hp.draw = draw

    @property
    def late(self) -> list[dict[str, Any]]:
        """Those to be searched from now on."""
        return [serialize(each) for each in self.hp.discovered] if self._tuned else []

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.hp.values)
