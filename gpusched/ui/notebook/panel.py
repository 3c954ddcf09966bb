"""A running search as one panel. Pure, from figures to HTML, and to plain text for what shows no HTML."""

from __future__ import annotations

from collections.abc import Sequence

from gpusched.core.policy import Phase
from gpusched.ui import words
from gpusched.ui.draw import how
from gpusched.ui.facts import Facts, Row
from gpusched.ui.notebook import html

#: Slots that are shown; a machine may have hundreds.
_SLOTS = 16


def panel(facts: Facts, notices: Sequence[str], logs: Sequence[str], hint: str = "") -> str:
    """`notices` and `logs` are lines; the newest come last."""
    return html.page(
        _title(facts),
        _progress(facts),
        _best(facts),
        _slots(facts) if facts.phase is not Phase.CLOSED else "",
        *(html.line(html.faint(notice)) for notice in notices),
        html.block(logs) if logs else "",
        html.line(html.faint(hint)) if hint else "",
    )


def plain(facts: Facts) -> str:
    """The same in a line."""
    done = f"{facts.trials_done} of {facts.trials_all} trials" if facts.trials_all else f"{facts.trials_done} trials"
    found = facts.best
    best = "" if found is None else f"; best {words.clean(facts.objective)} {words.score(found.score)}: {how(found)}"
    return f"{words.clean(facts.name)}: {_state(facts)}, {done} done{best}"


def _state(facts: Facts) -> str:
    return words.clean(facts.phase.value if facts.phase is not Phase.CLOSED else (facts.ending or "not running"))


def _title(facts: Facts) -> str:
    span = facts.seconds if facts.paused_seconds is None else facts.paused_seconds
    left = f", about {words.duration(facts.seconds_left)} left" if facts.seconds_left is not None else ""
    how_long = f"for {words.duration(span)}{left}" if facts.phase is not Phase.CLOSED else words.duration(facts.seconds)
    return html.line(html.bold(facts.name), html.text(f"{_state(facts)} {how_long}"))


def _progress(facts: Facts) -> str:
    trials = f"{facts.trials_done} of {facts.trials_all}" if facts.trials_all else f"{facts.trials_done}"
    lost = words.lost(facts.trials_broken, facts.trials_stopped)
    epochs = f"{facts.epochs_done} of {facts.epochs_all}" if facts.epochs_all else f"{facts.epochs_done}"
    done = html.bar(facts.epochs_done / facts.epochs_all) if facts.epochs_all else ""
    return html.line(done, html.text(f"{trials} trials done{f' ({lost})' if lost else ''}, {epochs} epochs"))


def _best(facts: Facts) -> str:
    found = facts.best
    if found is None:
        return html.line(html.faint(f"no epoch has reported {facts.objective} yet"))
    score = f"{facts.objective} {words.score(found.score)}"
    return html.line("best", html.bold(score), html.text(how(found)), html.faint(words.values(found.values)))


def _slots(facts: Facts) -> str:
    rows = [*facts.running, *(row for row in facts.rows if row.trial is None)]
    shown = rows[:_SLOTS]
    placed = any(row.rung for row in shown)
    heads = ["device", "trial", *(["place"] if placed else []), "epoch", facts.objective, "left"]
    scores = words.column([row.score for row in shown])
    cells = [_slot(row, score, placed) for row, score in zip(shown, scores, strict=True)]
    table = html.table(heads, cells, [False, True, *([False] * placed), False, True, True])
    more = html.line(html.faint(f"and {words.plural(len(rows) - _SLOTS, 'more slot')}")) if len(rows) > _SLOTS else ""
    return table + more


def _slot(row: Row, score: str, placed: bool) -> list[str]:
    place = [html.text(row.rung)] if placed else []
    if row.trial is None:
        return [html.text(row.label), "–", *place, html.faint("idle"), "", ""]
    trained = (row.epoch - row.start_epoch) / max(1, row.stop_epoch - row.start_epoch)
    return [
        html.text(row.label),
        str(row.trial),
        *place,
        f"{html.bar(trained, '6em')} {row.epoch}/{row.stop_epoch}",
        "" if row.score is None else score,
        "" if row.seconds_left is None else words.duration(row.seconds_left),
    ]
