"""The user's own oracle in a process of its own, which loads the script: for searches begun from the command line."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from gpusched.core.commands import Consult, Report
from gpusched.core.events import Advised, Heard
from gpusched.errors import GpuschedError
from gpusched.launcher.protocol import Load, decode_request, encode
from gpusched.launcher.source import blame, load_task
from gpusched.system.process.kernel import END_SECONDS, die_with

_Asked = Consult | Report


class Raised(msgspec.Struct, frozen=True, tag="raised", tag_field="type"):
    """The oracle, or the script, raised an error."""

    message: str


_replies: msgspec.json.Decoder[Advised | Heard | Raised] = msgspec.json.Decoder(Advised | Heard | Raised)
_requests: msgspec.json.Decoder[_Asked] = msgspec.json.Decoder(_Asked)


class OracleError(GpuschedError):
    """The user's own oracle cannot go on."""


class GuideProcess:
    """A Guide whose oracle is elsewhere."""

    def __init__(self, source: Load, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Starts the process, which loads the script and reminds its oracle of what it has decided before."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gpusched.runtime.guide_process", str(self._folder), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        self._send(encode(self._source))

    def advise(self, consult: Consult) -> Advised | None:
        reply = self._ask(consult)
        assert reply is None or isinstance(reply, Advised)
        return reply

    def hear(self, report: Report) -> Heard:
        reply = self._ask(report)
        if reply is None:
            raise OracleError("its process has ended")
        assert isinstance(reply, Heard)
        return reply

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # It is stuck, and ends as soon as it can.
                self._process.wait(END_SECONDS)

    def _ask(self, command: _Asked) -> Advised | Heard | None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._send(msgspec.json.encode(command) + b"\n")
        line = self._process.stdout.readline()
        if not line:
            return None
        reply = _replies.decode(line)
        if isinstance(reply, Raised):
            raise OracleError(reply.message)
        return reply

    def _send(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # Its answer, which is none, tells.
            self._process.stdin.write(line)
            self._process.stdin.flush()


def main(folder: Path) -> None:
    """In the process: answers line by line, until the other end hangs up."""
    # What the script prints is not an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    source = decode_request.decode(requests.readline())
    assert isinstance(source, Load)
    guide = None
    for line in requests:
        try:
            if guide is None:
                guide = load_task(source).tuner.guide(folder)
                guide.begin()
            request = _requests.decode(line)
            reply = guide.advise(request) if isinstance(request, Consult) else guide.hear(request)
        except BaseException as error:
            reply = Raised(str(error) if isinstance(error, GpuschedError) else blame("the oracle", error))
        answers.write(msgspec.json.encode(reply) + b"\n")
        answers.flush()


if __name__ == "__main__":
    die_with(int(sys.argv[2]))
    main(Path(sys.argv[1]))
