"""Layers of these hypermodels, derived from Keras's: imported once Keras is."""

from __future__ import annotations

from typing import Any

import keras


def transform(name: str, factor: float) -> Any:
    """The random transform of this name, as strong as `factor`."""
    match name:
        case "translate_x":
            return keras.layers.RandomTranslation(height_factor=0, width_factor=factor)
        case "translate_y":
            return keras.layers.RandomTranslation(height_factor=factor, width_factor=0)
        case "rotate":
            return keras.layers.RandomRotation(factor)
        case _:
            return keras.layers.RandomContrast(factor)


@keras.saving.register_keras_serializable(package="gpusched")
class RandAugment(keras.layers.Layer):  # type: ignore[misc]
    """Transforms each image of a batch in one of several ways, picked at random; none while it does not train.

    Args:
        transforms: their names.
        factors: how strong each is; one of 0 leaves the image as it is.
    """

    def __init__(self, transforms: list[str], factors: list[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transforms, self.factors = list(transforms), list(factors)
        self._seeds = keras.random.SeedGenerator()
        # Made here: a layer that call() made would make its variables within a traced function.
        self._places = [place for place, factor in enumerate(factors) if factor]
        self._layers_by_place = [transform(transforms[place], factors[place]) for place in self._places]

    def build(self, input_shape: Any) -> None:
        for layer in self._layers_by_place:
            layer.build(input_shape)
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        shape = (keras.ops.shape(images)[0], 1, 1, 1)
        picked = keras.random.randint(shape, 0, max(len(self.transforms), 1), seed=self._seeds)
        result = images
        for place, layer in zip(self._places, self._layers_by_place, strict=True):
            result = keras.ops.where(picked == place, layer(images, training=True), result)
        return result

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "transforms": self.transforms, "factors": self.factors}
