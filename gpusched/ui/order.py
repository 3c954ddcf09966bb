"""Orders to a running search, through the socket in its directory."""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec

from gpusched.errors import GpuschedError, UsageError
from gpusched.storage.lock import away, holder, name_of
from gpusched.storage.rundir import RunDir
from gpusched.system.sockets import MOST_BYTES

#: A scheduler answers between two events; longer than this it does not answer at all.
ANSWER_SECONDS = 20.0


class Unanswered(GpuschedError):
    """The search's scheduler took the order and said nothing to it."""


def order(run: RunDir, do: str, **details: Any) -> str:
    """What the search answers.

    Raises UsageError where the search is not running, or refuses; Unanswered where it says nothing.
    """
    message = msgspec.json.encode({"do": do, **details}) + b"\n"
    if len(message) > MOST_BYTES:
        raise UsageError(f"{do}: too much for one order ({len(message)} bytes); give it in parts")
    try:
        folder = os.open(run.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{run.path}: {error.strerror}") from None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS)
            # A socket's address holds 107 bytes; a run directory's path may be longer.
            connection.connect(f"/proc/self/fd/{folder}/{run.control.name}")
            connection.sendall(message)
            with connection.makefile("rb") as replies:
                reply = replies.readline()
    except PermissionError:
        raise UsageError(f"{run.path}: only the user who started this search can {do} it") from None
    except TimeoutError:
        raise Unanswered(f"{run.name}: its scheduler (process {holder(run.lock)}) does not answer") from None
    except OSError:
        raise UsageError(_nobody(run)) from None
    finally:
        os.close(folder)
    if not reply:
        raise Unanswered(f"{run.name}: its scheduler ended before it answered; `gpusched status` shows the state")
    answer = msgspec.json.decode(reply)
    if not answer.get("ok"):
        raise UsageError(str(answer.get("error", "refused")))
    return str(answer.get("message", ""))


def require(run: RunDir) -> None:
    """Raises UsageError where the search is not running."""
    if holder(run.lock) is None:
        raise UsageError(_nobody(run))


def _nobody(run: RunDir) -> str:
    pid = holder(run.lock)
    if pid is not None:
        return f"{run.path}: its scheduler (process {pid}) does not take orders yet; try again in a moment"
    if (elsewhere := away(run.lock)) is not None:
        return f"{run.path}: was last run by {name_of(elsewhere)}; give the order there"
    return f"{run.path}: the search is not running; `gpusched status` shows its state and how to continue it"
