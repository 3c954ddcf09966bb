"""Facts as a block of lines: pure, from figures to a rich renderable for a given size."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpusched.core.policy import Phase
from gpusched.oracles import RungState
from gpusched.ui import words
from gpusched.ui.facts import Facts, Row
from gpusched.ui.plan import bracket_words
from gpusched.ui.trials.ranking import Best


@dataclass(frozen=True, slots=True)
class Load:
    """What a slot's trial uses: memory, its own, and time of the device, which is the GPU's."""

    used_bytes: int | None = None
    total_bytes: int | None = None
    utilisation: float | None = None  #: 0 … 1; on a CPU slot, of its cores


def bar(done: float, whole: float, width: int) -> Text:
    """`━━━━━───`, in eighths of nothing: whole characters only, so that every font shows it."""
    share = min(1.0, max(0.0, done / whole)) if whole else 0.0
    filled = int(share * width)
    return Text.assemble(("━" * filled, "green" if share >= 1 else "cyan"), ("─" * (width - filled), "bright_black"))


def panel(facts: Facts, load: Mapping[int, Load], width: int, height: int, hint: str = "") -> RenderableType:
    """The whole block. Narrow terminals get fewer columns, low ones fewer rows."""
    head: list[RenderableType] = [title(facts), progress(facts, width), best(facts, width)]
    rungs = rung_lines(facts)
    room = height - len(head) - 4
    rows = [row for row in facts.rows if row.trial is not None]
    rows += [row for row in facts.rows if row.trial is None]
    shown = rows[: max(1, room)]
    if len(rungs) + len(shown) <= room:
        head += rungs
    tail: list[RenderableType] = []
    if len(rows) > len(shown):
        tail.append(Text(f"and {words.plural(len(rows) - len(shown), 'more slot')}", style="bright_black"))
    if lost := words.lost(facts.trials_broken, facts.trials_stopped):
        tail.append(Text(f"trials: {lost}; `gpusched status` says why", style="yellow"))
    if hint:
        tail.append(Text(hint, style="bright_black"))
    return Group(Text(""), *head, Text(""), slots(facts, shown, load, width), *tail)


def title(facts: Facts) -> Text:
    left = f", about {words.duration(facts.seconds_left)} left" if facts.seconds_left is not None else ""
    span = facts.seconds if facts.paused_seconds is None else facts.paused_seconds
    since = "after" if facts.phase is Phase.STOPPING else "for"
    style = {Phase.RUNNING: "green", Phase.PAUSED: "yellow", Phase.STOPPING: "yellow", Phase.CLOSED: "bright_black"}
    state = facts.phase.value if facts.phase is not Phase.CLOSED else (facts.ending or "not running")
    return Text.assemble(
        (words.clean(facts.name), "bold"),
        ("  ", ""),
        (words.clean(state), style[facts.phase]),
        (f" {since} {words.duration(span)}{left}" if facts.phase is not Phase.CLOSED else "", ""),
    )


def progress(facts: Facts, width: int) -> Text:
    trials = f"{facts.trials_done} of {facts.trials_all}" if facts.trials_all else f"{facts.trials_done}"
    epochs = f"{facts.epochs_done} of {facts.epochs_all}" if facts.epochs_all else f"{facts.epochs_done}"
    line = Text.assemble(("trials  ", "bright_black"), f"{trials} done", ("   epochs  ", "bright_black"), epochs)
    if facts.epochs_all and width >= 72:
        line.append("  ")
        line.append_text(bar(facts.epochs_done, facts.epochs_all, min(40, width - 50)))
        line.append(f" {100 * facts.epochs_done // facts.epochs_all} %")
    return line


def best(facts: Facts, width: int) -> Text:
    found = facts.best
    if found is None:
        return Text.assemble(
            ("best    ", "bright_black"), (f"no epoch has reported {words.clean(facts.objective)} yet", "")
        )
    whole, short = (
        Text.assemble(
            ("best    ", "bright_black"),
            (f"{words.clean(facts.objective)} {words.score(found.score)}", "bold"),
            f"  {how(found, placed=placed)}",
            (f"  {words.values(found.values)}" if width >= 60 else "", "bright_black"),
        )
        for placed in (True, False)
    )
    # Where room is short, values say more than the place.
    return whole if whole.cell_len <= width else short


def how(found: Best, *, placed: bool = True) -> str:
    """`trial 17, epoch 9 of 27, bracket 3, rung 4`; without the place where it is not to be `placed`."""
    place = f", {found.place}" if found.place and placed else ""
    so_far = "" if found.finished else " so far"
    return f"trial {found.trial}, epoch {found.epoch} of {found.budget}{so_far}{place}"


def rung_lines(facts: Facts) -> list[Text]:
    """One line a bracket that is at work: how full its rungs are."""
    brackets: dict[tuple[int, int], list[RungState]] = {}
    for rung in facts.rungs:
        brackets.setdefault((rung.iteration, rung.bracket), []).append(rung)
    if len(facts.rungs) < 2:
        return []
    lines = []
    for (iteration, bracket), members in brackets.items():
        if all(_settled(rung) >= rung.size for rung in members):
            continue
        name = bracket_words(bracket, iteration, several=facts.several_iterations)
        line = Text.assemble((f"{name}  ", "bright_black"))
        for rung in members:
            full = _settled(rung) >= rung.size
            line.append(f" {rung.stop_epoch} ep ", "bright_black")
            line.append(f"{_settled(rung)}/{rung.size}", "green" if full else "cyan" if rung.trials else "bright_black")
            line.append(" ")
        lines.append(line)
    return lines


def _settled(rung: RungState) -> int:
    return rung.finished + rung.failed + rung.missing


def slots(facts: Facts, rows: list[Row], load: Mapping[int, Load], width: int) -> Table:
    """One row a slot."""
    wide, middling = width >= 96, width >= 64
    scored = width >= 44
    measured = wide and any(row.slot in load for row in rows)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black", pad_edge=False)
    columns = [("device", False), ("trial", True), ("place", False), ("epoch", False)]
    columns += [(words.clean(facts.objective), True), ("memory", True), ("load", True), ("left", True)]
    there = [True, True, wide, True, scored, measured, measured, True]
    for name, right in itertools.compress(columns, there):
        # Text, never str: rich would take what stands in brackets for markup.
        table.add_column(Text(name), justify="right" if right else "left", no_wrap=True)
    for row, score in zip(rows, words.column([row.score for row in rows]), strict=True):
        cells: list[str | Text] = [words.clean(row.label)]
        idle = row.trial is None
        cells.append("–" if idle else str(row.trial))
        if wide:
            cells.append(row.rung)
        cells.append(Text("idle", style="bright_black") if idle else _epochs(row, 16 if wide else 8 if middling else 0))
        if scored:
            cells.append("" if row.score is None else score)
        if measured:
            cells += _load(load.get(row.slot))
        cells.append("" if row.seconds_left is None else words.duration(row.seconds_left))
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    return table


def _epochs(row: Row, width: int) -> Text:
    count = f"{row.epoch}/{row.stop_epoch}"
    if not width:
        return Text(count)
    return bar(row.epoch - row.start_epoch, row.stop_epoch - row.start_epoch, width).append(f" {count}", "default")


def _load(load: Load | None) -> list[str]:
    if load is None:
        return ["", ""]
    total = f" of {words.size(load.total_bytes)}" if load.total_bytes else ""
    used = "" if load.used_bytes is None else f"{words.size(load.used_bytes)}{total}"
    return [used, "" if load.utilisation is None else f"{100 * load.utilisation:.0f} %"]
