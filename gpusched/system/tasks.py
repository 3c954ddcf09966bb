"""Tasks that do not end unheard: what ends one unexpectedly is told to whoever can end the search with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

#: Is told in what an error was met, and the error.
OnError: TypeAlias = Callable[[str, BaseException], None]


def unexpected(doing: str, error: BaseException) -> None:
    """Where nobody minds: it is written down."""
    log.error("%s: %s", doing, error, exc_info=error)


def supervised(work: Coroutine[Any, Any, None], doing: str, on_error: OnError) -> asyncio.Task[None]:
    """A task; on_error is told of any error that ends it."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            on_error(doing, error)

    task = asyncio.create_task(work, name=doing)
    task.add_done_callback(ended)
    return task
