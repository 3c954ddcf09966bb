"""A search as its processes hold it: the user's tuner and what was given to `search`; and how a script yields one.

Executing a script is asking it what to search. The `search()` that is meant raises HandOver, so that nothing behind
it runs here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from gpusched.errors import GpuschedError, UsageError, name_of_class, shown, words_of
from gpusched.hypermodel import as_hypermodel
from gpusched.system.origin import working_directory
from gpusched.trial import searching
from gpusched.trial.rest import first_line_behind
from gpusched.trial.settings import RESUMING, Asked, Settings, gpu_names, oracle_arguments, override
from gpusched.trial.space import discover
from gpusched.trial.tuning.overriding import HOOKS, overridden

__all__ = ["HandOver", "Settings", "Task", "Untuned", "discover", "executing", "load_script", "settings"]

_executing: Path | None = None  #: the script that is being executed for a launcher


@dataclass(frozen=True)
class Untuned:
    """Stands in for the tuner that a script does without."""

    asked: Asked


@dataclass
class Task:
    """`tuner` is a tuner of gpusched or Untuned: it has `asked`, and perhaps a `run_trial` of its own.

    `args` and `kwargs` are those of `search`. A function in the place of the data is `load_data`.
    """

    tuner: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    script: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  #: of the command line: they beat the tuner's
    rest: int | None = None  #: the script's line behind search(), where executing it ended
    _loaded: tuple[tuple[Any, ...], dict[str, Any]] | None = field(default=None, repr=False)

    @property
    def asked(self) -> Asked:
        asked: Asked = self.tuner.asked
        return override(asked, self.options) if self.options else asked

    @property
    def load_data(self) -> Callable[[], Any] | None:
        """The function that makes the arguments of fit; None where they were given themselves."""
        first = self.args[0] if self.args else None
        # Arrays, datasets and tensors may be callable in some framework: a function of no arguments is meant.
        if isinstance(first, types.FunctionType | types.MethodType) or type(first).__name__ == "partial":
            return first
        return None

    def load(self) -> None:
        """Calls load_data where there is one, once, and keeps what it returns."""
        if self._loaded is not None:
            return
        load_data = self.load_data
        if load_data is None:
            self._loaded = (self.args, self.kwargs)
            return
        made = load_data()
        args: tuple[Any, ...] = self.args[1:]
        kwargs: dict[str, Any] = {}
        if isinstance(made, Mapping):
            kwargs = dict(made)
        elif isinstance(made, tuple):
            args = (*made, *args)
        elif made is not None:
            args = (made, *args)
        self._loaded = (args, {**kwargs, **self.kwargs})

    @property
    def loaded(self) -> bool:
        """Whether the arguments of fit are there already."""
        return self._loaded is not None or self.load_data is None

    @property
    def fit_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What fit is called with. Loads the data first."""
        self.load()
        assert self._loaded is not None
        args, kwargs = self._loaded
        return args, dict(kwargs)

    @property
    def own_run_trial(self) -> bool:
        """Whether the tuner's class trains its trials itself."""
        return overridden(self.tuner, "run_trial")

    @property
    def keras(self) -> bool:
        """Whether its trials will import Keras."""
        if self.kind == "run_trial":
            wanted = "keras" in sys.modules or getattr(self.tuner, "uses_keras", False)
            return self.asked.hypermodel is not None and wanted
        return self.kind == "keras"

    @property
    def asks_by_build(self) -> bool:
        """Whether all its hyperparameters are those of the hypermodel, so that its run_trial need not be tried."""
        return bool(getattr(self.tuner, "asks_by_build", False))

    @property
    def own_loop(self) -> bool:
        """Whether the user's own code calls fit, or trains without it: what it prints belongs to the search."""
        hypermodel = self.asked.hypermodel
        return self.own_run_trial or (hypermodel is not None and hypermodel.own_fit)

    @property
    def kind(self) -> str:
        """keras, function or run_trial."""
        if self.own_run_trial:
            return "run_trial"
        return "function" if self.asked.train is not None else "keras"


class HandOver(BaseException):
    """The script has come to `search`: here is what it searches. Not an Exception, so that user code lets it pass."""

    def __init__(self, task: Task) -> None:
        super().__init__("the search is handed over")
        self.task = task


def executing() -> Path | None:
    """The script that is being executed to learn what it searches; None outside of load_script."""
    return _executing


# ---------------------------------------------------------------------------- scripts


def load_script(path: Path, argv: Sequence[str] = (), module: str | None = None, nth: int = 1) -> Task:
    """What the nth `search()` of the script searches, found by executing it as `__main__`; as `python -m module` does
    where a module is named.

    Raises UsageError, in one line naming script and line, where it raises, exits, or has nothing to search.
    """
    global _executing
    path = Path(path)
    code = _compile(path)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=str(path), __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = main
    sys.argv = [str(path), *argv]
    folder = str(path.resolve().parent)
    if module is None and sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    begun_in = working_directory()
    before, _executing = _executing, path
    try:
        if module is not None:
            _name(main, module)
        with searching.from_the_start(nth, _hand_over):
            exec(code, main.__dict__)
    except HandOver as handed:
        handed.task.script = path
        handed.task.rest = _rest(path, handed)
        return handed.task
    except SystemExit as stop:
        _refuse(path, stop, f"it ended itself (sys.exit({shown(stop.code)})) before it came to search()")
    except GpuschedError as error:
        _refuse(path, error, str(error))
    except Exception as error:
        _refuse(path, error, f"{name_of_class(error)}: {words_of(error)}")
    finally:
        _executing = before
    if nth > 1:
        raise UsageError(f"{path}: executed again, it does not come to its search() number {nth}")
    task = _task_of(path, main.__dict__)
    if isinstance(task.tuner, Untuned):
        task.tuner.asked.folder = begun_in  # It named no directory: the run is the command's, not the script's.
    task.script = path
    return task


def _rest(path: Path, handed: HandOver) -> int | None:
    frames = traceback.extract_tb(handed.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path) and frame.lineno is not None]
    return first_line_behind(path.read_bytes(), lines)


def _name(main: types.ModuleType, module: str) -> None:
    """Makes it a module of its package, as `python -m` does, so that it can import by relative names."""
    main.__spec__ = importlib.util.find_spec(module)
    main.__package__ = main.__spec__.parent if main.__spec__ is not None else module.rpartition(".")[0]


def _hand_over(task: Task) -> NoReturn:
    raise HandOver(task)


def _compile(path: Path) -> types.CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec")
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such script") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a Python script") from None
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not a Python script ({error})") from None


def _refuse(path: Path, error: BaseException, why: str) -> NoReturn:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    # The traceback stays attached: a launcher writes it into its log.
    raise UsageError(f"{where}: {' '.join(why.split())}") from error


def _task_of(path: Path, names: dict[str, Any]) -> Task:
    """The search of a script that does not call search()."""
    data = names.get("load_data")
    args = (data,) if callable(data) else ()
    tuners = {id(value): value for value in names.values() if _is_tuner(value)}
    tuner = names.get("tuner") if _is_tuner(names.get("tuner")) else None
    if tuner is None and len(tuners) > 1:
        raise UsageError(f"{path}: has {len(tuners)} tuners and calls search() on none; call tuner.search(...) on one")
    tuner = tuner or next(iter(tuners.values()), None)
    if tuner is not None:
        return Task(tuner, args)
    common: dict[str, Any] = {"algorithm": "hyperband", "objective": "val_loss"}
    if callable(names.get("train")):
        return Task(Untuned(Asked(train=names["train"], **common)), args)
    if callable(names.get("build_model")):
        if not args:
            raise UsageError(f"{path}: has build_model but no load_data; add load_data(), or call tuner.search(x, y)")
        return Task(Untuned(Asked(hypermodel=as_hypermodel(names["build_model"]), **common)), args)
    raise UsageError(
        f"{path}: has nothing to search: add build_model(hp) and load_data(), or train(hp, trial), "
        "or a tuner such as gs.Hyperband(build_model, ...)"
    )


def _is_tuner(value: Any) -> bool:
    return not isinstance(value, type) and isinstance(getattr(value, "asked", None), Asked)


# ---------------------------------------------------------------------------- what the scheduler is told


def settings(task: Task, overrides: Mapping[str, Any] | None = None) -> Settings:
    """What a scheduler needs to know. `overrides` are options of the command line; they beat the script.

    Loads the data where only they can tell the number of epochs. Raises UsageError for what cannot be done.
    """
    asked = override(task.asked, overrides or {})
    if asked.gpus_per_trial > 1 and task.keras and _backend() == "torch":
        raise UsageError(
            f"gpus_per_trial={asked.gpus_per_trial}: with torch Keras trains a model on one GPU; leave it at 1, "
            "or choose another backend (KERAS_BACKEND=jax)"
        )
    script = str(task.script.resolve()) if task.script is not None else None
    kind = task.kind
    arguments = oracle_arguments(asked, _epochs(task, asked, overrides or {}))
    return Settings(
        algorithm=asked.algorithm,
        arguments=arguments,
        objectives=[objective.get_config() for objective in asked.objectives],
        seed=asked.seed,
        folder=asked.folder,
        directory=asked.directory or "runs",
        project_name=asked.project_name or (task.script.stem if task.script is not None else default_name()),
        gpus=gpu_names(asked.gpus),
        per_gpu=asked.per_gpu,
        gpus_per_trial=asked.gpus_per_trial,
        cpu_slots=asked.cpu_slots,
        when_busy=asked.when_busy,
        trial_timeout=asked.trial_timeout,  # type: ignore[arg-type]
        max_trials=arguments.get("max_trials"),
        max_time=asked.max_time,  # type: ignore[arg-type]
        overwrite=asked.overwrite,
        max_retries_per_trial=asked.max_retries_per_trial,
        max_consecutive_failed_trials=asked.max_consecutive_failed_trials,
        executions_per_trial=asked.executions_per_trial,
        max_model_size=asked.max_model_size,
        keep=asked.keep,
        checkpoint_every=asked.checkpoint_every,
        engine=asked.engine,
        kind=kind,
        keras=task.keras,
        backend=os.environ.get("KERAS_BACKEND") or None,
        script=script,
        script_digest=digest(task),
        learn_from=asked.learn_from,
        enqueued=getattr(task.tuner, "enqueued", []),
        notify=asked.notify,
        hooks=[name for name in HOOKS if overridden(task.tuner, name)],
        script_rest=task.rest,
    )


def _backend() -> str | None:
    keras = sys.modules.get("keras")
    return os.environ.get("KERAS_BACKEND") if keras is None else keras.config.backend()


def _epochs(task: Task, asked: Asked, overrides: Mapping[str, Any]) -> int | None:
    """The epochs that fit was asked for, where they matter."""
    if asked.algorithm in RESUMING or overrides.get("max_epochs") is not None or task.kind == "function":
        return None
    epochs = task.kwargs.get("epochs")
    if epochs is None and asked.max_epochs is None and task.load_data is not None:
        epochs = task.fit_arguments[1].get("epochs")
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
        raise UsageError(f"epochs: {epochs!r} is not possible; give an integer of at least 1")
    return epochs


def default_name() -> str:
    """The name of a project that was given none: the running script's, or one for sessions without a script."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).stem if file else "search"


def digest(task: Task) -> str | None:
    """A fingerprint of the code that decides what a trial trains, so that an edited one can be warned of."""
    asked = task.asked
    own = type(task.tuner) if task.own_run_trial else None
    parts = [_source(each) for each in (own, asked.train, getattr(asked.hypermodel, "function", None))]
    if asked.hypermodel is not None and not hasattr(asked.hypermodel, "function"):
        parts.append(_source(type(getattr(asked.hypermodel, "like", asked.hypermodel))))
    text = "\n".join(part for part in parts if part)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else None


def _source(what: Any) -> str | None:
    if what is None:
        return None
    try:
        return inspect.getsource(what)
    except (OSError, TypeError):  # Typed in by hand, or built in.
        code = getattr(what, "__code__", None)
        return None if code is None else repr((code.co_code, code.co_names, code.co_varnames))
