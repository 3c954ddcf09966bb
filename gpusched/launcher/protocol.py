"""What a scheduler and a launcher say to each other: one JSON line a message, over a Unix stream socket."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, TypeAlias

import msgspec

from gpusched.core.outcome import Usage
from gpusched.storage.records import Identity, JobSpec
from gpusched.system.origin import Origin


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=str.lower):
    pass


# ---------------------------------------------------------------- scheduler to launcher


class Load(_Message, frozen=True, kw_only=True):
    """Load the user's code: a script, or what a caller pickled into an inherited descriptor."""

    script: str | None = None
    argv: list[str] = []
    nth: int = 1  #: which of the script's calls of search() is meant
    pickled_fd: int | None = None
    origin: Origin = Origin()  #: where modules are found, and paths begin
    answers: list[str] = []  #: what input() has returned in the caller
    settings: dict[str, Any] | None = None  #: where the caller has them already
    space: dict[str, Any] | None = None  #: likewise
    options: dict[str, Any] = {}  #: of the command line; they beat the script
    notice: str | None = None  #: what its trials' way to the data costs, for people; a copy does not know it
    mode: str = "auto"  #: fork, spawn or auto
    first_sign_seconds: float = 60.0  #: a fork silent for so long hangs; machines under load take their time


class Begin(_Message, frozen=True, kw_only=True):
    """This is the run directory: listen there, and keep your log there."""

    run: str


class Discover(_Message, frozen=True, kw_only=True):
    """Find the space of hyperparameters."""


class Start(_Message, frozen=True, kw_only=True):
    """Start a process for this job."""

    spec: JobSpec


class Signal(_Message, frozen=True, kw_only=True):
    """Ask a trial to stop at the end of its epoch, or kill it with all its processes."""

    trial: int
    attempt: int
    kill: bool = False


class Acknowledge(_Message, frozen=True, kw_only=True):
    """The end of this attempt is in the journal: forget it."""

    trial: int
    attempt: int


class Retire(_Message, frozen=True, kw_only=True):
    """Another launcher serves from now on: start nothing more, tell what runs and how ended what has, then Retired.

    The launcher exits once no trial runs and every end is acknowledged.
    """


class Ping(_Message, frozen=True, kw_only=True):
    """Say that you are not stopped or stuck."""


class Quit(_Message, frozen=True, kw_only=True):
    """Kill everything and exit."""


Request: TypeAlias = Load | Begin | Discover | Start | Signal | Acknowledge | Retire | Ping | Quit


# ---------------------------------------------------------------- launcher to scheduler


class Loaded(_Message, frozen=True, kw_only=True):
    """The user's code is loaded. `settings` is trial.task.Settings as plain JSON."""

    settings: dict[str, Any]


class Ready(_Message, frozen=True, kw_only=True):
    """Data are loaded; trials can be started."""

    mode: str  #: fork, fork-framework or spawn
    notice: str | None = None  #: why trials do not start the fastest way, and the like; a line each
    identity: Identity


class Found(_Message, frozen=True, kw_only=True):
    """The space of hyperparameters, as HyperParameters.get_config()."""

    space: dict[str, Any]


class Refused(_Message, frozen=True, kw_only=True):
    """What was asked for cannot be done; one line for people."""

    message: str
    details: str = ""  #: the traceback of what user code raised
    classes: list[str] = []  #: of an error that the caller is to see as itself, see errors.fatal_classes


class Started(_Message, frozen=True, kw_only=True):
    trial: int
    attempt: int
    pid: int


class Ended(_Message, frozen=True, kw_only=True):
    """A trial's process has ended, and none of its children is left."""

    trial: int
    attempt: int
    status: int  #: exit code, or minus the signal's number
    usage: Usage
    error: str | None = None  #: why its process could not be started
    start: str = ""  #: of the job, see JobSpec


class Told(_Message, frozen=True, kw_only=True):
    """A line for people."""

    message: str


class Pong(_Message, frozen=True, kw_only=True):
    """The answer to a Ping."""


class Retired(_Message, frozen=True, kw_only=True):
    """All is told: nothing that was ordered before will start any more."""

    pings: bool = False  #: it answers a Ping; launchers of older versions do not know it


Reply: TypeAlias = Loaded | Ready | Found | Refused | Started | Ended | Told | Pong | Retired

decode_request: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
decode_reply: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    return msgspec.json.encode(message) + b"\n"


class Connection:
    """A scheduler at the other end of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = b""

    def receive(self) -> list[Request] | None:
        """The whole messages that have come; None at the end of the line."""
        try:
            block = self.socket.recv(1 << 20)
            if not block:
                return None
            *lines, self._buffer = (self._buffer + block).split(b"\n")
            return [decode_request.decode(line) for line in lines]
        except (OSError, msgspec.DecodeError):
            return None

    def send(self, reply: Reply) -> None:
        with contextlib.suppress(OSError):  # Its end of the line is met when it is read next.
            self.socket.sendall(encode(reply))
