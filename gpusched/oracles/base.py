"""What every oracle promises: ask for a job, tell how it went, or that it failed.

An oracle decides what to try next from its arguments and the calls made to it, in their order, and
from nothing else: no clock, no files, no global random state. So a search is rebuilt by repeating the calls.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameter, HyperParameters, deserialize
from gpusched.objective import Objective
from gpusched.oracles import seeded_values
from gpusched.oracles.pareto import front
from gpusched.oracles.samplers import RandomSampler, Sampler, Space
from gpusched.oracles.types import Answer, Done, Job, Place, Plan, RungState, Trial, Wait

#: The objective after each epoch that a job trained; None and NaN are worse than any number.
#: With several objectives, such a list for each by name.
Scores: TypeAlias = Sequence[float | None] | Mapping[str, Sequence[float | None]]


_WAIT, _DONE = Wait(), Done()


class Oracle(ABC):
    """The parts that all algorithms share: trials, their values, their scores.

    ``slots`` is how many jobs the scheduler runs at once; until it says so, the most that have been out.
    ``known`` holds values that a journal says were drawn, by trial id: they are used, and removed, in place
    of drawing, so that a replay never fits a model again.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        objective: Objective | Sequence[Objective],
        *,
        max_epochs: int,
        max_trials: int | None,
        seed: int,
        sampler: Sampler | None = None,
        initial: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise UsageError(f"seed: {seed!r} is not a seed; give an integer")
        self.objectives = _objectives(objective)
        self._signs = [-1.0 if o.direction == "max" else 1.0 for o in self.objectives]
        self.seed = seed
        self.max_epochs = max_epochs
        Oracle.set_max_trials(self, max_trials)
        self.space = Space(hyperparameters)
        self.sampler: Sampler = sampler if sampler is not None else RandomSampler()
        self.known: dict[int, dict[str, Any]] = {}
        self.trials: dict[int, Trial] = {}
        self.scores: dict[int, float] = {}  #: best score of each finished trial that has not failed, lower is better
        self.extra = 0  #: trials beyond what was planned, see add
        self._limit: int | None = None  #: how many trials there can be, the extra ones included; None without end
        self.slots: int | None = None
        self._most_out = 1
        self._out = 0
        self._released: list[int] = []
        self._useless: set[int] = set()
        self._ranking: list[int] | None = None
        self.sampler.begin(self, [dict(values) for values in initial])

    # ------------------------------------------------------------------ ask, tell, fail

    def ask(self) -> Answer:
        """The next job to start; Wait when that depends on a job still out; Done when all is over."""
        picked = self._pick()
        if picked is None:
            return _WAIT if self._out else _DONE
        trial_id, start_epoch, stop_epoch = picked
        trial = self.trials.get(trial_id)
        if trial is None:
            values = self.known.pop(trial_id, None)
            if values is None:
                values = self.sampler.draw(trial_id)
            else:
                self.sampler.adopt(trial_id, values)
            trial = self.trials[trial_id] = Trial(trial_id, values)
        job = trial.running = Job(trial_id, trial.values, start_epoch, stop_epoch)
        self._out += 1
        if self._out > self._most_out:
            self._most_out = self._out
        return job

    def tell(self, job: Job, scores: Scores) -> None:
        """The job has ended, with the objective after each of its epochs.

        Fewer scores than epochs: the trial stopped itself for good. Its score stands.
        """
        trial = self._ending(job)
        count = self._read(trial, job, scores)
        trial.running = None
        self._out -= 1
        trial.epochs = job.start_epoch + count
        trial.budget = job.stop_epoch
        trial.stopped = trial.epochs < job.stop_epoch
        self.scores[trial.id] = trial.score
        self._ranking = None
        self._finished(trial)
        self.sampler.told(trial, job)

    def fail(self, job: Job) -> None:
        """The trial is lost: it counts as finished and worst, and is never promoted."""
        trial = self._ending(job)
        trial.running = None
        self._out -= 1
        trial.failed = True
        self.scores.pop(trial.id, None)
        self._ranking = None
        self._failed(trial)
        self.sampler.told(trial, job)

    def give_back(self, trial_id: int) -> None:
        """A trial that failed is to train again, in the rung where it failed; `ask` will hand out its job.

        Its rung decides as if it had not failed. Trials that were promoted in its place stay promoted.
        """
        trial = self.trials.get(trial_id)
        if trial is None or not trial.failed:
            raise UsageError(f"trial {trial_id}: it {'is unknown' if trial is None else 'has not failed'}")
        trial.failed = False
        if trial.budget:
            self.scores[trial_id] = trial.score
        self._ranking = None
        self._useless.discard(trial_id)
        if trial_id in self._released:
            self._released.remove(trial_id)
        self._again(trial)
        self.sampler.again(trial)

    def _ending(self, job: Job) -> Trial:
        trial = self.trials.get(job.trial_id)
        out = trial.running if trial is not None else None
        if trial is None or out is None or out.start_epoch != job.start_epoch or out.stop_epoch != job.stop_epoch:
            state = "is unknown" if trial is None else f"has {out} out" if out else "has no job out"
            raise UsageError(
                f"trial {job.trial_id}: epochs {job.start_epoch} to {job.stop_epoch} cannot end, the trial {state}; "
                "tell each job that ask() gave out once"
            )
        return trial

    def _read(self, trial: Trial, job: Job, scores: Scores) -> int:
        """Takes in the scores; how many epochs they cover."""
        first, *others = self.objectives
        if isinstance(scores, Mapping):
            absent = [o.name for o in self.objectives if o.name not in scores]
            if absent:
                raise UsageError(f"trial {trial.id}: no scores for {', '.join(absent)}; there are {', '.join(scores)}")
            columns = [scores[o.name] for o in self.objectives]
            if len({len(column) for column in columns}) > 1:
                raise UsageError(f"trial {trial.id}: the lists of scores differ in length")
        elif others:
            raise UsageError(f"trial {trial.id}: several objectives need a dict of lists by name")
        else:
            columns = [scores]
        main = columns[0]
        if len(main) > job.stop_epoch - job.start_epoch:
            raise UsageError(
                f"trial {trial.id}: {len(main)} scores of {first.name} for {job.stop_epoch - job.start_epoch} epochs"
            )
        sign, best, where = self._signs[0], trial.score, -1
        curve, isfinite = trial.curve, math.isfinite
        for k, value in enumerate(main):
            score = sign * value if value is not None and isfinite(value) else math.inf
            curve.append(score)
            if score < best:
                best, where = score, k
        trial.score = best
        if others and where >= 0:
            trial.point = tuple(
                sign * value if (value := column[where]) is not None and isfinite(value) else math.inf
                for sign, column in zip(self._signs, columns, strict=True)
            )
        return len(main)

    # ------------------------------------------------------------------ where the user's own oracle decides

    @property
    def question(self) -> int | None:
        """The trial whose values are to be asked for; None: nobody is asked, or not now."""
        return None

    @property
    def untold(self) -> list[int]:
        """Trials that have ended, whose end the user's oracle is to be told."""
        return []

    def advise(self, status: str, values: Mapping[str, Any], name: str, state: Mapping[str, Any]) -> None:
        """The answer to the question."""
        raise UsageError(f"{type(self).__name__}: it decides itself, and takes no advice")

    def heard(self, trial_id: int, score: float | None, step: int | None, state: Mapping[str, Any]) -> None:
        """The user's oracle has been told of an end."""
        raise UsageError(f"{type(self).__name__}: it decides itself, and tells nobody")

    # ------------------------------------------------------------------ known good configurations

    def add(self, values: Mapping[str, Any]) -> None:
        """These values are tried as soon as a new trial starts; if all have been started, by one trial more.

        What they leave out is drawn. Raises UsageError for a name or value that is not of the space.
        """
        self.sampler.enqueue(values)
        left = None if self._limit is None else self._limit - self.sampler.drawn
        if left is not None and (self.sampler.queued > left or self.sampler.beside(values)):
            self.extra += 1
            self._recount()

    def enqueue(self, values: Mapping[str, Any]) -> None:
        """The next new trial gets these values; what they leave out is drawn.

        Raises UsageError for a name or value that is not of the space.
        """
        self.sampler.enqueue(values)

    def avoid(self, configurations: Iterable[Mapping[str, Any]]) -> None:
        """These are known: they are not drawn where no configuration is drawn twice. To be called before `ask`."""
        self.sampler.avoid(configurations)
        self._recount()

    def warm_start(self, history: Iterable[tuple[Mapping[str, Any], Scores]], first: int = 1) -> None:
        """Learns from an older search of the same space: (values, scores after each epoch) of its trials.

        Its ``first`` best configurations are tried first; a model knows them all from the start. To be called before
        the first ``ask``. What does not fit the space is passed over.
        """
        if self.trials:
            raise UsageError("warm_start: the search has begun; give it what is known before the first ask()")
        older = []
        for k, (values, scores) in enumerate(history):
            trial = Trial(-1 - k, dict(values))
            column = scores if isinstance(scores, Sequence) else next(iter(scores.values()))
            job = Job(trial.id, trial.values, 0, max(len(column), 1))
            trial.epochs = trial.budget = self._read(trial, job, scores)
            if trial.epochs and self.space.fits(trial.values):
                older.append(trial)
        older.sort(key=lambda trial: trial.score)
        for trial in older[:first]:
            self.enqueue(trial.values)
        self.sampler.learn(older)

    # ------------------------------------------------------------------ the space

    def extend(
        self,
        trial_id: int,
        hyperparameters: Iterable[HyperParameter | Mapping[str, Any]],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """A trial has come upon hyperparameters that were not in the space: they are from now on.

        ``values`` are those it took for them; without, those that ``draw_late`` gives.
        """
        asked = [h if isinstance(h, HyperParameter) else deserialize(h) for h in hyperparameters]
        trial = self.trials.get(trial_id)
        if trial is not None:
            trial.values = {**trial.values, **(values or {})}
            for hyperparameter in asked:
                if hyperparameter.name not in trial.values and self.space.is_active(hyperparameter, trial.values):
                    trial.values[hyperparameter.name] = self.draw_late(trial_id, hyperparameter)
        if self.space.extend(asked):
            self._extended()

    def set_max_trials(self, max_trials: int | None) -> None:
        """Another budget from now on; trials that were handed out stay."""
        if max_trials is not None and (not isinstance(max_trials, int) or max_trials < 1):
            raise UsageError(f"max_trials: {max_trials!r} is not a number of trials; give an integer of at least 1")
        self.max_trials = max_trials

    def draw_late(self, trial_id: int, hyperparameter: HyperParameter) -> Any:
        """The value of a hyperparameter discovered late, for this trial: a function of (seed, trial, its full name)."""
        return seeded_values.late_value(self.seed, trial_id, hyperparameter)

    # ------------------------------------------------------------------ what views read

    def rank(self) -> list[int]:
        """Finished trials, best first: by score, however long they were trained, then by id."""
        if self._ranking is None:
            self._ranking = sorted(
                (trial.id for trial in self.trials.values() if trial.budget and not trial.failed),
                key=lambda i: (self.trials[i].score, i),
            )
        return self._ranking

    def pareto(self) -> list[int]:
        """Finished trials that no other beats in every objective, the best in the first objective first."""
        points = {i: self.trials[i].point or (self.trials[i].score,) for i in self.rank()}
        finite = {i: p for i, p in points.items() if all(map(math.isfinite, p))}
        return sorted(front(finite), key=lambda i: (finite[i], i))

    def spared_epochs(self, trial_id: int) -> int:
        """Epochs up to the rung that a trial came to, not trained because it had ended before."""
        trial = self.trials[trial_id]
        return trial.budget - trial.epochs if trial.stopped and not trial.failed else 0

    def released(self) -> list[int]:
        """Trials that since the last call became certain never to train again."""
        fresh = [trial for trial in self._released if trial not in self._useless]
        self._useless.update(fresh)
        self._released.clear()
        return fresh

    def useless(self, trial_id: int) -> bool:
        """Whether this trial is certain never to train again."""
        return trial_id in self._useless or trial_id in self._released

    @abstractmethod
    def plan(self) -> Plan: ...

    @abstractmethod
    def rungs(self) -> list[RungState]: ...

    @property
    @abstractmethod
    def staged(self) -> bool:
        """Whether there is more than one rung so far: what len(rungs()) > 1 says, without making them."""

    @property
    def several_iterations(self) -> bool:
        """Whether there is, or may come to be, a second iteration."""
        return False

    @abstractmethod
    def place(self, trial_id: int) -> Place: ...

    # ------------------------------------------------------------------ what an algorithm adds

    @abstractmethod
    def _pick(self) -> tuple[int, int, int] | None:
        """The next job, marked as handed out: (trial id, start epoch, stop epoch)."""

    @abstractmethod
    def _finished(self, trial: Trial) -> None: ...

    @abstractmethod
    def _failed(self, trial: Trial) -> None: ...

    @abstractmethod
    def _again(self, trial: Trial) -> None:
        """A failed trial's job is to be handed out again."""

    @abstractmethod
    def _extended(self) -> None:
        """The space has grown."""

    @abstractmethod
    def _recount(self) -> None:
        """There may be another number of trials than before."""


def _objectives(objective: Objective | Sequence[Objective]) -> list[Objective]:
    objectives = [objective] if isinstance(objective, Objective) else list(objective)
    for one in objectives:
        if not isinstance(one, Objective):
            raise UsageError(f'objective: {one!r} has no direction; give Objective({one!r}, "min") or "max"')
    if not objectives:
        raise UsageError('objective: none given; give Objective(name, "min") or "max"')
    return objectives
