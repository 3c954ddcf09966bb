"""A search that was begun before: what may be different now, and what may not.

Budgets, devices and caps may change. Another seed, space, objective or algorithm would make the
trials so far mean something else, so it is refused by name.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters
from gpusched.runtime import reader
from gpusched.runtime.scheduler import versions
from gpusched.storage.files import make_folder
from gpusched.storage.records import Imported, Learned, Narrowed, SearchRecord
from gpusched.storage.rundir import RunDir, write_record
from gpusched.trial.settings import Settings

_WAY_OUT = "--restart (overwrite=True in Python) starts a new search and keeps this run aside"
#: Budgets: they may change from session to session.
_BUDGETS = {"max_trials"}
#: Arguments that searches begun by older releases were decided without; they go on without.
_NEWER = {"alpha", "beta"}


class Sources(TypedDict, total=False):
    """What a search starts from beside its space."""

    narrowed: Narrowed | None
    imported: Imported | None
    learned: Learned | None


def record_of(settings: Settings, space: dict[str, Any], sources: Sources | None = None) -> SearchRecord:
    """The search.json of a new search. Without a seed one is drawn, and kept."""
    return SearchRecord(
        algorithm=settings.algorithm,
        arguments=settings.arguments,
        objectives=settings.objectives,
        seed=secrets.randbelow(2**31) if settings.seed is None else settings.seed,
        space=space,
        policy={
            "max_retries": settings.max_retries_per_trial,
            "max_consecutive_failed": settings.max_consecutive_failed_trials,
        },
        executions=settings.executions_per_trial,
        script=settings.script,
        script_digest=settings.script_digest,
        words=settings.words,
        backend=settings.backend,
        versions=dict(versions(("gpusched", "keras", "tensorflow", "jax", "torch", "numpy"))),
        created=time.time(),
        start=secrets.token_hex(8),
        **(sources or {}),
    )


def begin(run: RunDir, settings: Settings, space: dict[str, Any], sources: Sources) -> None:
    """Writes search.json. Raises UsageError where the folder does not take it, or nothing would be left to try."""
    record = record_of(settings, space, sources)
    if record.learned is not None and reader.build_oracle(record).plan().trials == 0:
        raise UsageError(f"learn_from: every configuration has been trained in {record.learned.run} already")
    try:
        make_folder(run.path, run.trials.name)
        write_record(run.search, record)
    except OSError as error:
        raise UsageError(f"{run.path}: cannot be written ({error.strerror}); choose another --run") from None


def carry_on(run: RunDir, settings: Settings, space: dict[str, Any]) -> list[str]:
    """Holds what is asked now against what was begun; returns warnings.

    Raises UsageError naming the first thing that may not differ.
    """
    old = run.read_search()
    reader.begin(old, run)  # What describes no search is said to be that, not to differ.
    for name, was, is_now in _differences(old, settings):
        raise UsageError(f"{name}: {run.path} was begun with {was!r}, now it is {is_now!r}; {_WAY_OUT}")
    _same_space(run, old.space, space)
    warnings = []
    if old.script_digest is not None and settings.script_digest not in (None, old.script_digest):
        warnings.append(
            f"the script has been edited since {run.path} was begun: trials from now on train with the new one"
        )
    for name, was in old.versions.items():
        now = versions((name,)).get(name)
        if now is not None and now != was:
            warnings.append(f"{name} is {now} now, and was {was} when the search began")
    policy, executions = record_of(settings, space).policy, settings.executions_per_trial
    renewed = msgspec.structs.replace(
        old, policy=policy, executions=executions, words=settings.words, script=settings.script or old.script
    )
    if renewed != old:
        write_record(run.search, renewed)
    return warnings


def _differences(old: SearchRecord, new: Settings) -> Iterator[tuple[str, Any, Any]]:
    if new.algorithm != old.algorithm:
        yield "algorithm", old.algorithm, new.algorithm
    if new.seed is not None and new.seed != old.seed:
        yield "seed", old.seed, new.seed
    if new.objectives != old.objectives:
        yield "objective", _objectives(old.objectives), _objectives(new.objectives)
    learned = None if old.learned is None else old.learned.run
    if new.learn_from is not None and (learned is None or Path(new.learn_from).name != Path(learned).name):
        yield "learn_from", learned, new.learn_from
    for name in sorted(old.arguments.keys() | new.arguments.keys()):
        if name in _NEWER and name not in old.arguments:
            continue
        was, is_now = old.arguments.get(name), new.arguments.get(name)
        if name not in _BUDGETS and was != is_now:
            yield name, was, is_now


def _objectives(objectives: list[dict[str, str]]) -> str:
    return ", ".join(f"{each['name']}:{each['direction']}" for each in objectives)


def _same_space(run: RunDir, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    was = {h.full_name: h for h in HyperParameters.from_config(dict(old)).space}
    now = {h.full_name: h for h in HyperParameters.from_config(dict(new)).space}
    for name in [*was, *(name for name in now if name not in was)]:
        if was.get(name) != now.get(name):
            before, after = was.get(name, "absent"), now.get(name, "absent")
            raise UsageError(f"space: {name} was {before!r} in {run.path}, and is {after!r} now; {_WAY_OUT}")
