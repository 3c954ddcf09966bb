"""Attributes that tell what a tuner was asked for, unless a subclass has its own of that name."""

from __future__ import annotations

from typing import Any


class Given(property):
    """A property in whose place stands what is assigned to it, be it before the tuner's own __init__."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tuner: Any, owner: type | None = None) -> Any:
        own = {} if tuner is None else vars(tuner)
        return own[self._name] if self._name in own else super().__get__(tuner, owner)

    def __set__(self, tuner: Any, value: Any) -> None:
        vars(tuner)[self._name] = value
