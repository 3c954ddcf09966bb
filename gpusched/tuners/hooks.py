"""What a tuner's subclass may override, and who calls it where.

`run_trial` and the hooks of epochs and batches are called in a trial's process, on a copy of the tuner; what they note
on it is brought back when the trial's job ends (`trial.tuning.left`). The hooks of trials and of the search are called
in the process that called search(), on the script's own tuner, each once for a trial, however often it is promoted or
tried again. `gpusched run`, whose script ends with its search(), executes it in a process more for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusched.errors import UsageError
from gpusched.storage.files import make_folder
from gpusched.storage.rundir import write_whole
from gpusched.trial.tuning.overriding import standard
from gpusched.trial.tuning.trial import current

if TYPE_CHECKING:
    from gpusched.trial.settings import Asked


class Hooks:
    """The methods of a tuner that are there to be overridden or to be called by those that are."""

    asked: Asked
    tuner_id = "tuner0"
    uses_keras = False  #: whether its trials want Keras's runtime started, were it not there

    @property
    def project_dir(self) -> str:
        """The run directory."""
        raise NotImplementedError

    # ------------------------------------------------------------------ in a trial's process

    @standard
    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains a trial and returns what fit returned, once for each execution.

        Override it to train another way; it runs in the trial's process. Return a History, a dict of metrics, the
        objective as a number, or a list of these.
        """
        if not hasattr(trial, "fit"):
            raise UsageError(f"{type(self).__name__}.run_trial: trials are run by search(), in processes of their own")
        return trial.fit(*args, **kwargs)

    @standard
    def on_batch_begin(self, trial: Any, model: Any, batch: int, logs: Any = None) -> None:
        """Called in the trial's process before a batch."""

    @standard
    def on_batch_end(self, trial: Any, model: Any, batch: int, logs: Any = None) -> None:
        """Called in the trial's process after a batch."""

    @standard
    def on_epoch_begin(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        """Called in the trial's process before an epoch."""

    @standard
    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        """Called in the trial's process after an epoch, with its metrics."""

    @standard
    def save_model(self, trial_id: int | str, model: Any, step: int = 0) -> None:
        """Keeps a model that run_trial trained, for get_best_models. The standard training keeps its best by itself.

        Called in a trial's process, for its own trial.
        """
        trial = current()
        if trial is None or int(trial_id) != trial.id:
            raise UsageError(f"save_model: trial {trial_id} is not trained here; call it in run_trial, for its trial")
        trial.save_model(model, step)

    # ------------------------------------------------------------------ in the process of search()

    @standard
    def on_search_begin(self) -> None:
        """Called by search() before anything else."""

    @standard
    def on_search_end(self) -> None:
        """Called by search() when it ends without an error."""

    @standard
    def pre_create_trial(self) -> None:
        """Called before each on_trial_begin."""

    @standard
    def on_trial_begin(self, trial: Any) -> None:
        """Called when a trial starts for the first time.

        Where hooks of epochs are overridden too, in the trial's process as well, on its copy of the tuner.
        """

    @standard
    def on_trial_end(self, trial: Any) -> None:
        """Called when a trial is over, with its metrics and its score: completed, eliminated or failed for good."""
        self.save()

    # ------------------------------------------------------------------ a subclass's own state

    @standard
    def get_state(self) -> dict[str, Any]:
        """What `save` writes besides the search itself, which needs no saving: types of JSON."""
        return {}

    @standard
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what get_state returned when it was saved."""

    def save(self) -> None:
        """Writes get_state() into the run directory, for a tuner that is made over it later."""
        state = self.get_state()
        if state:
            path = self._state_file
            make_folder(path.parent)
            write_whole(path, json.dumps(state).encode(), durable=False)

    def _restore(self) -> None:
        if self._state_file.exists():
            self.set_state(json.loads(self._state_file.read_text(encoding="utf-8")))

    @property
    def _state_file(self) -> Path:
        return Path(self.project_dir) / f"{self.tuner_id}.json"
