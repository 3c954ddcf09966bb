"""Holds a run directory against its journal: every decision made again, every trial's files compared.

Reads only. A complaint is one line that names the line of the journal or the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusched.core.commands import AnyCommand, Command, Finish, Launch
from gpusched.core.events import Event, JobEnded, SessionClosed, TrialsGivenBack
from gpusched.core.trial import TrialState
from gpusched.errors import GpuschedError
from gpusched.runtime.reader import MISSHAPEN, begin
from gpusched.storage.journal import JournalReader
from gpusched.storage.records import Outcome, TrialRecord
from gpusched.storage.rundir import read_record
from gpusched.trial.checkpoint import States

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: What a scheduler that was killed is given for an exit code by the one that follows it.
_KILLED = 137


@dataclass
class Verdict:
    """What was looked at, and what is wrong with it."""

    events: int = 0
    decisions: int = 0
    trials: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.complaints


def verify(run: Run) -> Verdict:
    """Checks all there is."""
    verdict = Verdict()
    _decisions(run, verdict)
    ends: dict[int, list[JobEnded]] = {}
    for event in run.events:
        if isinstance(event, JobEnded):
            ends.setdefault(event.trial, []).append(event)
        elif isinstance(event, TrialsGivenBack):
            # A failed trial's checkpoint is gone: it trains from its first epoch, and writes its metrics anew.
            for trial in event.trials:
                ends.pop(trial, None)
    for trial in sorted(run.search.trials):
        verdict.trials += 1
        found = _of_trial(run, trial, ends.get(trial, []))
        if found and run.update():
            found = _of_trial(run, trial, ends.get(trial, []))  # It was at work while its files were read.
        verdict.complaints += found
    verdict.complaints += [
        f"{run.dir.trial(trial).path}: the journal knows of no trial {trial}"
        for trial in run.dir.trial_ids()
        if trial not in run.search.trials
    ]
    return verdict


def _decisions(run: Run, verdict: Verdict) -> None:
    """The journal from its first line, with a state machine that has not seen it."""
    search = begin(run.record, run.dir)
    redraw = run.record.arguments.get("sampler", "random") == "random" and run.record.algorithm != "bayesian"
    lines = JournalReader(run.dir.journal).read()
    launches = [line for line in lines if isinstance(line, Launch)]
    if not redraw:
        # A model's draws depend on its library's version: what was drawn is taken from the journal.
        search.oracle.known |= {launch.trial: launch.values for launch in launches}
    elif run.record.imported is not None:
        first = range(run.record.imported.trials)
        search.oracle.known |= {launch.trial: launch.values for launch in launches if launch.trial in first}
    expected: list[AnyCommand] = []
    for number, line in enumerate(lines, 1):
        if isinstance(line, Event):
            verdict.events += 1
            # Killed between an event and its decisions, a scheduler leaves those out; its successor decides anew.
            if expected and not (isinstance(line, SessionClosed) and line.code == _KILLED):
                verdict.complaints.append(f"journal line {number}: missing before it: {_words(expected[0])}")
            try:
                decided = search.handle(line)
            except MISSHAPEN as error:
                verdict.complaints.append(f"journal line {number}: {type(line).__name__} cannot be replayed ({error})")
                return
            expected = [command for command in decided if not isinstance(command, Finish)]
        elif isinstance(line, Command):
            verdict.decisions += 1
            wanted = expected.pop(0) if expected else None
            if line != wanted:
                instead = _words(wanted) if wanted is not None else "no decision"
                verdict.complaints.append(f"journal line {number}: {_words(line)}, where the rules say {instead}")


def _words(command: Any) -> str:
    fields = ", ".join(f"{name}={getattr(command, name)!r}" for name in command.__struct_fields__)
    return f"{type(command).__name__.lower()}({fields})"


def _of_trial(run: Run, trial_id: int, ends: list[JobEnded]) -> list[str]:
    return [*_files(run, trial_id, ends), *_states(run, trial_id)]


def _states(run: Run, trial_id: int) -> Iterator[str]:
    """Checkpoints and weights against their digests; those that are being written are left out."""
    folder = run.dir.trial(trial_id)
    if run.search.trials[trial_id].state is not TrialState.RUNNING:
        yield from filter(None, (States(path).damage for path in (folder.checkpoint, folder.best)))


def _files(run: Run, trial_id: int, ends: list[JobEnded]) -> Iterator[str]:
    folder, trial = run.dir.trial(trial_id), run.search.trials[trial_id]
    try:
        record = read_record(folder.record, TrialRecord)
        outcome = read_record(folder.outcome, Outcome)
    except GpuschedError as error:
        yield str(error)
        return
    if record is None:
        yield f"{folder.record}: is missing"
    else:
        drawn = {name: value for name, value in trial.values.items() if name in record.values}
        if record.trial != trial_id or record.values != drawn:
            yield f"{folder.record}: has other values than the journal"
    if outcome is not None and (outcome.trial != trial_id or outcome.attempt > trial.attempt):
        yield (
            f"{folder.outcome}: is of trial {outcome.trial}, attempt {outcome.attempt}; "
            f"the journal has attempt {trial.attempt} of trial {trial_id}"
        )
    lines = run.metrics(trial_id)
    yield from run.damage.get(trial_id, ())
    for execution in dict.fromkeys(line.get("execution", 0) for line in lines):
        epochs = [line["epoch"] for line in lines if line.get("execution", 0) == execution]
        if epochs != list(range(1, len(epochs) + 1)):
            yield f"{folder.metrics}: epochs of execution {execution} are {_spans(epochs)}, not 1 to {len(epochs)}"
    if not any("execution" in line for line in lines):
        yield from _scores(folder.metrics, ends, {line["epoch"]: line for line in lines})


def _scores(path: Path, ends: list[JobEnded], lines: dict[int, dict[str, Any]]) -> Iterator[str]:
    """What was told to the algorithm against what the trial wrote."""
    for event in ends:
        for name, scores in event.scores.items():
            for epoch, score in enumerate(scores, event.epochs - len(scores) + 1):
                written = lines.get(epoch, {}).get(name)
                if epoch in lines and written != score:
                    yield f"{path}: {name} at epoch {epoch} is {written}, the journal has {score}"
                    return


def _spans(numbers: list[int]) -> str:
    text = ", ".join(map(str, numbers[:12]))
    return text + (", …" if len(numbers) > 12 else "")
