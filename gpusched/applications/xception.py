"""Depthwise separable residual networks whose width, depth and top are searched (Chollet 2017)."""

from __future__ import annotations

from typing import Any

from gpusched.applications.images import ImageClassifier, channel_axis, pooled
from gpusched.hyperparameters import HyperParameters

#: Keeps the variance of what goes through selu (Klambauer et al. 2017).
_SELU = "lecun_normal"


class HyperXception(ImageClassifier):
    """An Xception network for images of (height, width, channels) and one-hot classes.

    Its hyperparameters: activation, conv2d_num_filters, kernel_size, initial_strides, sep_num_filters,
    num_residual_blocks, pooling; with the top also num_dense_layers, dropout_rate, dense_use_bn and learning_rate.

    Args:
        include_top: whether the classes are told and the model is compiled; False: it ends with pooled features.
        input_shape, input_tensor: one of them: the shape of an image, or the Keras tensor of the images.
        classes: how many there are.
        **kwargs: HyperModel's name and tunable.
    """

    def build(self, hp: HyperParameters) -> Any:
        import keras

        activation = hp.Choice("activation", ["relu", "selu"])
        inputs, images = self.images()
        x = _stem(images, hp, activation)
        filters = hp.Int("sep_num_filters", 128, 768, step=128, default=256)
        for _ in range(hp.Int("num_residual_blocks", 2, 8, default=4)):
            x = _residual(x, filters, activation)
        x = _residual(x, 2 * filters, activation, pool=True)
        x = pooled(x, hp.Choice("pooling", ["avg", "flatten", "max"]))
        if not self.include_top:
            return keras.Model(inputs, x, name="Xception")
        model = keras.Model(inputs, self._top(x, hp, activation), name="Xception")
        rate = hp.Choice("learning_rate", [1e-3, 1e-4, 1e-5])
        model.compile(keras.optimizers.Adam(rate), loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    def _top(self, x: Any, hp: HyperParameters, activation: str) -> Any:
        from keras import layers

        count = hp.Int("num_dense_layers", 1, 3)
        dropout = hp.Float("dropout_rate", 0.0, 0.6, step=0.1, default=0.5)
        normalise = hp.Choice("dense_use_bn", [True, False])
        for _ in range(count):
            if activation == "selu":
                x = layers.Dense(self.classes, activation="selu", kernel_initializer=_SELU)(x)
            else:
                x = layers.Dense(self.classes, activation="relu")(x)
                x = layers.BatchNormalization()(x) if normalise else x
            x = layers.Dropout(dropout)(x) if dropout else x
        return layers.Dense(self.classes, activation="softmax")(x)


def _stem(images: Any, hp: HyperParameters, activation: str) -> Any:
    from keras import layers

    filters = hp.Choice("conv2d_num_filters", [32, 64, 128], default=64)
    size, strides = hp.Choice("kernel_size", [3, 5]), hp.Choice("initial_strides", [2])
    if activation == "selu":
        return layers.Conv2D(
            filters, size, strides=strides, padding="same", activation="selu", kernel_initializer=_SELU
        )(images)
    return _active(layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(images))


def _residual(x: Any, filters: int, activation: str, pool: bool = False) -> Any:
    """Two separable convolutions beside a shortcut; `pool` halves height and width."""
    from keras import layers

    if pool or x.shape[channel_axis()] != filters:
        shortcut = layers.Conv2D(filters, 1, strides=2 if pool else 1, padding="same")(x)
    else:
        shortcut = x
    for _ in range(2):
        if activation == "selu":
            x = layers.SeparableConv2D(
                filters,
                3,
                padding="same",
                activation="selu",
                depthwise_initializer=_SELU,
                pointwise_initializer=_SELU,
            )(x)
        else:
            x = _active(layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x) if pool else x
    return layers.Add()([x, shortcut])


def _active(x: Any) -> Any:
    from keras import layers

    return layers.Activation("relu")(layers.BatchNormalization(axis=channel_axis())(x))
