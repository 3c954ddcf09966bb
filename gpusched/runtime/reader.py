"""A run as its files tell it: the same for the scheduler that carries on and for everyone who looks.

Reading never writes into the run directory, and follows a run that another process is working on. What the replay of a
long journal came to is kept for the next reader, see `storage.snapshot`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gpusched.core.commands import AnyCommand, Command, Launch
from gpusched.core.events import AnyEvent, Event, JobEnded, SessionOpened
from gpusched.core.policy import Policy
from gpusched.core.search import Search
from gpusched.core.trial import TrialState
from gpusched.errors import GpuschedError, UsageError
from gpusched.hyperparameters import HyperParameters, serialize
from gpusched.objective import Objective
from gpusched.oracles import KINDS, ORACLES, Oracle
from gpusched.storage.claim import TrialProcess
from gpusched.storage.journal import JournalReader, Line
from gpusched.storage.metrics import lines_of
from gpusched.storage.reading import Unreadable, read, read_content
from gpusched.storage.records import SearchRecord
from gpusched.storage.rundir import RunDir
from gpusched.storage.snapshot import WORTH, keep, restore, uncollected


def build_oracle(record: SearchRecord) -> Oracle:
    """The oracle that a search.json asks for, at its beginning."""
    kind = KINDS.get(record.algorithm)
    if kind is None:
        raise UsageError(f"algorithm: {record.algorithm!r} is unknown; choose one of {', '.join(ORACLES)}")
    objectives = [Objective.from_config(objective) for objective in record.objectives]
    space = HyperParameters.from_config(record.space)
    one_or_more: Any = objectives if len(objectives) > 1 else objectives[0]
    oracle = kind(space, one_or_more, seed=record.seed, **record.arguments)
    sources = [known for known in (record.narrowed, record.imported, record.learned) if known is not None]
    older = [(trial.values, trial.scores) for known in sources for trial in known.older]
    if record.learned is not None:
        oracle.avoid(record.learned.done)
    if older:
        oracle.warm_start(older, first=max(getattr(known, "first", 1) for known in sources))
    return oracle


#: What may go wrong where a file has the shape of its record, and not the content.
MISSHAPEN = (GpuschedError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def begin(record: SearchRecord, run: RunDir) -> Search:
    """The search at its beginning. Raises UsageError where search.json does not describe one."""
    try:
        return Search(build_oracle(record), msgspec.convert(record.policy, Policy))
    except (*MISSHAPEN, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{run.search}: describes no search ({_said(error)}); "
            "restore the file, or start a new search with --restart"
        ) from None


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) if isinstance(error, GpuschedError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class Span:
    """A slot at work on a job, for timelines."""

    slot: int
    trial: int
    attempt: int
    start_epoch: int
    stop_epoch: int
    start: float  #: seconds of running time
    end: float | None  #: None while it runs


class Run:
    """A run directory, its journal replayed as far as it has been read."""

    def __init__(self, rundir: RunDir) -> None:
        self.dir = rundir
        self.record = rundir.read_search()
        kept = restore(rundir)
        self.search = begin(self.record, rundir) if kept is None else kept.search
        self._known = 0 if kept is None else kept.lines  #: lines of the journal that are in the state already
        self.events: list[AnyEvent] = []  #: all so far
        self.launches: list[tuple[float, Launch]] = []  #: every decision to start something, with its time
        self.damage: dict[int, list[str]] = {}  #: what is wrong with metrics that were read, by trial
        self._reader = JournalReader(rundir.journal, intact=0 if kept is None else kept.length)
        if len(self.update()) >= max(WORTH, len(self.events) // 4):
            keep(rundir, self.search, self._reader.offset)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Raises UsageError where there is no readable run."""
        return cls(RunDir(Path(path)))

    @property
    def torn(self) -> bool:
        """Whether the journal's last line is unfinished: it is being written, or a crash tore it."""
        return self._reader.torn

    def update(self) -> list[AnyEvent]:
        """Takes in what the journal has gained; returns the new events."""
        with uncollected():
            lines = self._reader.read()
            if self._known:
                self._note_past(lines[: self._known])
                lines, self._known = lines[self._known :], 0
            oracle = self.search.oracle
            for line in lines:
                if isinstance(line, Launch) and line.trial not in oracle.trials:
                    self._check(line)
                    oracle.known[line.trial] = line.values
            return list(self._replay(lines))

    def _check(self, launch: Launch) -> None:
        """Whoever draws or exports a value makes a float of it."""
        for name, value in launch.values.items():
            if isinstance(value, int) and value.bit_length() > 1000:
                raise UsageError(
                    f"{self.dir.journal}: {name} of trial {launch.trial} is no value of a hyperparameter; "
                    "restore the file, or start a new search with --restart"
                )

    def _note_past(self, lines: list[Line]) -> None:
        """Lines that the state has behind it."""
        at = 0.0
        for line in lines:
            if isinstance(line, Event):
                self.events.append(line)
                at = line.at
            elif isinstance(line, Launch):
                self.launches.append((at, line))

    def _replay(self, lines: list[Line]) -> Iterator[AnyEvent]:
        for line in lines:
            if isinstance(line, Event):
                try:
                    self.search.handle(line)
                except MISSHAPEN as error:
                    raise UsageError(
                        f"{self.dir.journal}: its {type(line).__name__} at {line.at:g} s cannot be replayed "
                        f"({_said(error)}); restore the file, or start a new search with --restart"
                    ) from None
                self.events.append(line)
                yield line
            elif isinstance(line, Launch):
                self.launches.append((self.search.at, line))
            elif not isinstance(line, Command):  # pragma: no cover
                raise AssertionError(line)

    def note(self, event: AnyEvent, decided: list[AnyCommand]) -> None:
        """The scheduler's own doing: `search` has handled the event, and the journal has it."""
        self.events.append(event)
        self.launches += [(event.at, command) for command in decided if isinstance(command, Launch)]

    def space_config(self) -> dict[str, Any]:
        """The space with what was discovered late, as HyperParameters.get_config()."""
        known = self.search.oracle.space
        late = [serialize(hyperparameter) for hyperparameter in known.hyperparameters[known.initial :]]
        return {**self.record.space, "space": [*self.record.space["space"], *late]} if late else self.record.space

    # ------------------------------------------------------------------ for views

    def metrics(self, trial: int) -> list[dict[str, Any]]:
        """The epochs of a trial as trained so far, one dict each; `damage` says what is missing."""
        path = self.dir.trial(trial).metrics
        content = read_content(path)
        found = lines_of(content if isinstance(content, bytes) else b"")
        damage = [content.reason] if isinstance(content, Unreadable) else []
        damage += [f"{path}: line {number} is damaged" for number in found.damaged]
        known = self.search.trials.get(trial)
        if not damage and known is not None and known.state is not TrialState.RUNNING:
            if known.lines is not None and len(found.epochs) != known.lines:
                damage.append(f"{path}: has {len(found.epochs)} epochs, the journal says {known.lines}")
            elif found.epochs and max(line["epoch"] for line in found.epochs) < known.epochs:
                damage.append(f"{path}: ends before epoch {known.epochs}, which the journal has")
            if damage and self._launched_since(trial, known.attempt):
                damage = []
        self.damage.pop(trial, None)
        if damage:
            self.damage[trial] = damage
        return found.epochs

    def _launched_since(self, trial: int, attempt: int) -> bool:
        """Whether the trial trains again since the journal was read: what it reports is not behind it, but ahead."""
        process = read(self.dir.trial(trial).process, TrialProcess)
        return isinstance(process, TrialProcess) and process.attempt > attempt

    @property
    def opened(self) -> SessionOpened | None:
        """The newest session's beginning."""
        return next((event for event in reversed(self.events) if isinstance(event, SessionOpened)), None)

    def _ends(self) -> dict[tuple[int, int], float]:
        """When each attempt left its slot. One whose end nobody saw is over when the next session does not find it."""
        ended = {(event.trial, event.attempt): event.at for event in self.events if isinstance(event, JobEnded)}
        sessions = [event for event in self.events if isinstance(event, SessionOpened)]
        for at, launch in self.launches:
            key = launch.trial, launch.attempt
            if key not in ended:
                missed = [each.at for each in sessions if each.at > at and launch.trial not in each.adopted]
                ended |= dict(zip([key], missed, strict=False))
        return ended

    def spans(self) -> list[Span]:
        """Every stay of a job in a slot, in the order of their starts."""
        ended = self._ends()
        return [
            Span(
                slot=launch.slot,
                trial=launch.trial,
                attempt=launch.attempt,
                start_epoch=launch.start_epoch,
                stop_epoch=launch.stop_epoch,
                start=at,
                end=ended.get((launch.trial, launch.attempt)),
            )
            for at, launch in self.launches
        ]
