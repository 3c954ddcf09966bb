"""Which metrics a training will report, as far as that can be told before it: a mistyped objective costs no epoch.

Says nothing where it cannot be sure: of a model that changes what fit reports, of callbacks of the user's own, of a
loop whose reports are not written out. What is missing there is told after the first epoch.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gpusched.errors import UsageError
from gpusched.objective import DEFAULT
from gpusched.trial.tuning.overriding import overridden

if TYPE_CHECKING:
    from gpusched.trial.task import Task

#: Hooks of a tuner by which a training's logs may get other metrics.
_HOOKS = ("on_epoch_end", "on_batch_end", "_build_and_fit_model", "_build_hypermodel", "_try_build")
#: Where validation_split and validation_data stand among fit's arguments, x and y included.
_VALIDATION = (6, 7)


def meant(name: str, there: Iterable[str]) -> str | None:
    """The metric that somebody means who mistypes its name; None where none is like it."""
    close = difflib.get_close_matches(name, list(there), 1)
    return close[0] if close else None


def absent(name: str, there: Iterable[str], hint: str = "") -> str:
    """What to tell of an objective that is not among the metrics that are there."""
    names = list(there)
    like = None if hint else meant(name, names)
    ask = f"did you mean {like!r}? Otherwise " if like is not None else ""
    missing = f"objective {name!r} is not among the metrics ({', '.join(names) or 'none'})"
    return f"{missing}: {ask}name one of them, or report it{hint}"


class Foreseen:
    """The metrics of the models and loops that a search would train."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._names: dict[str, None] | None = {}

    def model(self, model: Any) -> None:
        """One of the models that are built: some hyperparameter may decide on its metrics."""
        self._note(_of_model(self._task, model))

    def loop(self, train: Callable[..., Any]) -> None:
        self._note(_of_loop(train))

    def _note(self, names: Iterable[str] | None) -> None:
        if names is None or self._names is None:
            self._names = None
        else:
            self._names.update(dict.fromkeys(names))

    def check(self) -> None:
        """Raises UsageError for an objective that no training will report, or where none is given and none returned."""
        for objective in self._task.asked.objectives:
            if objective.name == DEFAULT and (self._names or _by_fit(self._task)):
                raise _no_objective(list(self._names or ()))
            if self._names and _base(objective.name) not in map(_base, self._names):
                hint = ""
                if self._task.kind == "keras" and objective.name.startswith("val_") and not _validated(self._names):
                    hint = "; give fit validation_data or validation_split"
                raise UsageError(absent(objective.name, self._names, hint))


def _no_objective(there: list[str]) -> UsageError:
    """Nothing says what is to be optimised, and no number is returned that could be it."""
    like = next((name for name in there if name.startswith("val_")), there[0] if there else "val_loss")
    reported = f" (there are {', '.join(there)})" if there else ""
    return UsageError(
        f"no objective is given: name the metric to optimise{reported}, like objective={like!r}, "
        f"or on the command line --objective {like}"
    )


def _by_fit(task: Task) -> bool:
    """Whether Keras's fit trains, and nothing of the user's own around it."""
    hypermodel = task.asked.hypermodel
    own = overridden(task.tuner, "_build_and_fit_model")
    return task.kind == "keras" and hypermodel is not None and not hypermodel.own_fit and not own


def _validated(names: Iterable[str]) -> bool:
    return any(name.startswith("val_") for name in names)


def _base(name: str) -> str:
    """Keras counts metrics of one class: `auc`, `auc_1`, and begins anew for each trial."""
    return re.sub(r"_\d+$", "", name)


# ---------------------------------------------------------------------------- models


def _of_model(task: Task, model: Any) -> list[str] | None:
    keras = sys.modules.get("keras")
    asked, tuner = task.asked, task.tuner
    plain = keras is not None and isinstance(model, keras.Model) and type(model).__module__.split(".")[0] == "keras"
    if not plain or not getattr(model, "compiled", False) or any(overridden(tuner, hook) for hook in _HOOKS):
        return None
    if len(getattr(model, "outputs", None) or [None]) > 1:
        return None  # Names of outputs stand before those of their metrics.
    fitting = _fitting(task)
    compiled = getattr(model, "_compile_metrics", None)
    if fitting is None:
        return None
    given = [asked.metrics] if asked.metrics is not None else []
    if compiled is not None and asked.metrics is None:
        try:
            given = [compiled._user_metrics, compiled._user_weighted_metrics]
        except AttributeError:
            return None  # Another Keras.
    names = ["loss", *map(_name, _flat(given)), *(each.name for each in model.metrics)]
    own = {"loss": None, **dict.fromkeys(name for name in names if name != "compile_metrics")}
    validated, also = fitting
    return [*own, *(f"val_{name}" for name in own if validated), *also]


def _fitting(task: Task) -> tuple[bool, list[str]] | None:
    """Whether fit validates, and what its callbacks add; None where that is not known, or callbacks are the user's."""
    if not task.loaded or not (task.args or task.kwargs):
        return None  # The space is asked for before search() is called with them.
    args, kwargs = task.fit_arguments
    callbacks = kwargs.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    if len(args) > min(_VALIDATION) - 1 or any(type(each).__module__.split(".")[0] != "keras" for each in callbacks):
        return None
    adding = [name for each in callbacks for name in _adds(each)]
    return kwargs.get("validation_data") is not None or bool(kwargs.get("validation_split")), adding


def _adds(callback: Any) -> list[str]:
    return ["learning_rate"] if type(callback).__name__ in ("LearningRateScheduler", "ReduceLROnPlateau") else []


def _flat(given: Any) -> list[Any]:
    if isinstance(given, Mapping):
        return _flat(list(given.values()))
    if isinstance(given, list | tuple):
        return [one for each in given for one in _flat(each)]
    return [] if given is None else [given]


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


# ---------------------------------------------------------------------------- loops


def _of_loop(train: Callable[..., Any]) -> list[str] | None:
    """The names in its calls of trial.report; None where they are not all written out, or it returns something."""
    if inspect.unwrap(train) is not train:
        return None  # What is wrapped around it may report, too.
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(train))).body[0]
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    arguments = [each.arg for each in (*tree.args.posonlyargs, *tree.args.args)][inspect.ismethod(train) :]
    if len(arguments) < 2:
        return None
    trial, names = arguments[1], list[str]()
    reports: list[ast.Call] = []
    uses = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == trial:
            uses += 1
        elif isinstance(node, ast.Attribute) and _is(node.value, trial):
            uses -= node.attr != "report"
        elif isinstance(node, ast.Call) and _is_report(node.func, trial):
            uses -= 1
            reports.append(node)
    if uses or _returns(tree):
        return None  # What it returns counts, or it is given to another function, or report by another name.
    for call in reports:
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            return None
        names += [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    return names or None


def _returns(function: ast.AST) -> bool:
    """Whether it returns anything itself; what functions in it return is their business."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Return) and node.value is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and _returns(node):
            return True
    return False


def _is_report(node: ast.AST, trial: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "report" and _is(node.value, trial)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
