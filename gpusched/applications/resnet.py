"""Residual networks of a kind and depth that are searched: v1 (He et al. 2015), v2 (He 2016), next (Xie et al. 2017).

Every version is a stem and four stacks of bottleneck blocks; a table says in what they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpusched.applications.images import ImageClassifier, channel_axis, classified, pooled
from gpusched.hyperparameters import HyperParameters


@dataclass(frozen=True)
class _Version:
    widths: tuple[int, int, int, int]  #: filters of each stack's bottleneck
    strides: tuple[int, int, int, int]  #: of each stack, taken by one of its blocks
    expansion: int  #: a block ends with so many times its bottleneck's filters
    groups: int = 1  #: of the 3×3 convolution
    bias: bool = True  #: of convolutions that a normalisation follows


_VERSIONS = {
    "v1": _Version((64, 128, 256, 512), (1, 2, 2, 2), expansion=4),
    "v2": _Version((64, 128, 256, 512), (2, 2, 2, 1), expansion=4),
    "next": _Version((64, 256, 512, 1024), (2, 2, 2, 1), expansion=2, groups=32, bias=False),
}


class HyperResNet(ImageClassifier):
    """A residual network for images of (height, width, channels) and one-hot classes.

    Its hyperparameters: version, conv3_depth, conv4_depth, pooling; with the top also optimizer and learning_rate.

    Args:
        include_top: whether the classes are told and the model is compiled; False: it ends with pooled features.
        input_shape, input_tensor: one of them: the shape of an image, or the Keras tensor of the images.
        classes: how many there are.
        **kwargs: HyperModel's name and tunable.
    """

    def build(self, hp: HyperParameters) -> Any:
        import keras

        version = hp.Choice("version", ["v1", "v2", "next"], default="v2")
        third = hp.Choice("conv3_depth", [4, 8])
        fourth = hp.Choice("conv4_depth", [6, 23, 36])
        inputs, images = self.images()
        features = _features(images, version, (3, third, fourth, 3))
        features = pooled(features, hp.Choice("pooling", ["avg", "max"], default="avg"))
        if not self.include_top:
            return keras.Model(inputs, features, name="ResNet")
        model = keras.Model(inputs, classified(features, self.classes), name="ResNet")
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"], default="adam"))
        optimizer.learning_rate = hp.Choice("learning_rate", [0.1, 0.01, 0.001], default=0.01)
        model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
        return model


def _features(images: Any, version: str, depths: tuple[int, int, int, int]) -> Any:
    from keras import layers

    kind = _VERSIONS[version]
    x = layers.Conv2D(64, 7, strides=2, padding="same", use_bias=kind.bias, name="conv1_conv")(images)
    if version != "v2":
        x = _active(x, "conv1")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1_pool")(x)
    block = _preactivated if version == "v2" else _block
    for stack, (width, stride, depth) in enumerate(zip(kind.widths, kind.strides, depths, strict=True), 2):
        # v2 takes the stride in the last block of a stack, the others in the first.
        strided = depth if version == "v2" else 1
        for number in range(1, depth + 1):
            name = f"conv{stack}_block{number}"
            x = block(x, kind, width, stride if number == strided else 1, number == 1, name)
    return _active(x, "post") if version == "v2" else x


def _block(x: Any, kind: _Version, filters: int, stride: int, first: bool, name: str) -> Any:
    """Convolutions, each normalised, added to what they began with."""
    from keras import layers

    def convolved(x: Any, part: int, count: int, size: int = 1, **how: Any) -> Any:
        x = layers.Conv2D(count, size, use_bias=kind.bias, padding="same", name=f"{name}_{part}_conv", **how)(x)
        return _normalised(x, f"{name}_{part}")

    # v1 takes the stride in the 1×1 convolution, next in the grouped one.
    inner, middle = (stride, 1) if kind.groups == 1 else (1, stride)
    shortcut = convolved(x, 0, kind.expansion * filters, strides=stride) if first else x
    x = layers.Activation("relu", name=f"{name}_1_relu")(convolved(x, 1, filters, strides=inner))
    x = convolved(x, 2, filters, 3, strides=middle, groups=kind.groups)
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, convolved(x, 3, kind.expansion * filters)])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _preactivated(x: Any, kind: _Version, filters: int, stride: int, first: bool, name: str) -> Any:
    """Normalisation and activation before each convolution, so that the shortcut stays as it is."""
    from keras import layers

    active = _active(x, f"{name}_preact")
    if first:
        shortcut = layers.Conv2D(kind.expansion * filters, 1, strides=stride, name=f"{name}_0_conv")(active)
    else:
        shortcut = layers.MaxPooling2D(1, strides=stride)(x) if stride > 1 else x
    x = _active(layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(active), f"{name}_1")
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_2_conv")(x)
    x = layers.Conv2D(kind.expansion * filters, 1, name=f"{name}_3_conv")(_active(x, f"{name}_2"))
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _normalised(x: Any, name: str) -> Any:
    from keras import layers

    return layers.BatchNormalization(axis=channel_axis(), epsilon=1.001e-5, name=f"{name}_bn")(x)


def _active(x: Any, name: str) -> Any:
    from keras import layers

    return layers.Activation("relu", name=f"{name}_relu")(_normalised(x, name))
