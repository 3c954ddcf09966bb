"""Augmentation of images whose transforms' strengths are searched, in turn or at random (Cubuk et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpusched.applications.images import ImageModel, Shape
from gpusched.errors import UsageError
from gpusched.hyperparameters import HyperParameters

#: A strength is searched from 0, or between two numbers.
Range = float | Sequence[float] | None


class HyperImageAugment(ImageModel):
    """A model whose outputs are its inputs, images of (height, width, channels), transformed while training.

    Its hyperparameters: factor_rotate, factor_translate_x, factor_translate_y, factor_contrast, and augment_layers.

    Args:
        input_shape, input_tensor: one of them: the shape of an image, or the Keras tensor of the images.
        rotate: the largest rotation, of a whole turn both ways: a number from 0 to 1 for a search from 0 up to it, two
            for one between them, None for none.
        translate_x, translate_y: the largest translation, of width and height; likewise.
        contrast: the largest change of contrast; likewise.
        augment_layers: 0: all transforms one after the other. Else from one layer to so many, or between two numbers,
            each of which takes one transform at random for each image.
        **kwargs: HyperModel's name and tunable.
    """

    def __init__(
        self,
        input_shape: Shape | None = None,
        input_tensor: Any = None,
        rotate: Range = 0.5,
        translate_x: Range = 0.4,
        translate_y: Range = 0.4,
        contrast: Range = 0.3,
        augment_layers: int | Sequence[int] | None = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, input_tensor, **kwargs)
        given = {"rotate": rotate, "translate_x": translate_x, "translate_y": translate_y, "contrast": contrast}
        #: Names with the least and the largest factor, of those that are on.
        self.transforms = [(name, _range(name, wanted)) for name, wanted in given.items() if wanted]
        self.model_name = "image_rand_augment" if augment_layers else "image_augment"
        if augment_layers:
            self.augment_layers_min, self.augment_layers_max = _range("augment_layers", augment_layers, int, least=1)

    def build(self, hp: HyperParameters) -> Any:
        import keras

        inputs, images = self.images()
        augmented = self._at_random(images, hp) if self.model_name == "image_rand_augment" else self._all(images, hp)
        return keras.Model(inputs, augmented, name=self.model_name)

    def _at_random(self, images: Any, hp: HyperParameters) -> Any:
        from gpusched.applications.layers import RandAugment

        least = self.augment_layers_min
        for _ in range(hp.Int("augment_layers", least, self.augment_layers_max, default=least)):
            factors = [hp.Float(f"factor_{name}", low, high, default=low) for name, (low, high) in self.transforms]
            images = RandAugment([name for name, _ in self.transforms], factors)(images)
        return images

    def _all(self, images: Any, hp: HyperParameters) -> Any:
        from gpusched.applications.layers import transform

        for name, (low, high) in self.transforms:
            factor = hp.Float(f"factor_{name}", low, high, step=0.05, default=low)
            if factor:
                images = transform(name, factor)(images)
        return images


def _range(name: str, given: Any, kind: type = float, least: int = 0) -> tuple[Any, Any]:
    """The least and the largest value meant by a number, which is the largest, or two."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    if several and len(given) > 2:
        raise UsageError(f"HyperImageAugment: {name}={given!r}: the length must not exceed 2")
    low, high = given if several and len(given) == 2 else (least, given)
    if not (isinstance(low, kind | int) and isinstance(high, kind | int)):
        raise UsageError(
            f"HyperImageAugment: {name} must be int{' or float' if kind is float else ''}, or two, but is {given!r}"
        )
    return low, high
