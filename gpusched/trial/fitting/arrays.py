"""Large arrays on their way into fit: fed batch by batch, because frameworks copy what they are given whole.

Measured with NumPy arrays mapped from a memfd: TensorFlow makes one private copy of `fit(x, y)`, and
none of a PyDataset over the same arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

#: Below this, what fit does by itself is faster, and the copy costs little.
LARGE_BYTES = 256 << 20
_BATCH = 32  # What fit takes where it is told nothing.


def share_arrays(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of fit, large arrays in a dataset over them. Other arguments, and small arrays, stay as they are.

    The order of samples is drawn from NumPy's global generator, once.
    """
    named = {**dict(zip(("x", "y"), args, strict=False)), **kwargs}
    train = (named.get("x"), named.get("y"), named.get("sample_weight"))
    held = named.get("validation_data")
    batch = named.get("batch_size") or _BATCH
    shuffle = named.get("shuffle", True)
    if _large(train) and isinstance(shuffle, bool):
        fraction = named.pop("validation_split", 0.0) or 0.0
        if fraction and held is None:
            # As fit does it: the last samples, before any shuffling.
            at = math.floor(len(_first(train)) * (1 - fraction))
            held, train = _sliced(train, slice(at, None)), _sliced(train, slice(at))
        for name in ("y", "sample_weight", "batch_size"):
            named.pop(name, None)
        named["x"] = _dataset(train, batch, shuffle)
        named["shuffle"] = False  # The dataset does it.
        args = ()
    elif args:
        named = dict(kwargs)
    if isinstance(held, tuple | list) and len(held) in (2, 3) and _large(held):
        x, y, weight = (*held, None)[:3]
        held = _dataset((x, y, weight), named.pop("validation_batch_size", None) or batch, False)
    if held is not None:
        named["validation_data"] = held
    return args, named


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        for each in data.values():
            yield from _leaves(each)
    elif isinstance(data, list | tuple):
        for each in data:
            yield from _leaves(each)
    elif data is not None:
        yield data


def _large(data: Any) -> bool:
    """Whether these are arrays of samples, and a lot of them."""
    leaves = list(_leaves(data))
    if not leaves or not all(isinstance(leaf, np.ndarray) and leaf.ndim and leaf.dtype != object for leaf in leaves):
        return False
    return len({len(leaf) for leaf in leaves}) == 1 and sum(leaf.nbytes for leaf in leaves) > LARGE_BYTES


def _first(data: Any) -> Any:
    return next(_leaves(data))


def _mapped(data: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(data, dict):
        return {name: _mapped(each, change) for name, each in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(_mapped(each, change) for each in data)
    return None if data is None else change(data)


def _sliced(data: Any, where: Any) -> Any:
    return _mapped(data, lambda leaf: leaf[where])


_type: Any = None


def _dataset_type() -> Any:
    """The class of datasets over arrays; made late, since it is one of Keras's."""
    global _type
    if _type is not None:
        return _type
    import keras

    class ArrayDataset(keras.utils.PyDataset):  # type: ignore[misc]
        """Batches of (x, y, sample_weight), gathered from arrays as they are asked for."""

        def __init__(self, data: tuple[Any, Any, Any], batch: int, shuffle: bool) -> None:
            super().__init__()
            x, y, weight = data
            self._data = (x,) if y is None else (x, y) if weight is None else (x, y, weight)
            self._count, self._batch = len(_first(data)), batch
            self._random = np.random.default_rng(np.random.randint(2**31)) if shuffle else None
            self._order: np.ndarray[Any, Any] | None = None
            self._float = keras.config.floatx()

        @property
        def num_batches(self) -> int:
            return math.ceil(self._count / self._batch)

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            rows: Any = slice(index * self._batch, (index + 1) * self._batch)
            if self._random is not None:
                if self._order is None:
                    self._order = self._random.permutation(self._count)
                # Ascending, because memory is read faster so; within a batch the order means nothing.
                rows = np.sort(self._order[rows])
            return tuple(_mapped(part, lambda leaf: self._typed(leaf[rows])) for part in self._data)

        def _typed(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return rows.astype(self._float) if rows.dtype.kind == "f" and rows.dtype != self._float else rows

        def on_epoch_end(self) -> None:
            self._order = None

    _type = ArrayDataset
    return _type


def _dataset(data: tuple[Any, ...], batch: int, shuffle: bool) -> Any:
    return _dataset_type()(data, batch, shuffle)
