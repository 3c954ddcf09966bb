"""Where the news of a search's end is sent."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpusched.errors import UsageError
from gpusched.ui.notify import targets
from gpusched.ui.notify.targets import News, NotSent, public, target

NEWS = News(title="digits: complete", text="17 trials", run="/runs/digits", code=0)


class Hook(http.server.ThreadingHTTPServer):
    """A webhook: `got` is what arrived, `answer` what it says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.answer = 200


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Not printed."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    pytest.importorskip("apprise")
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_command_has_the_news_in_its_environment(tmp_path: Path) -> None:
    """By the shell, where one stands."""
    file = tmp_path / "a file"
    target(
        f"""command: printf '%s|' "$GPUSCHED_TITLE" "$GPUSCHED_TEXT" "$GPUSCHED_RUN" $GPUSCHED_CODE > '{file}'"""
    ).send(NEWS)
    assert file.read_text() == "digits: complete|17 trials|/runs/digits|0|"


@pytest.mark.parametrize(
    ("line", "why"),
    [("exit 3", "failed (exit code 3)"), ("kill -9 $$", "killed by SIGKILL"), ("sleep 1000 | cat", "ended after 0 s")],
)
def test_a_command_that_fails_says_how(monkeypatch: pytest.MonkeyPatch, line: str, why: str) -> None:
    """One that does not end is ended, with all that it has started."""
    if line.startswith("sleep"):
        monkeypatch.setattr(targets, "COMMAND_SECONDS", 0.2)
    with pytest.raises(NotSent, match=why.replace("(", r"\(").replace(")", r"\)")):
        target(f"command:{line}").send(NEWS)


def test_the_bell_rings_on_the_terminal() -> None:
    """On the one that the process was started on, wherever its output goes; without one it is refused beforehand."""
    code = (
        "import os, pty, sys\n"
        "from gpusched.ui.notify.targets import News, target\n"
        "pid, terminal = pty.fork()\n"
        "if not pid:\n"
        "    target('bell').send(News(title='', text=''))\n"
        "    os._exit(0)\n"
        "heard = os.read(terminal, 10)\n"
        "os.waitpid(pid, 0)\n"
        "try:\n"
        "    target('bell')\n"
        "except Exception as error:\n"
        "    print(heard, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, timeout=60
    )
    assert done.stdout == (
        r"b'\x07' notify: bell: this process has no terminal to ring on; give command:... or the URL of a service"
        "\n"
    )


def test_a_web_address_gets_json(hook: Hook) -> None:
    """Any that is not a service's own, with what kind of news it is."""
    where = target(f"http://127.0.0.1:{hook.server_port}/hook")
    for code in (0, 1, 130):
        where.send(News(title="digits: complete", text="17 trials", code=code))
    assert [(each["title"], each["message"], each["type"]) for each in hook.got] == [
        ("digits: complete", "17 trials", kind) for kind in ("success", "failure", "warning")
    ]


def test_a_service_that_refuses_says_why(hook: Hook, capfd: pytest.CaptureFixture[str]) -> None:
    """As the reason, and not on standard error as well."""
    hook.answer = 500
    with pytest.raises(NotSent, match="error=500"):
        target(f"http://127.0.0.1:{hook.server_port}/hook").send(NEWS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["nonsense", "command:", "command: ", "foo://bar", "ntfy"])
def test_what_is_no_target_is_refused(text: str) -> None:
    """Beforehand, with what there is."""
    if "://" in text:
        pytest.importorskip("apprise")
    with pytest.raises(UsageError, match=r"notify: .*give "):
        target(text)


def test_without_apprise_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, where a service is asked for."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(UsageError, match="pip install apprise"):
        target("ntfy://topic")


def test_a_url_is_a_secret() -> None:
    """Logs have its scheme only."""
    assert [public(text) for text in ("slack://a/b/c", "bell", "command:curl https://x")] == [
        "slack://…",
        "bell",
        "command:curl https://x",
    ]
