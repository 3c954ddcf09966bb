"""Ready hypermodels for images, with the hyperparameters of Keras Tuner's. Keras is loaded when one builds a model."""

from gpusched.applications.augment import HyperImageAugment
from gpusched.applications.efficientnet import HyperEfficientNet
from gpusched.applications.resnet import HyperResNet
from gpusched.applications.xception import HyperXception

__all__ = ["HyperEfficientNet", "HyperImageAugment", "HyperResNet", "HyperXception"]
