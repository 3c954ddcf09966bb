"""Keras Tuner's names and paths, for `import gpusched.keras_tuner as kt`; `import gpusched as kt` has them all too."""

from __future__ import annotations

from typing import Any

from gpusched.keras_tuner.names import TOP
from gpusched.keras_tuner.paths import lookup


def __getattr__(name: str) -> Any:
    return lookup("", name)


def __dir__() -> list[str]:
    return sorted([*globals(), *TOP])
