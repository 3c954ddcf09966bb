"""Which names Keras Tuner has under which paths, where gpusched has them, and what to use where it does not.

Tables and nothing else: `paths` makes modules of them.
"""

from __future__ import annotations

#: Where each name is at home; `module:name` where it is called something else there. A name that means different
#: things under different paths stands with its path.
HOMES = {
    "BaseTuner": "gpusched.tuners",
    "BayesianOptimization": "gpusched.tuners",
    "BayesianOptimizationOracle": "gpusched.tuners.oracle",
    "Boolean": "gpusched.hyperparameters",
    "Choice": "gpusched.hyperparameters",
    "DefaultObjective": "gpusched.objective",
    "FailedTrialError": "gpusched.errors",
    "FatalError": "gpusched.errors",
    "FatalRuntimeError": "gpusched.errors",
    "FatalTypeError": "gpusched.errors",
    "FatalValueError": "gpusched.errors",
    "Fixed": "gpusched.hyperparameters",
    "Float": "gpusched.hyperparameters",
    "GridSearch": "gpusched.tuners",
    "HyperEfficientNet": "gpusched.applications",
    "HyperImageAugment": "gpusched.applications",
    "HyperResNet": "gpusched.applications",
    "HyperXception": "gpusched.applications",
    "GridSearchOracle": "gpusched.tuners.oracle",
    "HyperModel": "gpusched.hypermodel",
    "HyperParameter": "gpusched.hyperparameters",
    "HyperParameters": "gpusched.hyperparameters",
    "Hyperband": "gpusched.tuners",
    "HyperbandOracle": "gpusched.tuners.oracle",
    "Int": "gpusched.hyperparameters",
    "MetricHistory": "gpusched.metrics",
    "MetricObservation": "gpusched.metrics",
    "MetricsTracker": "gpusched.metrics",
    "MultiObjective": "gpusched.objective",
    "MultiExecutionTuner": "gpusched.tuners",
    "Objective": "gpusched.objective",
    "Oracle": "gpusched.tuners.oracle",
    "RandomSearch": "gpusched.tuners",
    "RandomSearchOracle": "gpusched.tuners.oracle",
    "Sklearn": "gpusched.tuners.sklearn:SklearnTuner",
    "SklearnTuner": "gpusched.tuners.sklearn",
    "Trial": "gpusched.trials",
    "TrialStatus": "gpusched.trials",
    "Tuner": "gpusched.tuners",
    "Parent": "gpusched.hyperparameters",
    "create_objective": "gpusched.objective",
    "deserialize": "gpusched.hyperparameters",
    "engine.conditions.deserialize": "gpusched.hyperparameters.conditions",
    "engine.conditions.serialize": "gpusched.hyperparameters.conditions",
    "generate_trial_id": "gpusched.trials",
    "infer_metric_direction": "gpusched.metrics",
    "maybe_distribute": "gpusched.trial.fitting.distribution",
    "serialize": "gpusched.hyperparameters",
    "synchronized": "gpusched.tuners.oracle",
}

_TUNERS = "BayesianOptimization GridSearch Hyperband RandomSearch SklearnTuner Tuner"
_ORACLES = "BayesianOptimizationOracle GridSearchOracle HyperbandOracle RandomSearchOracle"
_TYPES = "Boolean Choice Fixed Float Int"
_ERRORS = "FailedTrialError FatalError FatalRuntimeError FatalTypeError FatalValueError"

#: What the package itself has: attributes that are loaded when they are asked for.
TOP = f"HyperModel HyperParameter HyperParameters Objective Oracle {_TUNERS} synchronized".split()

#: What is below which path, Keras Tuner's own and, from older releases, kerastuner's. Real modules come first.
PATHS = {
    path: names.split()
    for path, names in {
        "applications": "HyperEfficientNet HyperImageAugment HyperResNet HyperXception",
        "applications.augment": "HyperImageAugment",
        "applications.efficientnet": "HyperEfficientNet",
        "applications.resnet": "HyperResNet",
        "applications.xception": "HyperXception",
        "engine": "",
        "engine.base_tuner": "BaseTuner",
        "engine.conditions": "Parent deserialize serialize",
        "engine.hypermodel": "HyperModel",
        "engine.hyperparameters": f"HyperParameter HyperParameters {_TYPES} deserialize serialize",
        "engine.hyperparameters.hp_types": _TYPES,
        "engine.hyperparameters.hyperparameter": "HyperParameter",
        "engine.hyperparameters.hyperparameters": "HyperParameter HyperParameters",
        "engine.metrics_tracking": "MetricHistory MetricObservation MetricsTracker infer_metric_direction",
        "engine.multi_execution_tuner": "MultiExecutionTuner",
        "engine.objective": "DefaultObjective MultiObjective Objective create_objective",
        "engine.oracle": "Objective Oracle synchronized",
        "engine.trial": "Trial TrialStatus generate_trial_id",
        "engine.tuner": "MultiExecutionTuner Tuner maybe_distribute",
        "engine.tuner_utils": "",
        "errors": _ERRORS,
        "oracles": _ORACLES,
        "src": "",
        "tuners": f"{_TUNERS} Sklearn",
        "tuners.bayesian": "BayesianOptimization BayesianOptimizationOracle",
        "tuners.gridsearch": "GridSearch GridSearchOracle",
        "tuners.hyperband": "Hyperband HyperbandOracle",
        "tuners.randomsearch": "RandomSearch RandomSearchOracle",
        "tuners.sklearn_tuner": "SklearnTuner",
    }.items()
}

#: What gpusched does without, and what to use instead: modules by their paths, other names alone.
INSTEAD = {
    "abstractions": "what a search prints is gpusched's own; leave the import out",
    "backend": "import keras itself",
    "config": "ask keras.backend.backend() for the backend",
    "distribute": "trials run in parallel without chief and workers; leave the import out",
    "distributions": "trials run in parallel without chief and workers; leave the import out",
    "engine.logger": "every run is logged in its directory; leave the import out",
    "engine.stateful": "Trial and Oracle have get_state, set_state, save and reload themselves",
    "protos": "a run directory is read as JSON, see `gpusched export`",
    "utils": "json and os have what Keras Tuner's utils wrap",
    "Condition": "Parent is the only kind of condition",
    "Display": "what a search prints is gpusched's own; override on_trial_begin or on_trial_end of your tuner",
    "SaveBestEpoch": "the best weights of every trial are kept; get_best_models loads them",
    "TunerCallback": "override on_epoch_begin, on_epoch_end, on_batch_begin or on_batch_end of your tuner",
    "average_metrics_dicts": "return the list of results, its mean is taken",
    "convert_hyperparams_to_hparams": "give search a keras.callbacks.TensorBoard, its hparams are written",
    "convert_to_metrics_dict": "return what fit returned, a dict or a float from run_trial",
    "get_best_step": "return what fit returned from run_trial; the trial's best_step says it",
    "validate_trial_results": "return what fit returned, a dict or a float from run_trial",
}
