"""Where the launcher of a caller's search comes from: what search() was given has to reach the trials.

Three ways, the cheapest that is possible: a fork of the caller, made now or right before a framework's runtime started
in it; what search() was given, pickled; the script, executed again up to that search().
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from gpusched.errors import UsageError
from gpusched.launcher.client import LauncherClient
from gpusched.launcher.loading import launch
from gpusched.launcher.protocol import Load
from gpusched.launcher.source import Held
from gpusched.launcher.standby import answers, standby
from gpusched.launcher.standby.copies import Copy
from gpusched.launcher.standby.forkable import unforkable
from gpusched.launcher.standby.prepared import keep, kept, prepared
from gpusched.launcher.transport import pack
from gpusched.system.notebook import place_of
from gpusched.system.origin import Origin
from gpusched.system.session import BEGAN_IN, script
from gpusched.trial import searching
from gpusched.trial.fitting.defaults import defaults
from gpusched.trial.task import Task, settings

#: What each trial may take to come to its search(), where the launcher could have it pickled.
_LONG_WAY_SECONDS = 4.0


@dataclass(frozen=True)
class LaunchSource:
    """`load` says what is searched; `copy` has it already, or comes to it."""

    load: Load
    copy: Copy | None = None
    notice: str | None = None  #: what the way costs, for people

    async def start(self, load: Load) -> LauncherClient:
        """A launcher. Raises OSError where no process can be started."""
        return await LauncherClient.start(load, self.copy)


@contextmanager
def launch_source(task: Task) -> Iterator[LaunchSource]:
    """How the search of this process reaches its trials, for as long as it lasts.

    Raises UsageError where it can in no way.
    """
    again = _script_again()
    if task.asked.engine == "local":
        if unforkable() is None:
            copy = Copy.make(Held(task), launch)
            try:
                yield LaunchSource(_knowing(again or Load(), task), copy)
            finally:
                keep(copy)
            return
        ready = standby.ready()
        if ready is not None and again is not None and not _is_far(ready, again):
            yield _from_standby(task, ready, _knowing(again, task))
            return
    else:
        ready = None
    try:
        fd = _packed(task)
    except UsageError:
        if again is None:
            raise
        if ready is not None:
            yield _from_standby(task, ready, again)
        else:
            yield LaunchSource(
                again, notice="what search() was given cannot be pickled: trials execute the script again up to it"
            )
        return
    try:
        load = _knowing(Load(pickled_fd=fd, origin=Origin.here()), task)
        yield LaunchSource(load, prepared() if task.keras else kept())
    finally:
        os.close(fd)


def _is_far(ready: standby.Standby, again: Load) -> bool:
    """Whether what stands between the copy and this search() is not to be executed by each trial, if that can be.

    What stands behind a search is the caller's: models fetched and trained, files written.
    """
    return again.nth > 1 or ready.seconds > _LONG_WAY_SECONDS


def _from_standby(task: Task, ready: standby.Standby, again: Load) -> LaunchSource:
    notice = None
    if again.nth > ready.searches + 1:
        notice = "a framework has started in this process: each trial executes what stands between the searches again"
    else:
        notice = ready.notice("the script starts a framework before search()")
    wanted: dict[str, Any] = msgspec.to_builtins(settings(task))
    return LaunchSource(msgspec.structs.replace(again, settings=wanted, answers=answers.given()), ready.copy, notice)


def _knowing(load: Load, task: Task) -> Load:
    """What the tuner's space is, where that is known already and no argument of search() adds to it."""
    space = task.tuner.known_space(task)
    return load if space is None else msgspec.structs.replace(load, space=space.get_config())


def _script_again() -> Load | None:
    """The script of this process, up to the search() that it is at; None where it executes none."""
    path = script()
    if path is None:
        return None
    origin = Origin(folder=BEGAN_IN, module=Origin.here().module)
    return Load(script=str(path), argv=sys.argv[1:], nth=searching.called(), origin=origin)


def _packed(task: Task) -> int:
    given = {f"argument {i} of search()": value for i, value in enumerate(task.args)}
    given |= {f"{name}= of search()": value for name, value in task.kwargs.items()}
    made_by = getattr(task.asked.hypermodel, "function", task.asked.hypermodel)
    named = {_placed(name, part): part for name, part in (given | {"the hypermodel": made_by}).items()}
    keras = defaults() if task.keras else {}
    value = {"tuner": task.tuner, "args": task.args, "kwargs": task.kwargs, "defaults": keras}
    return pack(value, named)


def _placed(name: str, part: Any) -> str:
    place = place_of(part)
    return name if place is None else f"{name} ({place})"
