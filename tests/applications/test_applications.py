"""The ready hypermodels: their hyperparameters are Keras Tuner's, and what they build trains."""

from __future__ import annotations

import numpy as np
import pytest

from gpusched.applications import HyperEfficientNet, HyperImageAugment, HyperResNet, HyperXception
from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters


def fixed(**values):
    hp = HyperParameters()
    for name, value in values.items():
        hp.Fixed(name, value)
    return hp


RESNET = {"version": "v2", "conv3_depth": 4, "conv4_depth": 6, "pooling": "avg"}
XCEPTION = {
    "activation": "relu",
    "conv2d_num_filters": 64,
    "kernel_size": 3,
    "initial_strides": 2,
    "sep_num_filters": 256,
    "num_residual_blocks": 4,
    "pooling": "avg",
}
XCEPTION_TOP = {"num_dense_layers": 1, "dropout_rate": 0.5, "dense_use_bn": True, "learning_rate": 1e-3}


@pytest.mark.keras
@pytest.mark.parametrize(
    ("hypermodel", "values", "parameters"),
    [
        (HyperResNet, {**RESNET, "optimizer": "adam", "learning_rate": 0.01}, 23_585_290),
        (HyperXception, {**XCEPTION, **XCEPTION_TOP}, 1_059_744),
    ],
)
def test_defaults_and_size_are_keras_tuner_s(hypermodel, values, parameters):
    """The hyperparameters in their order, their defaults, and as many parameters as Keras Tuner's model has."""
    hp = HyperParameters()
    model = hypermodel(input_shape=(32, 32, 3), classes=10).build(hp)
    assert list(hp.values.items()) == list(values.items())
    assert (model.output_shape, model.count_params()) == ((None, 10), parameters)
    assert float(model.optimizer.learning_rate) == pytest.approx(values["learning_rate"])


@pytest.mark.keras
@pytest.mark.parametrize(
    ("hypermodel", "given", "parameters"),
    [
        (HyperResNet, {"version": "v1"}, 23_608_202),
        (HyperResNet, {"version": "next", "pooling": "max"}, 22_821_194),
        (HyperXception, {"activation": "selu", "pooling": "flatten", "num_residual_blocks": 4}, 2_355_896),
    ],
)
def test_every_kind_has_the_size_of_keras_tuner_s(hypermodel, given, parameters):
    """Each version, activation and pooling builds, with as many parameters."""
    model = hypermodel(input_shape=(64, 64, 3), classes=10).build(fixed(**given))
    assert (model.output_shape, model.count_params()) == ((None, 10), parameters)


@pytest.mark.keras
@pytest.mark.parametrize(("hypermodel", "values"), [(HyperResNet, RESNET), (HyperXception, XCEPTION)])
def test_without_a_top_a_model_ends_with_features(hypermodel, values):
    """It is not compiled, asks for nothing of the top, and takes images from a Keras tensor."""
    import keras

    hp, images = HyperParameters(), keras.Input((32, 32, 3))
    model = hypermodel(include_top=False, input_tensor=images).build(hp)
    assert hp.values == values
    assert (model.compiled, len(model.output_shape), model.inputs[0] is images) == (False, 2, True)


@pytest.mark.keras
def test_an_efficient_net_is_resized_augmented_and_given_a_top(monkeypatch):
    """Keras's network stands between the images, made as large as its version wants, and the classes."""
    import keras

    def small(include_top, input_tensor):
        assert (include_top, input_tensor.shape) == (False, (None, 240, 240, 3))
        features = keras.layers.Conv2D(4, 3, strides=16)(input_tensor)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), features)

    monkeypatch.setattr(keras.applications, "EfficientNetB1", small)
    hp = fixed(version="B1")
    augment = HyperImageAugment(input_shape=(32, 32, 3), augment_layers=0)
    model = HyperEfficientNet(input_shape=(32, 32, 3), classes=5, augmentation_model=augment).build(hp)
    assert {
        "pooling": "avg",
        "top_dropout_rate": 0.2,
        "learning_rate": 0.01,
        "factor_rotate": 0,
    }.items() <= hp.values.items()
    assert model.layers[1].name == "image_augment"
    assert model.predict(np.ones((1, 32, 32, 3)), verbose=0).shape == (1, 5)


def test_transforms_are_ranges():
    """One number is searched from 0, two between them, nothing turns a transform off."""
    assert HyperImageAugment(input_shape=(8, 8, 3)).transforms == [
        ("rotate", (0, 0.5)),
        ("translate_x", (0, 0.4)),
        ("translate_y", (0, 0.4)),
        ("contrast", (0, 0.3)),
    ]
    some = HyperImageAugment(input_shape=(8, 8, 3), rotate=0.3, translate_x=[0.1, 0.5], translate_y=0, contrast=None)
    assert some.transforms == [("rotate", (0, 0.3)), ("translate_x", (0.1, 0.5))]


@pytest.mark.keras
@pytest.mark.parametrize(("layers", "name"), [(0, "image_augment"), ([2, 3], "image_rand_augment")])
def test_images_are_transformed_in_training_alone(layers, name):
    """In training some images change, at other times none; images of any size fit."""
    images = np.random.default_rng(0).random((8, 16, 16, 3), dtype="float32")
    hp = HyperParameters()
    model = HyperImageAugment(input_shape=(None, None, 3), rotate=[0.2, 0.5], augment_layers=layers).build(hp)
    assert model.name == name
    assert (model.predict(images, verbose=0) == images).all()
    assert not np.array_equal(model(images, training=True), images)
    assert hp.get("factor_rotate") == 0.2
    assert hp.values.get("augment_layers") == (2 if layers else None)


@pytest.mark.keras
def test_an_augmentation_is_saved_and_loaded(tmp_path):
    """Its layer is known to Keras by name."""
    import keras

    model = HyperImageAugment(input_shape=(8, 8, 3), rotate=[0.2, 0.5]).build(HyperParameters())
    model.save(tmp_path / "augment.keras")
    again = keras.models.load_model(tmp_path / "augment.keras")
    layer = again.layers[-1]
    assert (layer.transforms[0], layer.factors) == ("rotate", [0.2, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HyperResNet(input_shape=(8, 8, 3)), "HyperResNet: You must specify `classes`"),
        (lambda: HyperXception(classes=3), "HyperXception: You must specify either `input_shape` or `input_tensor`"),
        (lambda: HyperEfficientNet(input_shape=(8, 8, 3)), "You must specify `classes`"),
        (lambda: HyperImageAugment(), "You must specify either"),
        (lambda: HyperImageAugment((8, 8, 3), augment_layers=1.5), "augment_layers must be int, or two, but is 1.5"),
        (lambda: HyperImageAugment((8, 8, 3), contrast=[0, 1, 2]), "contrast=.* the length must not exceed 2"),
        (lambda: HyperImageAugment((8, 8, 3), contrast=[0.5, "a"]), "contrast must be int or float"),
    ],
)
def test_wrong_arguments_are_named(make, words):
    """When the hypermodel is made, not when it builds."""
    with pytest.raises(UsageError, match=words):
        make()


@pytest.mark.keras
def test_an_augmentation_model_builds_or_is_built():
    """Anything else is refused by name."""
    with pytest.raises(UsageError, match="augmentation_model must be a HyperModel or a Keras model, not 0"):
        HyperEfficientNet(input_shape=(8, 8, 3), classes=3, augmentation_model=0)
