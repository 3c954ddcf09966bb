"""Keras's global settings, which decide what a model is that is built without saying so: taken to another process."""

from __future__ import annotations

import sys
from typing import Any

#: In the order in which they are set: the policy's default follows floatx.
_NAMES = ("floatx", "epsilon", "image_data_format", "dtype_policy")


def defaults() -> dict[str, Any]:
    """Those of this process, and what it has registered by name; empty where Keras is not loaded. Can be pickled."""
    keras = sys.modules.get("keras")
    if keras is None:
        return {}
    found = {name: getattr(keras.config, name)() for name in _NAMES}
    return {**found, "registered": _that_can_be_pickled(keras.saving.get_custom_objects())}


def set_defaults(found: dict[str, Any]) -> None:
    """Imports Keras where there are any."""
    if not found:
        return
    import keras

    for name in _NAMES:
        getattr(keras.config, f"set_{name}")(found[name])
    keras.saving.get_custom_objects().update(found["registered"])


def _that_can_be_pickled(objects: dict[str, Any]) -> dict[str, Any]:
    """Without the others, which are missed only by who loads a model that names them: an error that says so."""
    import cloudpickle

    kept = {}
    for name, each in objects.items():
        try:
            cloudpickle.dumps(each)
        except Exception:
            continue
        kept[name] = each
    return kept
