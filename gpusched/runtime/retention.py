"""Which files of trials stay: a checkpoint goes when no decision can ask for it any more.

The best few trials keep their best weights, for get_best_models; nothing else is ever deleted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from gpusched.core.events import JobEnded
from gpusched.core.trial import LOST, TrialState
from gpusched.runtime.reader import Run
from gpusched.trial.checkpoint import drop
from gpusched.trials import name_of


class Keeper:
    """Deletes what is useless, as soon as it is."""

    def __init__(self, run: Run, keep: int) -> None:
        self._run, self._keep = run, keep
        # Text, not paths, of which 10,000 take a second to make.
        trials = str(run.dir.trials)
        self._holding = {i for i in run.dir.trial_ids() if os.path.exists(f"{trials}/{name_of(i)}/best")}

    def release(self, trials: Iterable[int]) -> None:
        """These trials will never train again: their full state goes."""
        for trial_id in trials:
            drop(self._run.dir.trial(trial_id).checkpoint)

    def ended(self, event: JobEnded) -> None:
        """After a job: best weights stay for the best `keep` trials only."""
        trial = self._run.search.trials.get(event.trial)
        if trial is None:
            return
        if trial.state in LOST:
            self.release([trial.id])
            self._drop_best(trial.id)
            return
        self._holding.add(trial.id)
        if len(self._holding) > self._keep:
            best = set(self._run.search.oracle.rank()[: self._keep])
            for trial_id in self._holding - best:
                # A trial that may be promoted still needs what its best weights are measured against.
                if self._run.search.trials[trial_id].state is TrialState.COMPLETED:
                    self._drop_best(trial_id)

    def _drop_best(self, trial_id: int) -> None:
        drop(self._run.dir.trial(trial_id).best)
        self._holding.discard(trial_id)
