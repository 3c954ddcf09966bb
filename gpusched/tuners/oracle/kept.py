"""What an oracle remembers beside its trials, and how it is written down."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, overload

from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameter, HyperParameters
from gpusched.storage.files import make_folder
from gpusched.storage.rundir import write_whole
from gpusched.trials import Trial

_T = TypeVar("_T")


class Misuse(UsageError, RuntimeError):
    """What an oracle cannot go on with (Keras Tuner raises RuntimeError, so this is one as well)."""


class UnknownTrial(UsageError, KeyError):
    """No trial has this id (a KeyError as well, as in Keras Tuner)."""

    __str__ = Exception.__str__  # KeyError's shows its text as a quoted key


class Seen(Generic[_T]):
    """An attribute of an oracle that looks at the run first, where a tuner's search is what it answers for."""

    def __init__(self, look: Callable[[Any], None]) -> None:
        self._look = look

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, oracle: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, oracle: Kept, owner: type | None = None) -> _T: ...
    def __get__(self, oracle: Kept | None, owner: type | None = None) -> Any:
        if oracle is None:
            return self
        self._look(oracle)
        try:
            return oracle.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(oracle).__name__}: call super().__init__() first") from None

    def __set__(self, oracle: Kept, value: _T) -> None:
        oracle.__dict__[self._name] = value


class Kept:
    """The memory of an oracle."""

    trials = Seen[dict[str, Trial]](lambda oracle: oracle._look())  #: by id, in the order of their starts
    ongoing_trials = Seen[dict[str, Trial]](lambda oracle: oracle._look())  #: by the id of the tuner at work on it
    start_order = Seen[list[str]](lambda oracle: oracle._look())  #: ids of trials
    end_order = Seen[list[str]](lambda oracle: oracle._look())
    hyperparameters = Seen[HyperParameters](lambda oracle: oracle._look_at_space())  #: all that are known

    seed: int
    project_name: str | None
    directory: Any
    _view: Any
    _keeps_files: bool
    _run_times: dict[str, int]
    _retry_queue: list[str]
    _seed_state: int
    _tried_so_far: set[str]
    _id_to_hash: dict[str, str | None]
    _max_collisions: int

    def _look(self) -> None:
        if self.__dict__.get("_view") is not None:
            self._view.look(self)

    def _look_at_space(self) -> None:
        if self.__dict__.get("_view") is not None:
            self._view.look_at_space(self)

    # ------------------------------------------------------------------ on disk

    def get_state(self) -> dict[str, Any]:
        """All but the trials, which have files of their own, as a dict of JSON's types."""
        return {
            "ongoing_trials": {tuner_id: trial.trial_id for tuner_id, trial in self.ongoing_trials.items()},
            "hyperparameters": self.hyperparameters.get_config(),
            "start_order": self.start_order,
            "end_order": self.end_order,
            "run_times": dict(self._run_times),
            "retry_queue": self._retry_queue,
            "seed": self.seed,
            "seed_state": self._seed_state,
            "tried_so_far": sorted(self._tried_so_far),
            "id_to_hash": dict(self._id_to_hash),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Makes it what `get_state` told; the trials are there already."""
        self.ongoing_trials = {
            tuner_id: self.trials[trial_id] for tuner_id, trial_id in state["ongoing_trials"].items()
        }
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.start_order = list(state["start_order"])
        self.end_order = list(state["end_order"])
        self._run_times = defaultdict(int, state["run_times"])
        self._retry_queue = list(state["retry_queue"])
        self.seed = state["seed"]
        self._seed_state = state["seed_state"]
        self._tried_so_far = set(state["tried_so_far"])
        self._id_to_hash = dict(state["id_to_hash"])

    def _set_project_dir(self, directory: Any, project_name: str) -> None:
        """Where it is written down."""
        self.directory, self.project_name = directory, project_name

    @property
    def _project_dir(self) -> str:
        if self.project_name is None:
            raise Misuse(f"{type(self).__name__}: it has no folder yet; give it to a tuner")
        return str(make_folder(Path(self.directory) / self.project_name))

    def _get_oracle_fname(self) -> str:
        return str(Path(self._project_dir) / "oracle.json")

    def _get_trial_dir(self, trial_id: str) -> str:
        return str(make_folder(Path(self._project_dir), f"trial_{trial_id}"))

    def _save_trial(self, trial: Trial) -> None:
        if self._keeps_files and self.project_name is not None:
            trial.save(Path(self._get_trial_dir(trial.trial_id)) / "trial.json")

    def save(self) -> None:
        """Writes its state into its folder, where it has one. What a tuner's search decides is in the run's journal."""
        if self._keeps_files and self.project_name is not None:
            write_whole(Path(self._get_oracle_fname()), json.dumps(self.get_state()).encode(), durable=False)

    def reload(self) -> None:
        """Goes on from what is in its folder; trials that were under way are handed out again.

        Raises RuntimeError where that is not an oracle's of this kind.
        """
        if self._view is not None or not self._keeps_files:
            return  # A tuner's: the run in its folder is read whenever something is asked.
        folder = Path(self._project_dir)
        for file in sorted(folder.glob("trial_*/trial.json")):
            trial = Trial.load(file)
            self.trials[trial.trial_id] = trial
        try:
            self.set_state(json.loads(Path(self._get_oracle_fname()).read_text(encoding="utf-8")))
        except KeyError as error:
            raise Misuse(
                f"{folder}: what is there was not written by a {type(self).__name__} ({error} is missing); "
                "give another project_name, or overwrite=True"
            ) from error
        self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values()]
        self.ongoing_trials = {}

    # ------------------------------------------------------------------ values, and which were tried

    def _random_values(self) -> dict[str, Any] | None:
        """Values of all active hyperparameters at random; None where nothing untried is found any more."""
        for _ in range(self._max_collisions + 1):
            drawn = HyperParameters()
            for each in self.hyperparameters.space:
                drawn.merge([each])
                if drawn.is_active(each):
                    drawn.values[each.name] = self._random_value(each)
            if not self._duplicate(drawn.values):
                return drawn.values
        return None

    def _random_value(self, hyperparameter: HyperParameter) -> Any:
        self._seed_state += 1
        return hyperparameter.random_sample(self._seed_state - 1)

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        text = "".join(f"{name}={values[name]}" for name in sorted(values))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _duplicate(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial has had these values."""
        return self._compute_values_hash(values) in self._tried_so_far

    def _record_values(self, trial: Trial) -> None:
        """Remembers its values as tried; those it had before it met new hyperparameters are forgotten."""
        trial.hyperparameters.ensure_active_values()
        new, old = self._compute_values_hash(trial.hyperparameters.values), self._id_to_hash.get(trial.trial_id)
        self._tried_so_far.add(new)
        if old is not None and old != new:
            self._tried_so_far.discard(old)
        self._id_to_hash[trial.trial_id] = new
