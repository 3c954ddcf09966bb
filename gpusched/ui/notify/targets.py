"""Where the news of a search's end is sent: the terminal's bell, a command, or a service that apprise knows."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from gpusched.errors import GpuschedError, UsageError

#: A command that takes longer is ended.
COMMAND_SECONDS = 60.0
_COMMAND = "command:"
#: How a service shows it, by the exit code: in colours, or as a priority.
_KINDS = {0: "success", 130: "warning"}


class NotSent(GpuschedError):
    """The news did not arrive; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is told."""

    title: str
    text: str
    run: str = ""  #: the run directory
    code: int = 1  #: the exit code that `gpusched run` has


class Target(Protocol):
    def send(self, news: News) -> None:
        """Raises NotSent."""


@dataclass(frozen=True, slots=True)
class Bell:
    """Rings on the terminal that this process was started on."""

    def __post_init__(self) -> None:
        with self._terminal():
            pass

    def send(self, news: News) -> None:
        try:
            with self._terminal() as terminal:
                os.write(terminal, b"\a")
        except (UsageError, OSError):
            raise NotSent("the terminal is gone") from None

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[int]:
        try:
            terminal = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
        except OSError:
            raise UsageError(
                "notify: bell: this process has no terminal to ring on; give command:... or the URL of a service"
            ) from None
        try:
            yield terminal
        finally:
            os.close(terminal)


@dataclass(frozen=True, slots=True)
class Command:
    """Runs a command by the shell, with the news in its environment."""

    line: str

    def send(self, news: News) -> None:
        told = {"GPUSCHED_RUN": news.run, "GPUSCHED_CODE": str(news.code)}
        told |= {"GPUSCHED_TITLE": news.title, "GPUSCHED_TEXT": news.text}
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", self.line],
                env={**os.environ, **told},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NotSent(f"the shell does not start ({error.strerror})") from None
        try:
            code = process.wait(COMMAND_SECONDS)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise NotSent(f"it was ended after {COMMAND_SECONDS:.0f} s") from None
            raise
        if code != 0:
            how = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
            raise NotSent(f"it failed ({how})")


@dataclass(frozen=True, slots=True)
class Service:
    """Sends a message by apprise: ntfy, Slack, Telegram, mail, a webhook and a hundred more."""

    url: str

    def __post_init__(self) -> None:
        if not _known(self.url):
            raise UsageError(
                f"notify: {self.url!r} is no target; give bell, command:..., or a URL like ntfy://topic, "
                "mailto://user:password@example.com or https://example.com/hook; github.com/caronc/apprise lists them"
            )

    def send(self, news: News) -> None:
        apprise = _apprise()
        service = apprise.Apprise()
        service.add(self.url)
        # Its warnings are ours to tell; nobody else has asked for them.
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
            try:
                sent = service.notify(title=news.title, body=news.text, notify_type=_KINDS.get(news.code, "failure"))
            except Exception as error:  # Of a hundred services' code; the search has ended well all the same.
                raise NotSent(f"{type(error).__name__}: {error}") from None
            why = said.getvalue().strip().splitlines()
        if not sent:
            raise NotSent(why[-1] if why else "the service did not take it")


def public(text: str) -> str:
    """The target's name as it may stand in a log: a URL is often a secret."""
    scheme, found, _ = text.partition("://")
    return f"{scheme}://…" if found and not text.startswith(_COMMAND) else text


def target(text: str) -> Target:
    """What a person calls a target. Raises UsageError where it is none, or cannot be used here."""
    if text == "bell":
        return Bell()
    if text.startswith(_COMMAND):
        line = text.removeprefix(_COMMAND).strip()
        if not line:
            raise UsageError("notify: command: names no command; give one like command:'notify-send done'")
        return Command(line)
    if "://" not in text:
        raise UsageError(f"notify: {text!r} is no target; give bell, command:..., or a URL like ntfy://topic")
    return Service(_webhook(text))


def _webhook(url: str) -> str:
    """apprise knows the web addresses of many services; any other is one that takes JSON."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or _known(url):
        return url
    return f"{'jsons' if scheme == 'https' else 'json'}://{rest}"


def _known(url: str) -> bool:
    """Whether apprise can send there."""
    with warnings.catch_warnings():
        # It loads all its services here, and what they use may be deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _apprise().Apprise.instantiate(url, suppress_exceptions=True) is not None


def _apprise() -> Any:
    try:
        import apprise
    except ModuleNotFoundError as error:
        if error.name != "apprise":
            raise
        raise UsageError("notify: services need the package apprise: pip install apprise") from None
    return apprise
