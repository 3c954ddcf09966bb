"""A search's state as a page to read, and as a dict for programs."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from gpusched.core.events import SessionClosed, TrialsGivenBack
from gpusched.core.policy import Phase
from gpusched.core.trial import stopped_by_hand
from gpusched.storage.files import near
from gpusched.storage.lock import away, name_of
from gpusched.ui import answers, failures, words
from gpusched.ui.draw import best, progress, rung_lines, slots
from gpusched.ui.facts import Facts, Observer
from gpusched.ui.listing import state_word

if TYPE_CHECKING:
    from gpusched.core.slot_queue import Places
    from gpusched.devices import Gpu, Inventory
    from gpusched.runtime.reader import Run

T = TypeVar("T", bound=answers.Answer)


def carry_on(run: Run) -> str:
    """The command that continues a run, as one types it here."""
    script = run.record.script
    if script is None:
        return "run the script or notebook that made it again"
    return shlex.join(["gpusched", "run", *words_to_continue(run)])


def words_to_continue(run: Run) -> list[str]:
    """What stands behind `gpusched run` to continue a run that a script has begun."""
    narrowed, folder = run.record.narrowed, run.dir.path
    named = ["--run", near(folder)]
    if narrowed is not None:
        named = ["--run", near(folder.with_name(narrowed.run)), "--fix-settled"]
    return [near(Path(run.record.script or "")), *named, *run.record.words]


def state(facts: Facts, run: Run, pid: int | None) -> str:
    """The search's state, and the command that continues it."""
    elsewhere = away(run.dir.lock) if pid is None else None
    if elsewhere is not None:
        return f"last run by {name_of(elsewhere)}; whether it still runs cannot be seen from here"
    if pid is None and facts.phase is not Phase.CLOSED:
        return f"not running, its scheduler was killed: continue with `{carry_on(run)}`"
    match facts.phase:
        case Phase.RUNNING:
            return "running"
        case Phase.PAUSED:
            busy = f", {words.plural(len(facts.running), 'trial')} still ending" if facts.running else ""
            return f"paused{busy}: resume with `gpusched resume`"
        case Phase.STOPPING:
            return f"stopping ({words.clean(facts.ending or '')}): running trials end their epoch"
        case Phase.CLOSED if facts.ending is None:
            return f"not started: start with `{carry_on(run)}`"
        case Phase.CLOSED if noted := _given_back(run):
            return f"{words.plural(noted, 'trial')} will be trained again: continue with `{carry_on(run)}`"
        case Phase.CLOSED if facts.code == 0:
            return words.clean(facts.ending or "complete")
        case Phase.CLOSED if facts.code == 130:
            return f"{words.clean(facts.ending or 'stopped')}: continue with `{carry_on(run)}`"
        case _:
            return f"failed: {words.clean(facts.ending or '')}; {_again(facts, run)}"


def _given_back(run: Run) -> int:
    """Trials that are to be trained again once the search is continued."""
    since = itertools.takewhile(lambda event: not isinstance(event, SessionClosed), reversed(run.events))
    return sum(len(event.trials) for event in since if isinstance(event, TrialsGivenBack))


def _again(facts: Facts, run: Run) -> str:
    failed = facts.trials_broken
    if not failed:
        return f"to try again: `{carry_on(run)}`"
    retry = f"gpusched retry {shlex.quote(near(run.dir.path))}"
    return f"to train {'it' if failed == 1 else f'the {failed} trials'} again and go on: `{retry}`"


def _failures(run: Run) -> list[RenderableType]:
    """Why trials failed, by reason, and which were stopped."""
    trials = run.search.trials.values()
    stopped = stopped_by_hand(trials, run.search.oracle)
    told = failures.lines(trials, shlex.quote(near(run.dir.path)))
    lines: list[RenderableType] = [
        Text.assemble(("failed", "yellow"), line.removeprefix("failed")) for line in told[:-1]
    ]
    if stopped:
        lines.append(Text.assemble(("stopped", "yellow"), f" by hand: {failures.spans(stopped)}"))
    lines += [Text(line, style="bright_black") for line in told[-1:]]
    return [Text(""), *lines] if lines else []


def _told(gpu: Gpu, places: Places) -> bool:
    """Whether the search itself says why it is not used."""
    return any(line.startswith(f"gpu {gpu.label}:") for line in (*places.waiting, *places.notes))


def unused(facts: Facts, run: Run, inventory: Inventory | None) -> list[str]:
    """Why devices are idle or not used at all."""
    reasons = []
    table = run.search.slots
    kept = {row.label: table.kept_for(row.slot) for row in facts.rows if row.trial is None and row.slot in table.slots}
    reasons += [f"{label}: kept for trial {trial}, alone" for label, trial in kept.items() if trial is not None]
    idle = [row.label for row in facts.rows if row.trial is None and kept.get(row.label) is None]
    if idle and facts.phase is Phase.RUNNING:
        reasons.append(f"{', '.join(idle)}: idle, what comes next depends on trials still running")
    places = run.search.places
    reasons += [f"{places.label(device)}: {words.clean(reason)}" for device, reason in places.quarantined.items()]
    reasons += [words.clean(reason) for reason in places.waiting]
    known = set(places.quarantined) | {gpu.uuid for gpu in (inventory.gpus if inventory else ()) if _told(gpu, places)}
    if inventory is not None:
        placed = {device for row in facts.rows for device in row.devices}
        for gpu in inventory.gpus:
            if gpu.uuid in known:
                continue
            if gpu.refused:
                reasons.append(f"gpu {gpu.label}: {words.clean(gpu.refused)}")
            elif gpu.uuid not in placed and facts.rows:
                reasons.append(f"gpu {gpu.label}: not asked for by this search")
        if not inventory.gpus:
            reasons += [words.clean(note) for note in inventory.notes]
    return reasons


#: As many columns as any line of the page wants.
WIDE = 1000


def page(run: Run, pid: int | None, width: int = WIDE) -> RenderableType:
    """What `gpusched status` prints on so many columns."""
    from gpusched.devices import inventory

    facts = Observer(run).look(alive=pid is not None)
    lines: list[RenderableType] = [
        Text.assemble((words.clean(facts.name), "bold"), f"  {facts.path}", style=""),
        _fact("state", state(facts, run, pid)),
        _fact("search", f"{facts.algorithm}, {words.clean(facts.objective)} {facts.direction}, seed {run.record.seed}"),
    ]
    if pid is not None:
        lines.append(_fact("process", f"{pid}"))
    left = (
        f", about {words.duration(facts.seconds_left)} left"
        if facts.seconds_left is not None and pid is not None
        else ""
    )
    lines.append(_fact("time", f"{words.duration(facts.seconds)}{left}"))
    lines += [progress(facts, 0), best(facts, width)]
    if facts.epochs_saved:
        lines.append(_fact("saved", f"{words.plural(facts.epochs_saved, 'epoch')} by early stopping"))
    rungs = rung_lines(facts)
    if rungs:
        lines += [Text(""), *rungs]
    if pid is not None and (facts.rows or run.search.places.waiting):
        lines += [Text(""), *([slots(facts, facts.rows, {}, width)] if facts.rows else [])]
        lines += [Text(f"unused: {reason}", style="bright_black") for reason in unused(facts, run, inventory())]
        lines += [Text(words.clean(note), style="bright_black") for note in run.search.places.notes]
    lines += accounts(run)
    lines += _failures(run)
    if run.torn and pid is None:
        lines.append(Text("the journal's last line is torn, as a crash leaves it; it is ignored", style="yellow"))
    return Group(*lines)


#: Trials whose accounts fit a page.
_ACCOUNTS = 5


def accounts(run: Run) -> list[RenderableType]:
    """What trials have used of GPUs: the sum, and those that used most."""
    used = [trial for trial in run.search.trials.values() if trial.gpu_seconds is not None]
    if not used:
        return []
    used.sort(key=lambda trial: -(trial.gpu_seconds or 0.0))
    whole = sum(trial.gpu_seconds or 0.0 for trial in used)
    busy = sum(trial.gpu_busy_seconds for trial in used)
    share = f", {100 * busy / whole:.0f} % of it busy" if whole else ""
    lines: list[RenderableType] = [Text(""), Text(f"GPU time {words.duration(whole)}{share}")]
    for trial in used[:_ACCOUNTS]:
        peak = "" if trial.gpu_peak_bytes is None else f", {words.size(trial.gpu_peak_bytes)} at most"
        load = "" if trial.gpu_utilisation is None else f", {100 * trial.gpu_utilisation:.0f} % busy"
        lines.append(Text(f"trial {trial.id}: {words.duration(trial.gpu_seconds)}{peak}{load}", style="bright_black"))
    if len(used) > _ACCOUNTS:
        lines.append(Text(f"gpusched export has all {len(used)}", style="bright_black"))
    return lines


def _fact(name: str, text: str) -> Text:
    return Text.assemble((f"{name:<8}", "bright_black"), text)


def answer(run: Run, pid: int | None) -> answers.Status:
    """What `gpusched status --json` prints."""
    facts = Observer(run).look(alive=pid is not None)
    found, places = facts.best, run.search.places
    return answers.Status(
        run=str(facts.path),
        state=state_word(run, alive=pid is not None or away(run.dir.lock) is not None),
        reason=facts.ending,
        exit_code=facts.code,
        pid=pid,
        algorithm=facts.algorithm,
        objective=facts.objective,
        direction=_direction(facts),
        seed=run.record.seed,
        seconds=facts.seconds,
        seconds_left=facts.seconds_left,
        trials=answers.Count(
            done=facts.trials_done,
            started=facts.trials_started,
            failed=facts.trials_failed,
            stopped=facts.trials_stopped,
            all=facts.trials_all,
        ),
        epochs=answers.Epochs(done=facts.epochs_done, all=facts.epochs_all, saved=facts.epochs_saved),
        best=None if found is None else _same(found, answers.Leader),
        slots=[
            msgspec.structs.replace(_same(row, answers.Slot), devices=list(row.devices))
            for row in (facts.rows if pid is not None else [])
        ],
        rungs=[
            msgspec.structs.replace(_same(rung, answers.Rung), iteration=rung.iteration + 1, rung=rung.rung + 1)
            for rung in facts.rungs
        ],
        waiting=places.waiting,
        notes=places.notes,
        quarantined=dict(places.quarantined),
        accounts=[
            answers.Account(
                trial=trial.id,
                gpu_seconds=trial.gpu_seconds,
                gpu_peak_bytes=trial.gpu_peak_bytes,
                gpu_utilisation=trial.gpu_utilisation,
            )
            for trial in sorted(run.search.trials.values(), key=lambda trial: trial.id)
            if trial.gpu_seconds is not None
        ],
        failures=[_same(lost, answers.Lost) for lost in facts.failures],
    )


def _same(seen: Any, kind: type[T]) -> T:
    """An answer made of the fields that have the same names here."""
    return kind(**{field.name: getattr(seen, field.name) for field in msgspec.structs.fields(kind)})


def _direction(facts: Facts) -> Any:
    return facts.direction
