"""Where the user's code comes from, and how a process loads it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gpusched.errors import GpuschedError, encodable, name_of_class, traceback_of, words_of
from gpusched.launcher.protocol import Load
from gpusched.system.streams import quiet_unless_it_fails

if TYPE_CHECKING:
    from gpusched.trial.task import Task


@dataclass(frozen=True)
class Written:
    """Code that any process loads: a script to execute, or what the caller pickled."""

    source: Load


@dataclass(frozen=True)
class Held:
    """What a fork of the caller at its search() has already."""

    held: Task


@dataclass(frozen=True)
class Ahead:
    """What a fork of the caller, made before its search(), comes to by going on with the script."""

    nth: int = 1  #: which search() it is
    answers: tuple[str, ...] = ()  #: what input() has returned in the caller


UserCode: TypeAlias = Written | Held | Ahead


class GoOn(BaseException):
    """Raised in a fork of a caller that is to go on with its script: leaves all of gpusched's that is on the stack.

    `arrive` is called with what the script's nth search() is given and returns the process's exit code; `fail` with
    what the script raises before it comes there.
    """

    def __init__(self, code: Ahead, arrive: Callable[[Task], int], fail: Callable[[BaseException], object]) -> None:
        super().__init__("this process goes on with the script")
        self.nth, self.answers, self.arrive, self.fail = code.nth, code.answers, arrive, fail


def take(code: Written | Held) -> Task:
    """What search() was given, in this process. Raises UsageError where the script or the pickle does not yield it."""
    return code.held if isinstance(code, Held) else load_task(code.source)


def load_task(source: Load) -> Task:
    """Executes the script, or rebuilds what the caller pickled. Raises UsageError where that fails."""
    # First: to unpickle a function is to import the module it is in.
    source.origin.enter()
    task = _task(source)
    task.options = source.options
    return task


def _task(source: Load) -> Task:
    if source.script is not None:
        from gpusched.trial.task import load_script

        return load_script(Path(source.script), source.argv, source.origin.module, source.nth)
    assert source.pickled_fd is not None
    from gpusched.launcher.transport import unpack
    from gpusched.trial.fitting.defaults import set_defaults
    from gpusched.trial.task import Task

    value = unpack(source.pickled_fd)
    set_defaults(value["defaults"])
    return Task(value["tuner"], tuple(value["args"]), dict(value["kwargs"]))


def blame(what: str, error: BaseException) -> str:
    """One line for people: what failed, how, and the line of the user's code it came from."""
    import traceback

    own = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((own, "<frozen"))]
    # The innermost line of what is not installed: that is what its author can mend.
    theirs = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    said = words_of(error)
    return encodable(f"{what}: {name_of_class(error)}{f': {said}' if said else ''}{where}")


def details(error: BaseException) -> str:
    """The traceback of what user code raised; empty where the line that is told says it all."""
    raised = error.__cause__ if isinstance(error, GpuschedError) else error
    if raised is None or isinstance(raised, GpuschedError | SyntaxError | OSError | SystemExit):
        return ""
    return traceback_of(raised)


def import_framework() -> None:
    """Imports Keras, so that every fork has it; wakes no runtime.

    What TensorFlow's libraries print about themselves while they load is shown only where loading fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_unless_it_fails():
        import keras  # noqa: F401


def imports_keras(source: Load) -> bool:
    """Whether a script says by its text that it uses Keras, and leaves the choice of its backend to the environment."""
    if source.script is None:
        return False
    try:
        text = Path(source.script).read_text(errors="replace")
    except OSError:
        return False
    return re.search(r"^\s*(import|from) (keras|tensorflow)\b", text, re.M) is not None and "KERAS_BACKEND" not in text
