"""One plain line an event: for logs of CI, files, and terminals that cannot be drawn on."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gpusched.core.commands import AnyCommand, Finish, Launch
from gpusched.core.events import (
    AnyEvent,
    ConfigurationAdded,
    DeviceFailed,
    JobEnded,
    PauseAsked,
    ResumeAsked,
    SessionClosed,
    SessionOpened,
    SlotsChanged,
    StopAsked,
    TimeExpired,
    TrialHung,
    TrialRetryAsked,
    TrialsGivenBack,
    TrialStopAsked,
)
from gpusched.core.outcome import End
from gpusched.core.policy import Phase
from gpusched.core.search import Search
from gpusched.core.trial import LOST, TrialState, saved_epochs, stopped_by_hand
from gpusched.objective import DEFAULT
from gpusched.oracles import KINDS, Oracle
from gpusched.storage.files import near
from gpusched.storage.rundir import RunDir
from gpusched.ui import failures, words
from gpusched.ui.trials.curves import Curves
from gpusched.ui.trials.ranking import Best, best_of, sign
from gpusched.ui.watch.terminal import Output

if TYPE_CHECKING:
    from gpusched.runtime.reader import Run

#: How often a journal that another process writes, and what trials print, is looked at.
LOOK_SECONDS = 0.2


class Teller:
    """Puts events into words, one line each; none for those that are of no interest to people."""

    #: Whether all that is told stays on a terminal, what went well included.
    whole = False

    def __init__(self) -> None:
        self.named = ""
        self._best: Best | None = None
        self._warned: set[str] = set()
        self._curves: Curves | None = None

    def lines(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> list[str]:
        told = self._tell(event, search)
        added = event.added if isinstance(event, SessionOpened) else ()
        lines = [*([told] if told else []), *map(added_words, added), *self.warnings(event)]
        over = any(isinstance(command, Finish) and command.code == 0 for command in commands)
        if isinstance(event, SessionOpened) and over:
            lines.append(nothing_left(search))
        lines += [self._launched(command, search) for command in commands if isinstance(command, Launch)]
        return [f"[{words.clock(event.at)}] {line}" for line in lines]

    def warnings(self, event: AnyEvent) -> list[str]:
        """What a trial says beside its results, such as that its checkpoint was damaged: each once."""
        if not isinstance(event, JobEnded):
            return []
        new = [each for each in event.warnings if each not in self._warned]
        self._warned.update(new)
        return [f"trial {event.trial}: {each}" for each in new]

    def started(self, run: RunDir) -> list[str]:
        self.look_at(run)
        return [f"run directory: {run.path}"]

    def look_at(self, run: RunDir) -> None:
        """What trials in training have reported is there; `named` is the run, as one types it here."""
        self._curves = Curves(run)
        self.named = shlex.quote(near(run.path))

    def best(self, search: Search) -> Best | None:
        """The best trial so far, those in training included."""
        return best_of(search, self._curves.of if self._curves is not None else lambda _: [])

    def summary(self, search: Search) -> str:
        return summary(search, self.best(search))

    def news(self) -> list[str]:
        """What has come since it was asked last, without an event."""
        return []

    def last(self, event: SessionClosed, search: Search) -> list[str]:
        """What a session ends with: what came of it, why trials failed, and what can be done now."""
        return [self.summary(search), *failures.lines(search.trials.values(), self.named), *self.ending(event.code)]

    def ending(self, code: int) -> list[str]:
        """What a person can do after a session that ended with this code."""
        if code == 130:
            return ["run the same command again to continue"]
        return ["`gpusched best` shows the best trials, `gpusched report` makes a page of it all"] if code == 0 else []

    def launched(self, at: float, launch: Launch, search: Search) -> list[str]:
        return [f"[{words.clock(at)}] {self._launched(launch, search)}"]

    def _tell(self, event: AnyEvent, search: Search) -> str | None:
        match event:
            case SessionOpened():
                slots = words.plural(len(event.slots), "slot")
                labels = ", ".join(slot.label for slot in event.slots[:8]) + (", …" if len(event.slots) > 8 else "")
                again = f", session {search.sessions}" if search.sessions > 1 else ""
                what = f"{intent(search.oracle)} · " if search.sessions == 1 else "search on "
                return f"{what}{slots} ({labels}){again}"
            case SessionClosed():
                return f"search ended: {words.clean(event.reason)}"
            case SlotsChanged():
                return f"devices changed: {words.plural(len(event.slots), 'slot')} now"
            case DeviceFailed():
                return f"{search.places.label(event.device)} is out of use: {words.clean(event.reason)}"
            case TrialHung():
                return f"trial {event.trial}: hangs, {words.clean(event.reason)}; it is ended"
            case TimeExpired():
                return "max_time is used: running trials end their epoch"
            case StopAsked():
                return f"{words.clean(event.reason)}: running trials " + (
                    "are killed" if event.now else "end their epoch"
                )
            case TrialStopAsked():
                return f"trial {event.trial}: stopped by hand" + (", its score so far counts" if event.keep else "")
            case TrialRetryAsked():
                return f"trial {event.trial}: tried again by hand"
            case TrialsGivenBack():
                what = "trial" if len(event.trials) == 1 else f"{len(event.trials)} trials"
                return f"tried again by hand: {what} ({failures.spans(sorted(event.trials))})"
            case ConfigurationAdded():
                return added_words(event.values)
            case PauseAsked():
                return "paused: running trials " + ("are stopped" if event.now else "end their epoch")
            case ResumeAsked():
                return "resumed" if search.phase is Phase.RUNNING else None
            case JobEnded():
                return self._ended(event, search)
            case _:
                return None

    def _launched(self, launch: Launch, search: Search) -> str:
        slot = search.slots.slots.get(launch.slot)
        where = slot.label if slot and slot.label else f"slot {launch.slot}"
        if under_way(launch, search):
            return f"trial {launch.trial}: continues on {where}, to epoch {launch.stop_epoch}"
        again = ", again" if launch.attempt > 1 and not launch.start_epoch else ""
        given = f": {words.values(launch.values)}" if launch.attempt == 1 else ""
        return f"trial {launch.trial}: {epochs_of(launch)} on {where}{again}{given}"

    def _ended(self, event: JobEnded, search: Search) -> str | None:
        trial = search.trials.get(event.trial)
        if trial is None:
            return None
        oracle = search.oracle
        objective = oracle.objectives[0]
        why = words.clean(event.failure.brief) if event.failure else ""
        match event.end:
            case End.COMPLETED:
                seen = oracle.trials[trial.id]
                score = words.score(sign(oracle) * seen.score)
                early = ", stopped itself early" if event.stopped_early else ""
                text = f"trial {trial.id}: {objective.name} {score} after {words.plural(event.epochs, 'epoch')}{early}"
                # Only the best of those that have finished can be the best of all.
                best = self.best(search) if oracle.rank()[:1] == [trial.id] else self._best
                if best is not None and best.trial == trial.id and best != self._best:
                    text += " (best so far)"
                self._best = best
                return text
            case End.INTERRUPTED if trial.stop_asked:
                reached = words.plural(event.epochs, "epoch")
                kept = ", its score counts" if trial.state not in LOST else ", which has no score to keep"
                return f"trial {trial.id}: stopped after {reached}{kept if trial.keep_asked else ''}"
            case End.INTERRUPTED:
                return f"trial {trial.id}: interrupted after {words.plural(event.epochs, 'epoch')}, continues later"
            case End.STOPPED:
                return f"trial {trial.id}: stopped after {words.plural(event.epochs, 'epoch')}"
            case End.OVERSIZE:
                return f"trial {trial.id}: skipped, its model is larger than max_model_size"
            case End.KILLED | End.FAILED | End.FATAL:
                verb = "was killed" if event.end is End.KILLED else "failed"
                again = event.end is not End.FATAL and trial.state in (TrialState.PENDING, TrialState.RUNNING)
                retry = "; it will be tried again" if again else ""
                return f"trial {trial.id}: {verb}{': ' + why if why else ''}{retry}"


class Onlooker(Teller):
    """Tells of a run that another process works on."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self.look_at(run.dir)

    def ending(self, code: int) -> list[str]:
        from gpusched.ui.status import carry_on

        if code != 130:
            return super().ending(code)
        how = carry_on(self._run)
        return [f"continue with `{how}`" if self._run.record.script is not None else f"to continue: {how}"]


class PlainView:
    """A View of lines."""

    def __init__(self, output: Output, teller: Teller | None = None) -> None:
        self._output = output
        self._teller = teller or Teller()

    def message(self, text: str) -> None:
        self._output.line(words.clean(text))

    def started(self, run: RunDir) -> None:
        self._lines(self._teller.started(run))

    def event(self, event: AnyEvent, commands: list[AnyCommand], search: Search) -> None:
        self._lines(self._teller.lines(event, commands, search))
        if isinstance(event, SessionClosed):
            self._lines(self._teller.last(event, search))

    async def show(self, run: Run) -> None:
        while True:
            self._lines(self._teller.news())
            await asyncio.sleep(LOOK_SECONDS)

    def _lines(self, lines: list[str]) -> None:
        for line in lines:
            self._output.line(line)


def under_way(launch: Launch, search: Search) -> bool:
    """Whether an earlier attempt has trained some of the job's epochs: the trial's checkpoint says where it goes on."""
    trial = search.trials.get(launch.trial)
    return launch.attempt > 1 and trial is not None and trial.epochs > launch.start_epoch


def _goal(name: str) -> str:
    return "what it returns" if name == DEFAULT else words.clean(name)


def epochs_of(launch: Launch) -> str:
    """`epochs 4 to 9`, `epoch 1`."""
    first, last = launch.start_epoch + 1, launch.stop_epoch
    return f"epoch {last}" if first == last else f"epochs {first} to {last}"


def intent(oracle: Oracle) -> str:
    """What a search is about to do: `hyperband · maximise val_accuracy · 17 trials, 75 epochs`."""
    name = next((name for name, kind in KINDS.items() if type(oracle) is kind), type(oracle).__name__)
    goals = " and ".join(
        f"{'maximise' if each.direction == 'max' else 'minimise'} {_goal(each.name)}" for each in oracle.objectives
    )
    plan = oracle.plan()
    much = words.plural(plan.trials, "trial") if plan.trials is not None else "trials until it is stopped"
    epochs = f", {words.plural(plan.epochs, 'epoch')}" if plan.epochs is not None else ""
    return f"{name} · {goals} · {much}{epochs}"


def added_words(values: Mapping[str, Any]) -> str:
    """That a person has added a configuration."""
    return f"added by hand: {words.values(values)}"


def nothing_left(search: Search) -> str:
    """Why nothing is trained, and what can be done about it."""
    failed = sum(trial.state in LOST for trial in search.trials.values())
    again = f"--retry-failed trains {words.plural(failed, 'failed trial')} again, " if failed else ""
    return f"nothing is left to train; {again}--restart starts a new search, a larger budget continues this one"


def summary(search: Search, best: Best | None) -> str:
    """What came of it, in one line."""
    name = search.oracle.objectives[0].name
    trials = words.plural(len(search.trials), "trial")
    epochs = words.plural(sum(trial.epochs for trial in search.trials.values()), "epoch")
    if saved := saved_epochs(search.trials.values(), search.oracle):
        epochs += f" (early stopping saved {saved})"
    failed = sum(trial.state in LOST - {TrialState.STOPPED} for trial in search.trials.values())
    lost = words.lost(failed, len(stopped_by_hand(search.trials.values(), search.oracle)))
    head = f"{trials}{f', {lost}' if lost else ''}, {epochs} in {words.duration(search.worked(search.at))}"
    if best is None:
        return f"{head}; no trial has completed"
    return (
        f"{head}; best: trial {best.trial}, {name} {words.score(best.score)} "
        f"at epoch {best.epoch} of {best.budget}: {words.values(best.values)}"
    )


def follow_lines(run: Run, output: Output, *, alive: Callable[[], bool], sleep: Callable[[float], None]) -> int | None:
    """Tells what happens to a run that another process works on. Returns its exit code; None: it ended without one."""
    teller, told = Onlooker(run), len(run.launches)
    while not output.lost:
        going = alive()  # asked first: what is written before the end is read after it
        events = run.update()
        closed = None
        for event in events:
            for line in teller.lines(event, [], run.search):
                output.line(line)
            closed = event if isinstance(event, SessionClosed) else None
        for at, launch in run.launches[told:]:
            for line in teller.launched(at, launch, run.search):
                output.line(line)
        told = len(run.launches)
        if closed is not None:
            for line in teller.last(closed, run.search):
                output.line(line)
            return closed.code
        if not going:
            return None
        sleep(LOOK_SECONDS)
    return None
