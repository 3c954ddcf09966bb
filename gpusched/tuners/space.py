"""The space of a tuner that has not searched yet: found in a fork of this process, so that nothing happens here.

Where this process cannot be forked, a framework's runtime has started in it anyway, and a model may be built here too.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gpusched.errors import GpuschedError, UsageError, raised_again
from gpusched.hyperparameters import HyperParameters
from gpusched.launcher import discovery
from gpusched.launcher.protocol import Found, Refused, decode_reply
from gpusched.launcher.source import Held
from gpusched.launcher.standby.forkable import started, unforkable
from gpusched.trial.task import Task


def discover(tuner: Any) -> HyperParameters:
    """The space of `tuner`. Raises UsageError as a search would."""
    task = Task(tuner)
    reply = _in_fork(task) if unforkable() is None else _here(task)
    if isinstance(reply, Refused):
        raise raised_again(reply.classes, reply.message) or UsageError(reply.message)
    if not isinstance(reply, Found):
        raise GpuschedError("the process that looked for the hyperparameters has ended; see what it printed")
    return HyperParameters.from_config(reply.space)


def discover_here(task: Task) -> HyperParameters | None:
    """The same where a framework that has started in this process makes that quicker than in any other; else None.

    None too where it cannot be found: a launcher says why, in full.
    """
    # What else this process does meanwhile would not be seen: building is kept quiet.
    if started() is None or threading.active_count() > 1:
        return None
    reply = _here(task)
    return HyperParameters.from_config(reply.space) if isinstance(reply, Found) else None


def _in_fork(task: Task) -> Any:
    looking = discovery.by_fork(task, Held(task), ())
    with open(looking.pipe, "rb") as pipe:
        said = pipe.read()
    os.waitpid(looking.pid, 0)
    return decode_reply.decode(said) if said.endswith(b"\n") else None


def _here(task: Task) -> Any:
    with _on_the_cpu():
        return discovery.find(lambda: task)


def _on_the_cpu() -> AbstractContextManager[Any]:
    """A model that is built for its hyperparameters alone takes no memory of a GPU."""
    keras = sys.modules.get("keras")
    return nullcontext() if keras is None else keras.device("cpu")
