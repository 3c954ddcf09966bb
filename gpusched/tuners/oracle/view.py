"""What a tuner's oracle answers once there is a run: read from its directory, anew whenever the journal has grown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpusched.core.events import JobEnded
from gpusched.core.trial import TrialState
from gpusched.hyperparameters import HyperParameters, serialize
from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir
from gpusched.trial.tuning.trial import current
from gpusched.trials import Trial, TrialStatus, name_of
from gpusched.tuners.oracle.kept import Kept
from gpusched.tuners.trials import TrialResult, trial_of


class RunView:
    """What is known of a tuner's run."""

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner
        self._run: Run | None = None
        self._stamp: Any = None
        self._known: dict[int, tuple[Any, TrialResult]] = {}

    def look(self, oracle: Kept) -> None:
        """Brings the oracle's trials up to date. Without a run they are what they were."""
        run = self._newest()
        if run is None:
            return
        trials = {name_of(i): self._trial(run, i) for i in run.search.trials}
        started = list(dict.fromkeys(name_of(launch.trial) for _, launch in run.launches))
        trial = current()
        if trial is not None and trial.trial_id in started:
            # As it was when this trial began: others have started beside it.
            started = started[: started.index(trial.trial_id) + 1]
        over = (TrialStatus.COMPLETED, TrialStatus.FAILED)
        ended = (name_of(event.trial) for event in run.events if isinstance(event, JobEnded))
        slots = {name_of(each.id): f"slot {each.slot}" for each in run.search.running}
        oracle.__dict__.update(
            trials=dict[str, Trial](trials),
            start_order=started,
            end_order=[each for each in dict.fromkeys(ended) if trials[each].status in over],
            ongoing_trials={slot: trials[each] for each, slot in slots.items()},
            seed=run.record.seed,
        )

    def look_at_space(self, oracle: Kept) -> None:
        """Adds to its space what the run, or before it the hypermodel, asks for."""
        space: HyperParameters = oracle.__dict__["hyperparameters"]
        found = self._tuner._space_so_far()
        new = [] if found is None else [each for each in found.space if space.find(each.name, each.conditions) is None]
        if new:
            space.merge(new)

    def _newest(self) -> Run | None:
        """The run, where it is another, or further, than when it was last looked at."""
        if not self._tuner._has_run:
            return None
        folder = RunDir(Path(self._tuner.project_dir))
        try:
            stamps = [file.stat() for file in (folder.search, folder.journal)]
        except FileNotFoundError:
            return None
        stamp = [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stamps]
        if stamp == self._stamp:
            return None
        if self._run is None or self._stamp is None or stamp[0] != self._stamp[0]:
            self._run, self._known = Run(folder), {}
        else:
            self._run.update()
        self._stamp = stamp
        return self._run

    def _trial(self, run: Run, number: int) -> TrialResult:
        state, trial = run.search.trials[number], run.search.oracle.trials[number]
        now = (state.state, state.attempt, trial.budget, trial.score)
        known, found = self._known.get(number, (None, None))
        if found is None or known != now or state.state is TrialState.RUNNING:
            space = [serialize(each) for each in run.search.oracle.space.hyperparameters]
            found = trial_of(run, number, HyperParameters.from_config({"space": space, "values": {}}))
            self._known[number] = (now, found)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """In another process it is read there."""
        return {"_tuner": self._tuner, "_run": None, "_stamp": None, "_known": {}}
