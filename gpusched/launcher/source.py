"""Where the user's code comes from, and how a process loads it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpusched.errors import GpuschedError
from gpusched.launcher.protocol import Load
from gpusched.trial.quiet import quiet_unless_it_fails

if TYPE_CHECKING:
    from gpusched.trial.task import Task


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

        return load_script(Path(source.script), source.argv, source.origin.module)
    assert source.pickled_fd is not None
    from gpusched.launcher.transport import unpack
    from gpusched.trial.task import Task

    value = unpack(source.pickled_fd)
    return Task(value["tuner"], tuple(value["args"]), dict(value["kwargs"]))


def blame(what: str, error: BaseException) -> str:
    """One line for people: what failed, how, and the line of the user's code it came from."""
    import traceback

    own = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((own, "<frozen"))]
    # The innermost line of what is not installed: that is what its author can mend.
    theirs = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    said = " ".join(str(error).split())
    return f"{what}: {type(error).__name__}{f': {said}' if said else ''}{where}"


def details(error: BaseException) -> str:
    """The traceback of what user code raised; empty where the line that is told says it all."""
    import traceback

    raised = error.__cause__ if isinstance(error, GpuschedError) else error
    if raised is None or isinstance(raised, GpuschedError | SyntaxError | OSError | SystemExit):
        return ""
    return "".join(traceback.format_exception(raised))


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


def unforkable() -> str | None:
    """What in this process would not survive a fork; None where all is well.

    A started TensorFlow, JAX or CUDA runtime has threads and locks that a child inherits half:
    it would hang, or see no GPU.
    """
    context = sys.modules.get("tensorflow.python.eager.context")
    started = getattr(context, "_context", None)
    if started is not None and getattr(started, "_initialized", False):
        return "it started TensorFlow's runtime"
    bridge = sys.modules.get("jax._src.xla_bridge")
    if bridge is not None and getattr(bridge, "_backends", None):
        return "it started JAX's runtime"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "it started torch's CUDA runtime"
    import threading

    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        return f"it started threads ({', '.join(others)})"
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # The listing's own descriptor is gone by now.
        if target.startswith("/dev/nvidia"):
            return f"it opened {target}"
    return None
