"""Successive-halving brackets (Li et al. 2018, Algorithm 1) and who is promoted in them.

Pure arithmetic on trial ids and scores. What a trial's values are, what its score means and which
of several brackets goes next is not this module's business.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from gpusched.errors import UsageError

#: Epochs of one training; an epoch of a millisecond would take a week and a half.
MOST_EPOCHS = 1_000_000_000


class RungPlan(NamedTuple):
    """One rung as planned: so many trials, each trained from one epoch to another."""

    trials: int
    start_epoch: int
    stop_epoch: int


class BracketPlan(NamedTuple):
    """One bracket as planned: its number s (how many times it halves) and its rungs, lowest first."""

    iteration: int
    bracket: int
    first_trial: int
    rungs: tuple[RungPlan, ...]


def hyperband_table(max_epochs: int, factor: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Every bracket of one Hyperband iteration, in running order: (s, [(trials, stop epoch) of each rung]).

    The sizes are Keras Tuner's, which rounds up throughout; counted in integers, because
    ``math.log(243, 3)`` is 4.99….
    """
    if not isinstance(max_epochs, int) or max_epochs < 1:
        raise UsageError(f"max_epochs: {max_epochs!r} is not a number of epochs; give an integer of at least 1")
    if max_epochs > MOST_EPOCHS:
        raise UsageError(f"max_epochs: more than {MOST_EPOCHS} cannot be planned")
    if not isinstance(factor, int) or factor < 2:
        raise UsageError(f"factor: {factor!r} cannot divide a rung; give an integer of at least 2")
    most = 0  # the largest s with factor**s <= max_epochs
    while factor ** (most + 1) <= max_epochs:
        most += 1
    levels = 1 + most + (factor**most < max_epochs)  # 1 + ceil(log_factor(max_epochs))
    return [
        (
            s,
            [
                (ceil_div(levels * factor ** (s - r), s + 1), ceil_div(max_epochs, factor ** (s - r)))
                for r in range(s + 1)
            ],
        )
        for s in range(most, -1, -1)
    ]


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def shrunk(sizes: Sequence[int], first: int) -> list[int]:
    """The sizes of a bracket that only ``first`` trials can enter: halved in the same proportions."""
    return [ceil_div(first * size, sizes[0]) for size in sizes] if first < sizes[0] else list(sizes)


class Rung:
    """The trials that train from one epoch to another, and which of them go on."""

    __slots__ = (
        "candidates",
        "dropped",
        "failed",
        "finished",
        "keep",
        "members",
        "missing",
        "promoted",
        "queue",
        "reopened",
        "scores",
        "size",
        "start_epoch",
        "stop_epoch",
        "taken",
    )

    def __init__(self, size: int, keep: int, start_epoch: int, stop_epoch: int) -> None:
        self.size = size  #: trials planned
        self.keep = keep  #: how many of them the next rung has room for
        self.start_epoch = start_epoch
        self.stop_epoch = stop_epoch
        self.taken = 0  #: jobs handed out, or not needed because the trial had stopped itself
        self.members: list[int] = []  #: trials that entered, in the order they did
        self.queue: deque[int] = deque()  #: promoted into this rung or given back to it, their job not handed out yet
        self.finished = 0
        self.failed = 0
        self.missing = 0  #: entrants that will certainly not come; they count as finished and worst
        self.promoted = 0
        #: (score, trial id) of finished trials that may still be promoted, best first: never longer than
        #: the places that are free, so whoever drops out of it can be promoted no more
        self.candidates: list[tuple[float, int]] = []
        self.scores: dict[int, float] = {}  #: of finished trials, as they were at the end of this rung
        self.dropped: set[int] = set()  #: finished trials that were given up here: they train no more
        self.reopened = False  #: a failed trial was given back: places that others were given may be its own

    @property
    def settled(self) -> int:
        """Trials that count as finished: those that are, the failed and the missing."""
        return self.finished + self.failed + self.missing

    @property
    def epochs_left(self) -> int:
        """Planned epochs that are neither handed out nor known never to be needed."""
        return (self.size - self.taken - self.missing) * (self.stop_epoch - self.start_epoch)

    @property
    def absent(self) -> int:
        """Places of the next rung for which too few are left; negative where more are left than places."""
        return self.keep - (self.size - self.failed - self.missing)

    @property
    def complete(self) -> bool:
        return self.settled >= self.size


class Bracket:
    """The rungs of one bracket and the rule of promotion between them.

    Of a rung with n trials that promotes k, a finished trial is promoted as soon as more than n - k
    finished ones are waiting and it is the best of them. The promoted are then exactly the top k by
    (score, trial id), whoever finishes first and without waiting for the last. A failed or missing
    trial counts as finished and worst, and is never promoted.

    A failed trial may be given back. Its rung then promotes the top k as if it had never failed; who was promoted in
    its place stays promoted, and the rung above has room for one more.

    ``rank`` is given where scores have no order of their own (several objectives): it sorts the ids of a
    rung best first, and the rung then promotes once it is complete.
    """

    __slots__ = ("_rank", "_released", "_stopped", "best", "closed", "moved", "plan", "rungs", "started", "unfilled")

    def __init__(
        self,
        plan: BracketPlan,
        best: dict[int, float],
        released: list[int],
        rank: Callable[[Iterable[int]], list[int]] | None = None,
    ) -> None:
        self.plan = plan
        self.best = best  #: score by trial id, lower is better; kept by the oracle
        self._rank = rank
        self._released = released
        self._stopped: set[int] = set()  # ended by themselves: promoted without training
        self.started = 0  #: trials of the lowest rung that were handed out
        self.moved: list[tuple[int, int]] = []  #: (trial, rung) of promotions, since last read by the oracle
        self.unfilled = 0  #: epochs planned that turned out to need no training, since last read by the oracle
        self.closed = False
        sizes = [rung.trials for rung in plan.rungs]
        self.rungs = [
            Rung(rung.trials, keep, rung.start_epoch, rung.stop_epoch)
            for rung, keep in zip(plan.rungs, [*sizes[1:], 0], strict=True)
        ]

    def next_rung(self) -> int | None:
        """The highest rung that has a job to hand out, or None."""
        rungs = self.rungs
        for r in range(len(rungs) - 1, -1, -1):
            if rungs[r].queue:
                return r
        return 0 if self.started < rungs[0].size else None

    def longest_rung(self) -> int | None:
        """The lowest rung that has a job to hand out, or None."""
        rungs = self.rungs
        if self.started < rungs[0].size:
            return 0
        for r in range(len(rungs)):
            if rungs[r].queue:
                return r
        return None

    def take(self, r: int) -> int:
        """Hands out the next trial of rung ``r``: its id."""
        rung = self.rungs[r]
        rung.taken += 1
        if rung.queue:
            return rung.queue.popleft()
        trial = self.plan.first_trial + self.started
        self.started += 1
        rung.members.append(trial)
        return trial

    def finish(self, trial: int, r: int, *, stopped: bool) -> None:
        """The trial has trained to the end of rung ``r``, or stopped itself for good before that."""
        if stopped:
            self._stopped.add(trial)
        self._arrive(trial, r)
        self._settle(r)

    def fail(self, trial: int, r: int) -> None:
        self.rungs[r].failed += 1
        self._released.append(trial)
        self._settle(r)

    def give_back(self, trial: int, r: int) -> None:
        """The trial, which failed in rung ``r``, is to train there again."""
        rung = self.rungs[r]
        rung.failed -= 1
        rung.taken -= 1
        rung.queue.append(trial)
        rung.reopened = True
        self.unfilled -= rung.stop_epoch - rung.start_epoch
        for rung, above in pairwise(self.rungs[r:]):
            absent = max(0, rung.absent)
            self.unfilled -= (above.missing - absent) * (above.stop_epoch - above.start_epoch)
            above.reopened = above.reopened or absent < above.missing
            above.missing = absent
        self._look_closed()

    def resize(self, plan: BracketPlan) -> None:
        """More or fewer trials are to come than were planned for; who was handed out or promoted stays so."""
        sizes = [rung.trials for rung in plan.rungs]
        sizes[0] = max(sizes[0], self.started)
        for r, rung in enumerate(self.rungs[:-1]):
            sizes[r + 1] = max(sizes[r + 1], rung.promoted)
        self.plan = plan._replace(
            rungs=tuple(rung._replace(trials=n) for rung, n in zip(plan.rungs, sizes, strict=True))
        )
        for rung, size, keep in zip(self.rungs, sizes, [*sizes[1:], 0], strict=True):
            # Who went on in the place of a trial that was given back has a place of its own.
            rung.keep = min(keep, rung.keep) if rung.reopened and rung.promoted == keep else keep
            rung.size, rung.missing = size, 0
        for r in range(len(self.rungs)):
            self._settle(r)

    def _arrive(self, trial: int, r: int) -> None:
        rung = self.rungs[r]
        rung.finished += 1
        candidates = rung.candidates
        if rung.keep:
            rung.scores[trial] = self.best[trial]
        if rung.reopened and rung.keep:
            return
        if self._rank is not None:
            candidates.append((0.0, trial))
            return
        room = rung.keep - rung.promoted
        if room <= 0:
            self._drop(trial, rung)
            return
        entry = (self.best[trial], trial)
        if len(candidates) >= room:
            if entry > candidates[-1]:
                self._drop(trial, rung)
                return
            self._drop(candidates.pop()[1], rung)
        insort(candidates, entry)

    def _drop(self, trial: int, rung: Rung) -> None:
        """It is promoted no more."""
        rung.dropped.add(trial)
        self._released.append(trial)

    def _promote(self, trial: int, r: int) -> None:
        self.rungs[r].promoted += 1
        above = self.rungs[r + 1]
        above.members.append(trial)
        if len(above.members) > above.size - above.missing:
            above.size += 1
            above.reopened = True
            self.unfilled -= above.stop_epoch - above.start_epoch
        self.moved.append((trial, r + 1))
        if trial not in self._stopped:
            above.queue.append(trial)
            return
        above.taken += 1
        self.unfilled += above.stop_epoch - above.start_epoch
        self._arrive(trial, r + 1)

    def _settle(self, r: int) -> None:
        """Promotes whom rung ``r`` has decided on, and tells the rungs above who will not come."""
        while True:
            rung = self.rungs[r]
            candidates = rung.candidates
            if rung.reopened:
                self._promote_again(r)
            elif self._rank is not None:
                if rung.complete and candidates:
                    order = self._rank([trial for _, trial in candidates])
                    candidates.clear()
                    for trial in order[: rung.keep]:
                        self._promote(trial, r)
                    for trial in order[rung.keep :]:
                        self._drop(trial, rung)
            else:
                while candidates and rung.settled - rung.promoted > rung.size - rung.keep:
                    self._promote(candidates.pop(0)[1], r)
            if r + 1 == len(self.rungs):
                self._look_closed()
                return
            above = self.rungs[r + 1]
            absent = rung.absent
            if absent > above.missing:
                self.unfilled += (absent - above.missing) * (above.stop_epoch - above.start_epoch)
                above.missing = absent
            r += 1

    def _promote_again(self, r: int) -> None:
        """Promotes those of a reopened rung who are certain to be among its best, and gives up those who are not."""
        rung = self.rungs[r]
        if not rung.keep:
            return
        rung.candidates.clear()
        unsettled = rung.size - rung.settled
        in_question = [trial for trial in rung.scores if trial not in rung.dropped]
        if self._rank is None:
            order = sorted(in_question, key=lambda trial: (rung.scores[trial], trial))
        elif unsettled:
            return  # Without an order of their own, places may change with every trial that is still to come.
        else:
            order = self._rank(in_question)
        gone = set(self.rungs[r + 1].members)
        for place, trial in enumerate(order):
            if trial in gone:
                continue
            if place + unsettled < rung.keep:
                self._promote(trial, r)
            elif place >= rung.keep:
                self._drop(trial, rung)

    def _look_closed(self) -> None:
        self.closed = all(rung.complete and not rung.queue for rung in self.rungs)
