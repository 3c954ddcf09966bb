"""Values from a model of how scores depend on the configuration and on the epochs trained.

A Gaussian process over (configuration, log epoch) learns from every rung of every trial. A new trial gets the
configuration that is best, at full training, in one function drawn from the posterior (Thompson 1933): so trials
proposed at the same time differ without anything being made up about those still running.

Or, where ``beta`` is given, the one whose lower confidence bound is best (Srinivas et al. 2010), with those still
running taken for as bad as the model can believe.

Guards against being led astray: a share of the trials is quasi-random, the larger the worse the model, shown the
lowest rung alone, ranks the trials that were promoted; and nothing is proposed next to what was tried.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpusched.oracles.samplers.base import Sampler, SearchSoFar
from gpusched.oracles.samplers.encoding import Codec
from gpusched.oracles.samplers.gp import GP, Array
from gpusched.oracles.types import Job, Trial

#: Trials that have ended before the model is asked. With 10, searches of ten full trainings ended worse than random
#: ones wherever short trainings tell little of long ones.
_START = 25
#: Share of quasi-random trials before promoted trials have told how right the model is, and its limits afterwards.
_EXPLORE, _EXPLORE_LEAST, _EXPLORE_MOST = 0.45, 0.2, 0.6
#: Points the model is fitted to at most; a fit costs their cube.
_MOST_POINTS = 300
#: Parameters are fitted anew when there are so many times the points of the last time.
_REFIT = 1.1
#: Candidates all over the space, and beside each of the best trials.
_ANYWHERE, _BESIDE, _BEST = 300, 30, 5
#: How often what lies about the best candidates is looked at, each time as many as beside the best trials.
_REFINED = 6
#: A candidate is nearer to no trial than this share of the cube's diagonal, times the side of the cube that each trial
#: has to itself: in few dimensions they soon stand close.
_APART = 0.18
#: How far above the median, in spreads, scores are told apart.
_CLIP = 0.7


class ModelSampler(Sampler):
    """``start`` quasi-random trials first, then those that the model proposes, and of these a share ``explore``.

    ``beta``: proposals have the best lower confidence bound, so many standard deviations below the mean, in place of a
    draw from the posterior. ``alpha``: the variance of the scores' noise, where theirs is 1; None: it is fitted.
    """

    def __init__(
        self,
        start: int = _START,
        explore: float = _EXPLORE,
        *,
        alpha: float | None = None,
        beta: float | None = None,
    ) -> None:
        self._start = start
        self._before = explore
        self._alpha, self._beta = alpha, beta

    def begin(self, oracle: SearchSoFar, initial: list[dict[str, Any]]) -> None:
        super().begin(oracle, initial)
        self._ended: dict[int, Trial] = {}
        self._forget()

    def _forget(self) -> None:
        self._codec = Codec(self.space)
        self._rows: dict[int, Array] = {}
        self._theta: Array | None = None
        self._fitted = 0  # points at the last fit
        self._explore = self._before

    def told(self, trial: Trial, job: Job) -> None:
        self._ended[trial.id] = trial

    def again(self, trial: Trial) -> None:
        if not trial.curve:
            self._ended.pop(trial.id, None)

    def learn(self, older: list[Trial]) -> None:
        self._ended.update({trial.id: trial for trial in older})

    def extended(self) -> None:
        super().extended()
        self._forget()

    def _propose(self, trial_id: int, attempt: int = 0) -> dict[str, Any]:
        if attempt or self._queued or len(self._ended) < self._start or not self._codec.hyperparameters:
            return super()._propose(trial_id, attempt)
        rng = np.random.Generator(np.random.Philox(key=[self.seed % 2**64, trial_id]))
        if rng.random() < self._explore:
            return super()._propose(trial_id, attempt)
        found = self._best_of_one_draw(rng)
        return super()._propose(trial_id, attempt) if found is None else found

    # ------------------------------------------------------------------ what is known

    def _embed(self, trials: list[Trial]) -> Array:
        return self._codec.embed(np.array([self._row(trial) for trial in trials]))

    def _row(self, trial: Trial) -> Array:
        row = self._rows.get(trial.id)
        if row is None:
            row = self._rows[trial.id] = self._codec.probs(trial.values)
        return row

    def _level(self, epochs: int) -> float:
        """0 after the first epoch, 1 after the last."""
        return math.log(epochs) / math.log(self.oracle.max_epochs) if self.oracle.max_epochs > 1 else 1.0

    def _points(self, rng: np.random.Generator) -> tuple[list[Trial], Array, Array]:
        """Each trial at the end of each rung it trained to: (trials, levels, scores to be minimised)."""
        if len(self.oracle.objectives) > 1:
            return self._scalarised(rng)
        ends = sorted({rung.stop_epoch for bracket in self.oracle.plan().brackets for rung in bracket.rungs})
        points: list[tuple[Trial, int, float]] = []
        for trial in self._ended.values():
            best, at = math.inf, 0
            for end in ends:
                if end > len(trial.curve):
                    break
                best, at = min(best, *trial.curve[at:end]), end
                points.append((trial, end, best))
            if trial.failed or not trial.curve:
                points.append((trial, max(at, ends[0]), math.inf))
            elif len(trial.curve) < ends[0]:
                points.append((trial, len(trial.curve), trial.score))
        points = _thinned(points, ends[0])
        levels = np.array([self._level(end) for _, end, _ in points])
        return [trial for trial, _, _ in points], levels, _standardised(np.array([score for _, _, score in points]))

    def _scalarised(self, rng: np.random.Generator) -> tuple[list[Trial], Array, Array]:
        """Several objectives as one, weighed at random each time (Knowles 2006, ParEGO)."""
        trials = list(self._ended.values())[-_MOST_POINTS:]
        count = len(self.oracle.objectives)
        worst = (math.inf,) * count
        table = np.array([trial.point if trial.point and not trial.failed else worst for trial in trials])
        columns = np.stack([_standardised(table[:, k]) for k in range(count)], 1)
        weighed = columns * rng.dirichlet(np.ones(count))
        levels = np.array([self._level(max(trial.epochs, 1)) for trial in trials])
        return trials, levels, _standardised(weighed.max(1) + 0.05 * weighed.sum(1))

    # ------------------------------------------------------------------ the model

    def _best_of_one_draw(self, rng: np.random.Generator) -> dict[str, Any] | None:
        trials, levels, y = self._points(rng)
        x, ids = self._embed(trials), np.array([trial.id for trial in trials])
        gp = GP(x, levels, ids, y, self._theta, self._alpha)
        if self._theta is None or len(y) >= _REFIT * self._fitted:
            gp.fit()
            self._theta, self._fitted = gp.theta, len(y)
            agreement = self._agreement(gp)
            if agreement is not None:
                self._explore = min(max(1.0 - agreement, _EXPLORE_LEAST), _EXPLORE_MOST)
        gp.condition()
        candidates = self._candidates(gp, rng)
        if candidates is None:
            return None
        if self._beta is not None:
            return self._codec.values(self._lowest_bound(gp, candidates, self._beta, rng))
        draw = gp.draw(self._codec.embed(candidates), np.ones(len(candidates)), rng)
        return self._codec.values(candidates[int(np.argmin(draw))])

    def _lowest_bound(self, gp: GP, candidates: Array, beta: float, rng: np.random.Generator) -> Array:
        """Of the candidates and what lies about the best of them, the one with the lowest confidence bound."""
        gp = self._with_running(gp)

        def bounds(rows: Array) -> Array:
            mean, deviation = gp.predict(self._codec.embed(rows), np.ones(len(rows)))
            return np.asarray(mean - beta * deviation)

        low = bounds(candidates)
        for _ in range(_REFINED):
            best = candidates[np.argsort(low, kind="stable")[:_BEST]]
            more = self._moved(np.repeat(best, _BESIDE, 0), rng)
            candidates, low = (
                np.vstack([best, more]),
                np.concatenate([np.sort(low, kind="stable")[:_BEST], bounds(more)]),
            )
        return np.asarray(candidates[int(np.argmin(low))])

    def _with_running(self, gp: GP) -> GP:
        """The model as if those that are still running had ended badly: a deviation above what it expects of them."""
        running = [trial for trial in self.oracle.trials.values() if trial.id not in self._ended]
        if not running:
            return gp
        x, levels = self._embed(running), np.ones(len(running))
        mean, deviation = gp.predict(x, levels)
        ids = np.array([trial.id for trial in running])
        y = np.concatenate([gp.y, mean + deviation])
        more = GP(np.vstack([gp.x, x]), np.concatenate([gp.t, levels]), np.concatenate([gp.trial, ids]), y, gp.theta)
        more.condition()
        return more

    def _candidates(self, gp: GP, rng: np.random.Generator) -> Array | None:
        """(n, h) probabilities: all over the space and beside the best trials, but not next to any trial."""
        anywhere = rng.random((_ANYWHERE, len(self._codec.hyperparameters)))
        rows = np.array([self._row(trial) for trial in self._ended.values()])
        mean, _ = gp.predict(self._codec.embed(rows), np.ones(len(rows)))
        beside = self._moved(np.repeat(rows[np.argsort(mean)[:_BEST]], _BESIDE, 0), rng)
        candidates = np.vstack([anywhere, beside])
        points = self._codec.embed(candidates)
        known = self._embed(list(self.oracle.trials.values())[-2000:])
        squares = (points**2).sum(1)[:, None] + (known**2).sum(1)[None, :] - 2 * points @ known.T
        apart = _APART * len(known) ** (-1 / points.shape[1])
        candidates = candidates[squares.min(1) > apart**2 * points.shape[1]]
        # Too few left: the space is full of trials, or so small that it is soon used up.
        return candidates if len(candidates) >= _BESIDE else None

    def _moved(self, rows: Array, rng: np.random.Generator) -> Array:
        """The rows, most of their places moved by steps of several lengths."""
        step = rng.choice([0.02, 0.1, 0.3], (len(rows), 1))
        moved = np.abs(rows + step * rng.standard_normal(rows.shape))
        moved = np.where(moved > 1, 2 - moved, moved)
        unordered = self._codec.unordered
        moved = np.where(unordered, rng.random(rows.shape), moved)
        kept = rng.random(rows.shape) < np.where(unordered, 0.8, 0.3)
        return np.clip(np.where(kept, rows, moved), 0.0, 1.0 - 1e-12)

    def _agreement(self, gp: GP) -> float | None:
        """How well the model, shown the lowest rung alone, ranks those trained further; None where too few were.

        1 is the order of their scores, 0 chance.
        """
        low = gp.t <= gp.t.min() + 1e-9
        agreement, count = 0.0, 0
        for level in np.unique(gp.t[~low]):
            high = gp.t == level
            if high.sum() < 5:
                continue
            shown = GP(gp.x[low], gp.t[low], gp.trial[low], gp.y[low], gp.theta)
            shown.condition()
            mean, _ = shown.predict(gp.x[high], gp.t[high])
            agreement += float(high.sum()) * _rank_correlation(mean, gp.y[high])
            count += int(high.sum())
        return agreement / count if count >= 10 else None


def _thinned(points: list[tuple[Trial, int, float]], lowest: int) -> list[tuple[Trial, int, float]]:
    """At most ``_MOST_POINTS``: of the lowest rung the best and every so many-th of the others go first."""
    if len(points) <= _MOST_POINTS:
        return points
    high = sorted((p for p in points if p[1] > lowest), key=lambda p: (-p[1], p[2]))[: 2 * _MOST_POINTS // 3]
    low = sorted((p for p in points if p[1] <= lowest), key=lambda p: p[2])
    room = _MOST_POINTS - len(high)
    rest = low[room // 2 :]
    step = max(1, math.ceil(len(rest) / (room - room // 2)))
    return high + low[: room // 2] + rest[::step]


def _standardised(y: Array) -> Array:
    """Mean 0 and deviation 1 once the bad half is pulled in: how bad the bad ones are says little about the good."""
    finite = y[np.isfinite(y)]
    if not len(finite):
        return np.zeros_like(y)
    median = float(np.median(finite))
    spread = max(median - float(np.quantile(finite, 0.1)), (median - float(finite.min())) / 2, 1e-12)
    z: Array = np.minimum((np.where(np.isfinite(y), y, np.inf) - median) / spread, _CLIP)
    return np.asarray((z - z.mean()) / (z.std() + 1e-9))


def _rank_correlation(a: Array, b: Array) -> float:
    ranks: list[npt.NDArray[np.int64]] = [np.argsort(np.argsort(v, kind="stable"), kind="stable") for v in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
