"""What hypermodels for images share: the images they take, and how a feature map becomes classes."""

from __future__ import annotations

from typing import Any

from gpusched.errors import UsageError
from gpusched.hypermodel import HyperModel

Shape = tuple[int | None, ...]


class ImageModel(HyperModel):
    """Takes images of `input_shape`, or those of a Keras tensor."""

    def __init__(self, input_shape: Shape | None, input_tensor: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if input_shape is None and input_tensor is None:
            raise UsageError(f"{type(self).__name__}: You must specify either `input_shape` or `input_tensor`.")
        self.input_shape = input_shape
        self.input_tensor = input_tensor

    def images(self) -> tuple[Any, Any]:
        """The inputs of the model to be built, and the images themselves."""
        import keras

        if self.input_tensor is not None:
            return keras.utils.get_source_inputs(self.input_tensor), self.input_tensor
        inputs = keras.layers.Input(shape=self.input_shape)
        return inputs, inputs


class ImageClassifier(ImageModel):
    """Classifies images, or ends with their features where `include_top` is False."""

    def __init__(
        self,
        include_top: bool = True,
        input_shape: Shape | None = None,
        input_tensor: Any = None,
        classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, input_tensor, **kwargs)
        if include_top and not classes:
            raise UsageError(f"{type(self).__name__}: You must specify `classes` when `include_top=True`.")
        self.include_top = include_top
        self.classes = classes


def pooled(features: Any, how: str) -> Any:
    """The features of an image as a vector: their mean ("avg") or maximum ("max") over the places, or all of them."""
    from keras import layers

    if how == "flatten":
        return layers.Flatten()(features)
    if how == "avg":
        return layers.GlobalAveragePooling2D(name="avg_pool")(features)
    return layers.GlobalMaxPooling2D(name="max_pool")(features)


def classified(features: Any, classes: int | None) -> Any:
    """The probability of each class."""
    from keras import layers

    return layers.Dense(classes, activation="softmax", name="probs")(features)


def channel_axis() -> int:
    import keras

    return -1 if keras.config.image_data_format() == "channels_last" else 1
