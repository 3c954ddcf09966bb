"""What is optimised, and which way."""

import copy
import itertools
import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpusched.errors import UsageError
from gpusched.objective import Objective, create_objective, infer_direction

# What Keras Tuner 1.4.8 infers, with Keras 3.
MAX = """
    acc accuracy val_acc val_accuracy val_weighted_accuracy weighted_acc binary_accuracy categorical_accuracy
    sparse_categorical_accuracy top_k_categorical_accuracy sparse_top_k_categorical_accuracy precision recall auc
    true_positives true_negatives val_AUC Accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy
    TopKCategoricalAccuracy SparseTopKCategoricalAccuracy TruePositives TrueNegatives Precision Recall AUC
"""
MIN = """
    loss val_loss crossentropy ce bce BCE mse MSE mae MAE mape MAPE msle MSLE binary_crossentropy BinaryCrossentropy
    categorical_crossentropy sparse_categorical_crossentropy val_sparse_categorical_crossentropy hinge squared_hinge
    categorical_hinge huber Huber poisson log_cosh LogCosh kl_divergence KLDivergence mean_absolute_error
    MeanAbsoluteError mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error
    root_mean_squared_error RootMeanSquaredError false_positives FalseNegatives binary_focal_crossentropy
"""
#: Keras Tuner minimises these (the first two rows) or does not know them; Keras's documentation says more is better.
MORE_IS_BETTER = """
    f1_score F1Score fbeta_score FBetaScore r2_score R2Score binary_io_u BinaryIoU
    mean_io_u MeanIoU val_one_hot_mean_io_u precision_at_recall PrecisionAtRecall SensitivityAtSpecificity
    auc_1 val_auc_2 val_precision_12
"""


def test_the_direction_of_keras_metrics_is_known():
    """Every metric and loss of Keras that is clearly better one way needs no direction."""
    assert {name: infer_direction(name) for name in MAX.split()} == dict.fromkeys(MAX.split(), "max")
    assert {name: infer_direction(name) for name in MIN.split()} == dict.fromkeys(MIN.split(), "min")
    assert {name: infer_direction(name) for name in MORE_IS_BETTER.split()} == dict.fromkeys(
        MORE_IS_BETTER.split(), "max"
    )


@pytest.mark.parametrize(
    "name", ["f1", "score", "val_cosine_similarity", "dice", "mean", "my_loss", "val_", "accuracy2", ""]
)
def test_an_unknown_direction_is_not_guessed(name):
    """A name that Keras does not have, or has with two meanings, has no direction of its own."""
    assert infer_direction(name) is None


def test_an_objective_is_parsed_from_what_users_write():
    """A name, a name with its direction, an Objective, a list of them, or nothing for a loop of one's own."""
    f1 = Objective("val_f1", "max")
    assert Objective.parse("val_accuracy") == Objective("val_accuracy", "max")
    assert Objective.parse("val_f1:max") == f1
    assert Objective.parse("val_loss:max") == Objective("val_loss", "max")
    assert Objective.parse("a:b:min") == Objective("a:b", "min")
    assert Objective.parse(f1) is f1
    assert Objective.parse(None) == Objective("default_objective", "min")
    assert Objective.parse(["val_loss", f1, "latency:min"]) == [
        Objective("val_loss", "min"),
        f1,
        Objective("latency", "min"),
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Objective.parse("val_f1"),
            "objective 'val_f1': whether more or less of it is better is not known, say "
            'Objective("val_f1", "max") or "min" (on the command line: --objective val_f1:max)',
        ),
        (lambda: Objective.parse("f1:up"), "Objective('f1'): direction must be 'min' or 'max', not 'up'"),
        (lambda: Objective("f1", None), "Objective('f1'): direction must be 'min' or 'max', not None"),
        (lambda: Objective.parse(":max"), "Objective: name must be the name of a metric, not ''"),
        (
            lambda: Objective.parse(3),
            "objective 3 is not understood: give the name of a metric, an Objective or a list of them",
        ),
        (lambda: Objective.parse([]), "objective is an empty list: name at least one metric"),
        (lambda: Objective.parse(["loss", "loss:max"]), "objective 'loss' is in the list twice: name it once"),
        (
            lambda: Objective.parse(["loss", ["mae"]]),
            "objective ['mae'] in a list is not understood: give the name of a metric or an Objective",
        ),
    ],
)
def test_a_bad_objective_is_refused_with_the_way_out(make, message):
    """One line names what was given and shows what to write, in Python and on the command line."""
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_a_score_is_read_from_the_metrics():
    """Missing, null and numbers that JSON has no form for are no score."""
    objective = Objective("loss", "min")
    metrics = [{"loss": 1}, {"loss": 0.5, "acc": 1}, {"acc": 1}, {"loss": None}, {"loss": math.nan}, {"loss": math.inf}]
    assert [objective.of(each) for each in metrics] == [1.0, 0.5, None, None, None, None]


@pytest.mark.parametrize("direction", ["min", "max"])
def test_no_score_is_worse_than_any(direction):
    """None, NaN and the infinities lose against every number, and are not better than each other."""
    objective = Objective("m", direction)
    missing = [None, math.nan, math.inf, -math.inf]
    assert all(objective.better(0.0, each) and not objective.better(each, 0.0) for each in missing)
    assert not any(objective.better(a, b) for a in missing for b in missing)
    assert objective.best([None, *missing]) is None
    assert objective.best([]) is None


def test_better_follows_the_direction():
    """Less is better for min, more for max, and equal is not better."""
    low, high = Objective("m", "min"), Objective("m", "max")
    assert [low.better(1, 2), low.better(2, 1), low.better(1, 1)] == [True, False, False]
    assert [high.better(1, 2), high.better(2, 1), high.better(1, 1)] == [False, True, False]
    assert (low.worst, high.worst, low.best([3, None, 1]), high.best([3, None, 1])) == (math.inf, -math.inf, 1, 3)


@given(st.lists(st.none() | st.floats(), max_size=8), st.sampled_from(["min", "max"]))
def test_sorting_by_rank_puts_the_best_first(scores, direction):
    """`rank` orders as `better` does, and `best` is its first."""
    objective = Objective("m", direction)
    ordered = sorted(scores, key=objective.rank)
    assert not any(objective.better(b, a) for a, b in itertools.pairwise(ordered))
    best = objective.best(scores)
    assert not any(objective.better(score, best) for score in scores)


@given(st.text(min_size=1), st.sampled_from(["min", "max"]))
def test_an_objective_survives_json_and_text(name, direction):
    """An objective is the same after its config, by way of JSON, and after the text that the command line takes."""
    objective = Objective(name, direction)
    again = Objective.from_config(json.loads(json.dumps(objective.get_config())))
    assert (again, hash(again), Objective.parse(objective.spec)) == (objective, hash(objective), objective)


def test_an_objective_answers_as_keras_tuner_s_does():
    """has_value, get_value, better_than and str are Keras Tuner's."""
    loss, accuracy = create_objective("loss"), create_objective("accuracy")
    assert (loss.has_value({"loss": 3.0}), loss.has_value({"accuracy": 3.0})) == (True, False)
    assert loss.get_value({"accuracy": 3.0, "loss": 2.0}) == 2.0
    assert [each.better_than(*pair) for each in (loss, accuracy) for pair in ((0, 1), (1, 0), (0, 0))] == [
        *(True, False, False),
        *(False, True, False),
    ]
    assert str(accuracy) == 'Objective(name="accuracy", direction="max")'
    assert (create_objective(None), create_objective(loss)) == (Objective("default_objective", "min"), loss)


def test_several_objectives_can_be_asked_as_one():
    """A list is one objective whose value is the sum, and is still the list for whoever iterates over it."""
    both = create_objective(["accuracy", Objective("mine", "min")])
    assert list(both) == Objective.parse(both) == [Objective("accuracy", "max"), Objective("mine", "min")]
    assert (both.get_value({"accuracy": 3.0, "mine": 2.0, "other": 1.0}), both.direction) == (-1.0, "min")
    assert both.has_value({"accuracy": 1.0, "mine": 1.0})
    assert not both.has_value({"accuracy": 1.0})
    assert both == create_objective([Objective("mine", "min"), "accuracy"]) == list(both)
    assert both != create_objective(["accuracy", "accuracy"])
    assert both != Objective("accuracy", "max")
    assert pickle.loads(pickle.dumps(both)) == both
    assert hash(copy.deepcopy(both)) == hash(both)
    assert str(both) == (
        'MultiObjective(name="multi_objective", direction="min"): '
        '[Objective(name="accuracy", direction="max"), Objective(name="mine", direction="min")]'
    )


def test_an_objective_of_a_wrong_type_is_a_type_error():
    """As in Keras Tuner, by name."""
    with pytest.raises(TypeError, match="objective 3 is not understood"):
        create_objective([3, "accuracy"])
