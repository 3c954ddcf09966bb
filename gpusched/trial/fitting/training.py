"""Trains a Keras model for one job: builds it, carries its state on, calls fit, and takes what fit returns.

Knows what Keras Tuner's users expect of `build`, `fit`, callbacks and executions. What is done about
a trial that fails is not its business.
"""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpusched.core.outcome import End
from gpusched.errors import FatalError
from gpusched.hypermodel import HyperModel, build
from gpusched.storage.rundir import RunDir
from gpusched.trial.fitting import framework, state
from gpusched.trial.fitting.arrays import share_arrays
from gpusched.trial.fitting.results import metrics_of
from gpusched.trial.record import Ending, Stopped
from gpusched.trial.settings import RESUMING, Asked
from gpusched.trial.tuning.overriding import overridden

if TYPE_CHECKING:
    from gpusched.trial.fitting.recorder import Recorder
    from gpusched.trial.job import Job

#: Of Keras's fit, behind x and y.
_POSITIONAL = ("batch_size", "epochs", "verbose", "callbacks", "validation_split", "validation_data", "shuffle")


def compile_model(asked: Asked, hp: Any) -> Any:
    """The model for these hyperparameters, `optimizer`, `loss` and `metrics` of the tuner in place of its own.

    Raises FatalError where there is no model: every trial would end so.
    """
    assert asked.hypermodel is not None
    model = build(asked.hypermodel, hp)
    if not hasattr(model, "fit"):
        raise FatalError(
            f"build_model returned {model!r} ({type(model).__name__}), which is not a Keras model"
            + (": is its `return model` missing?" if model is None else "")
        )
    if asked.optimizer is None and asked.loss is None and asked.metrics is None:
        return model
    _recompile(asked, model)
    return model


def _recompile(asked: Asked, model: Any) -> None:
    import keras

    optimizer = getattr(model, "optimizer", None)
    if asked.optimizer is not None:
        optimizer = asked.optimizer
        if not isinstance(optimizer, str | Mapping):
            # Its variables belong to one model only.
            optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    metrics = asked.metrics
    if metrics is None:
        config = model.get_compile_config() if getattr(model, "compiled", False) else None
        metrics = (config or {}).get("metrics")
    else:
        metrics = copy.deepcopy(metrics)
    arguments: dict[str, Any] = {"loss": asked.loss if asked.loss is not None else getattr(model, "loss", None)}
    if optimizer is not None:
        arguments["optimizer"] = optimizer
    model.compile(**arguments, metrics=metrics)


def model_size(model: Any) -> int:
    """How many numbers training can change; 0 of a model that is not built yet."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights) if model.built else 0


class Fitter:
    """All executions of one job."""

    def __init__(self, job: Job) -> None:
        from gpusched.trial.fitting.recorder import Best

        self.job = job
        self.asked = job.task.asked
        self.folder = RunDir(Path(job.spec.run)).trial(job.spec.trial)
        self.best = Best(self.folder.best, job.record.objectives[0])
        if self.best.damage is not None:
            job.record.warnings.append(f"{self.best.damage}; the best weights are those of the best epoch from now on")
        self.used = False

    def run(self, hypermodel: HyperModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Trains every execution that is not trained yet; returns what each fit returned."""
        self.used = True
        record, spec = self.job.record, self.job.spec
        args, kwargs = _by_name(hypermodel, args, kwargs)
        free = self._decides_its_length(hypermodel, kwargs)
        record.patience = _patience(hypermodel, kwargs, spec.stop_epoch - spec.start_epoch)
        results = []
        for execution in range(record.executions):
            epoch = self.job.states.epoch(execution)
            record.begin(execution, epoch)
            meta = self.job.states.meta(execution) or {}
            if meta.get("done") or (not free and epoch >= spec.stop_epoch):
                record.finished[execution] = True
                continue
            if self.job.stop.asked:
                raise Stopped
            results.append(self._execute(hypermodel, args, dict(kwargs), execution, epoch, free))
            record.finished[execution] = True
        return results

    def _decides_its_length(self, hypermodel: HyperModel, kwargs: dict[str, Any]) -> bool:
        """Whether nobody said how many epochs there are, and the training is the user's own; or run_trial says it."""
        asked, epochs = self.asked, kwargs.get("epochs")
        if self.job.task.own_run_trial and asked.algorithm not in RESUMING and epochs is not None:
            return bool(epochs != self.job.spec.stop_epoch)
        said = asked.algorithm in RESUMING or asked.max_epochs is not None or "epochs" in kwargs
        return hypermodel.own_fit and not said and (self.job.spec.start_epoch, self.job.spec.stop_epoch) == (0, 1)

    def _execute(
        self,
        hypermodel: HyperModel,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        execution: int,
        epoch: int,
        free: bool,
    ) -> Any:
        import keras

        from gpusched.trial.fitting.recorder import Recorder

        job, spec = self.job, self.job.spec
        # Layers are named as in Keras Tuner, whatever the script has built: get_layer("dense_1") finds one.
        keras.backend.clear_session(free_memory=execution > 0)
        if execution:
            gc.collect()
        framework.seed_everything(framework.seed_of(spec.seed, spec.trial, execution, epoch))
        whole = overridden(job.task.tuner, "_build_and_fit_model")
        if not whole:
            with self._scope():
                model = self._build(job.space.hp)
        user = self._callbacks(kwargs, execution)
        recorder = Recorder(
            record=job.record,
            states=job.states,
            best=self.best,
            stop=job.stop,
            execution=execution,
            stop_epoch=None if free else spec.stop_epoch,
            every_epoch=spec.checkpoint_every == "epoch",
            callbacks=user,
            on_built=self._check_size,
        )
        kwargs["callbacks"] = [*user, *self._hooks(), recorder]
        if not free:
            kwargs["epochs"] = spec.stop_epoch
        if epoch or self.asked.algorithm in RESUMING:
            kwargs["initial_epoch"] = epoch
        if whole:
            result = job.task.tuner._build_and_fit_model(job.trial, *args, **kwargs)
            self._take(result, recorder, recorder.model, hypermodel)
            return result
        self._check_size(model)
        meta = job.states.meta(execution)
        if meta is not None and state.build_if_possible(model, meta):
            recorder.restore(model)
        if getattr(model, "built", False):
            state.build_optimizer(model)
        if not hypermodel.own_fit:
            args, kwargs = share_arrays(args, kwargs)
        result = hypermodel.fit(job.space.hp, model, *args, **kwargs)
        self._take(result, recorder, model, hypermodel)
        return result

    def _build(self, hp: Any) -> Any:
        """The model; methods of Keras Tuner's that build it may be overridden, though they are private."""
        tuner = self.job.task.tuner
        own = next((name for name in ("_try_build", "_build_hypermodel") if overridden(tuner, name)), None)
        return compile_model(self.asked, hp) if own is None else getattr(tuner, own)(hp)

    def _take(self, result: Any, recorder: Recorder, model: Any, hypermodel: HyperModel) -> None:
        """What fit returned, in so far as the callback has not seen it."""
        record, execution = self.job.record, recorder.execution
        before = self.job.states.epoch(execution)
        unseen = record.reported[execution] == record.began[execution]
        if unseen or record.lacking(execution):
            rows = metrics_of(result, record.objectives, f"{type(hypermodel).__name__}.fit()")
            if unseen:
                for row in rows:
                    record.add(row, execution)
                    self.best.offer(model, record.reported[execution], execution, row)
                if absent := record.lacking(execution):
                    raise record.absent(absent[0], rows[-1] if rows else {})
            else:
                record.amend(rows[-1] if rows else {}, execution)
        epoch = record.reported[execution]
        if epoch != recorder.saved_epoch and epoch > before:
            stopped = recorder.stop_epoch is None or epoch < recorder.stop_epoch
            recorder.save(model, done=stopped)

    # ------------------------------------------------------------------ around fit

    def _check_size(self, model: Any) -> None:
        limit = self.asked.max_model_size
        if limit is not None and (size := model_size(model)) > limit:
            raise Ending(
                End.OVERSIZE,
                "oversize",
                f"the model has {size} parameters, more than max_model_size={limit}",
                retry=False,
            )

    def _scope(self) -> AbstractContextManager[Any]:
        from gpusched.trial.fitting.distribution import scope

        return scope(self.asked, self.job.spec) if self._several_devices() else nullcontext()

    def _several_devices(self) -> bool:
        return self.asked.distribution_strategy is not None or len(framework.pinned(self.job.spec.env)) > 1

    def _callbacks(self, kwargs: dict[str, Any], execution: int) -> list[Any]:
        """The user's callbacks, a copy for this training alone."""
        given = kwargs.get("callbacks") or []
        if not isinstance(given, list | tuple):
            given = [given]
        try:
            copies = [copy.deepcopy(callback) for callback in given]
        except Exception as error:
            names = ", ".join(type(callback).__name__ for callback in given)
            raise FatalError(
                f"callbacks ({names}): copy.deepcopy fails ({error}); every trial trains with a copy of its own"
            ) from error
        if any(type(callback).__name__ == "TensorBoard" for callback in copies):
            from gpusched.trial.fitting.tensorboard import move

            copies += move(copies, self.job.spec.trial, execution, self.job.space.hp)
        return copies

    def _hooks(self) -> list[Any]:
        """Calls the tuner's own on_epoch_end and the like, where a subclass has them."""
        from gpusched.trial.fitting.hooks import hooks

        return hooks(self.job.task.tuner, self.job.trial)


def _by_name(
    hypermodel: HyperModel, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional arguments behind x and y by their names, so that they meet those given by name."""
    if hypermodel.own_fit:
        return args, kwargs
    if len(args) > 2:
        kwargs = {**dict(zip(_POSITIONAL, args[2:], strict=False)), **kwargs}
        args = args[:2]
    kwargs.setdefault("verbose", 2)  # A line an epoch: what a log can hold.
    return args, kwargs


def _patience(hypermodel: HyperModel, kwargs: Mapping[str, Any], epochs: int) -> int | None:
    """After how many epochs an objective that is not among the metrics cannot come any more."""
    if hypermodel.own_fit:
        return None
    frequency = kwargs.get("validation_freq", 1)
    if not isinstance(frequency, int):
        frequency = max(map(int, frequency), default=1)
    return max(1, min(frequency, epochs))
