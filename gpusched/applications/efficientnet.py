"""EfficientNets (Tan and Le 2019) with ImageNet's weights, as Keras has them, under a top that is searched."""

from __future__ import annotations

from typing import Any

from gpusched.applications.images import ImageModel, Shape, classified, pooled
from gpusched.errors import UsageError
from gpusched.hypermodel import HyperModel
from gpusched.hyperparameters import HyperParameters

#: Height and width of the images each version was made for.
_SIZES = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "B4": 380, "B5": 456, "B6": 528, "B7": 600}


class HyperEfficientNet(ImageModel):
    """An EfficientNet for images of (height, width, channels) and one-hot classes. Keras fetches its weights once.

    Its hyperparameters: version, pooling, top_dropout_rate, learning_rate, and those of the augmentation model.

    Args:
        input_shape, input_tensor: one of them: the shape of an image, or the Keras tensor of the images.
        classes: how many there are.
        augmentation_model: a Keras model or a HyperModel that the images go through first.
        **kwargs: HyperModel's name and tunable.
    """

    def __init__(
        self,
        input_shape: Shape | None = None,
        input_tensor: Any = None,
        classes: int | None = None,
        augmentation_model: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, input_tensor, **kwargs)
        if augmentation_model is not None and not isinstance(augmentation_model, HyperModel):
            import keras

            if not isinstance(augmentation_model, keras.Model):
                raise UsageError(
                    f"{type(self).__name__}: augmentation_model must be a HyperModel or a Keras model, "
                    f"not {augmentation_model!r}"
                )
        if not classes:
            raise UsageError(f"{type(self).__name__}: You must specify `classes`.")
        self.classes = classes
        self.augmentation_model = augmentation_model

    def build(self, hp: HyperParameters) -> Any:
        import keras

        inputs, x = self.images()
        augmentation = self.augmentation_model
        if isinstance(augmentation, HyperModel):
            augmentation = augmentation.build(hp)
        if augmentation is not None:
            x = augmentation(x)
        version = hp.Choice("version", list(_SIZES), default="B0")
        x = keras.layers.Resizing(_SIZES[version], _SIZES[version], interpolation="bilinear")(x)
        network = getattr(keras.applications, f"EfficientNet{version}")(include_top=False, input_tensor=x)
        x = pooled(network.output, hp.Choice("pooling", ["avg", "max"], default="avg"))
        dropout = hp.Float("top_dropout_rate", min_value=0.2, max_value=0.8, step=0.2, default=0.2)
        x = keras.layers.Dropout(dropout, name="top_dropout")(x)
        model = keras.Model(inputs, classified(x, self.classes), name="EfficientNet")
        self._compile(model, hp)
        return model

    def _compile(self, model: Any, hp: HyperParameters) -> None:
        """Compiles the model; override it to compile in another way."""
        import keras

        rate = hp.Choice("learning_rate", [0.1, 0.01, 0.001], default=0.01)
        optimizer = keras.optimizers.SGD(learning_rate=rate, momentum=0.1)
        model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
