"""The report: one file, no network, nothing of user code taken for markup."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gpusched.hyperparameters import HyperParameters
from gpusched.runtime.reader import Run
from gpusched.storage.rundir import RunDir
from gpusched.ui import words
from gpusched.ui.report.build import page, report
from gpusched.ui.report.data import collect

EVIL = "</script><img src=x onerror=alert(1)>\u2028&amp;"


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "href") or (value or "").startswith("data:")


def test_the_page_needs_no_network(make_run: Callable[..., Any]) -> None:
    """No address is in it, and its policy forbids loading one."""
    text = report(make_run().finish().run)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert "/* main.js */" not in text


def test_names_and_values_of_user_code_are_never_markup(make_run: Callable[..., Any]) -> None:
    """The elements of the page are the same whatever a hyperparameter is called."""
    hp = HyperParameters()
    hp.Int("units", 16, 64, step=16)
    hp.Choice(EVIL, [EVIL, "{data}", "b"])
    made = make_run(algorithm="random", max_epochs=2, max_trials=4, space=hp).finish()
    text = report(made.run)
    evil, plain = Elements(), Elements()
    evil.feed(text)
    plain.feed(page(json.loads("{}")))
    assert evil.tags == plain.tags
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert EVIL.replace("\u2028", " ") in json.loads(data[1])["trials"][0]["values"]


def test_it_tells_what_the_run_is(make_run: Callable[..., Any]) -> None:
    """Every trial with its curve, every job on the timeline, every failure with its traceback."""
    made = make_run(algorithm="random", max_epochs=2, max_trials=4, failing={2}).finish()
    data = collect(made.run, None)
    launches = [launch for _, launch in made.run.launches]
    assert [(trial["id"], trial["state"], len(trial["curves"])) for trial in data["trials"]] == [
        (0, "completed", 1), (1, "completed", 1), (2, "failed", 0), (3, "completed", 1),
    ]  # fmt: skip
    assert data["trials"][0]["curves"] == [[float(f"{made.score(launches[0], e):.6g}") for e in (1, 2)]]
    assert data["trials"][2]["traceback"].endswith("ValueError: units is odd")
    assert data["spans"] == [
        [0, 0, 0.0, 2.0, 0, 2],
        [1, 1, 0.0, 2.0, 0, 2],
        [0, 2, 2.0, 4.0, 0, 2],
        [1, 3, 2.0, 4.0, 0, 2],
    ]
    assert data["busy"] == 1.0


def test_a_search_that_has_hardly_begun_has_a_page(make_run: Callable[..., Any]) -> None:
    """Nothing finished, nothing reported: a page all the same."""
    assert "<html" in report(make_run().run)


def test_a_run_is_read_without_writing(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """A report of a finished search leaves its files as they are."""
    path = make_run().finish().dir.path
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    report(Run(RunDir(path)))
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


# ------------------------------------------------------------------ in a browser


#: Clicks into every plot until it selects a trial; tells which, who else shows it, and which plots were painted anew.
CLICK = """<script>
addEventListener("load", () => setTimeout(() => {
  const all = [...document.querySelectorAll("canvas")];
  const pictures = () => all.map((canvas) => canvas.toDataURL());
  const look = () => Number(document.querySelector("#trials tr.selected")?.dataset.trial ?? -1);
  const told = [];
  for (const canvas of all) {
    select(null);
    const before = pictures(), box = canvas.getBoundingClientRect();
    for (let y = 4; y < box.height && look() < 0; y += 6) for (let x = 4; x < box.width && look() < 0; x += 10)
      canvas.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: box.left + x, clientY: box.top + y }));
    const after = pictures(), panel = document.querySelector("#selected b");
    const changed = after.every((picture, i) => picture !== before[i]);
    told.push({ plot: canvas.id || "slice", trial: look(), panel: panel ? panel.textContent : "", changed });
  }
  document.body.dataset.told = JSON.stringify(told);
  document.body.dataset.painted = all.every((c) =>
    c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v)) ? "all" : "not all";
}, 300));
</script>"""


def browse(text: str, folder: Path) -> tuple[str, str]:
    """The page's elements after its scripts have run, and what it wrote to the console."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open the page with")
    file = folder / "report.html"
    file.write_text(text.replace("</body>", CLICK + "</body>"))
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", profile]
    command += ["--window-size=1200,900", "--virtual-time-budget=4000", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_a_click_selects_a_trial_everywhere(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """In Chromium, no console error: whichever plot is clicked, all others, the row and the panel show its trial."""
    dom, console = browse(report(make_run().finish().run), tmp_path)
    assert console == ""
    assert 'data-painted="all"' in dom
    found = re.search(r'data-told="(.*?)"', dom)
    assert found is not None
    told = json.loads(html.unescape(found[1]))
    assert [each["plot"] for each in told] == ["curves", "parallel", "slice", "slice", "timeline"]
    for each in told:
        assert each["trial"] >= 0, each
        assert each == {**each, "panel": f"trial {each['trial']}", "changed": True}


def test_hostile_names_do_not_run(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """In Chromium: a name that is markup is shown as text."""
    hp = HyperParameters()
    hp.Int("units", 16, 64, step=16)
    hp.Choice(EVIL, ["a", "b"])
    dom, console = browse(
        report(make_run(algorithm="random", max_trials=3, max_epochs=1, space=hp).finish().run), tmp_path
    )
    assert console == ""
    assert "<img" not in dom


def test_figures_are_written_as_the_commands_write_them(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """In Chromium: values, scores and columns have the digits that they have in a terminal."""
    numbers = [0.982, 0.98149, 1.0, 0.0, 64, 1e-5, 0.00012346, 12345.678, 123456, 1e6, 3.3e-7, -0.5, 0.1 + 0.2, 2.5e20]
    columns = [[0.982, 0.1, 1.0, 0.0], [0.35, 13.2, 2.41e7], [3e-5, 2e-5], [1e-9, 0.5, 0.25], [1200.6, 13.3]]
    script = f"""<script>
    const say = (name, value) => document.body.setAttribute("data-" + name, JSON.stringify(value));
    say("values", {numbers}.map(short)); say("scores", {numbers}.map(score));
    say("columns", {columns}.map((column) => column.map(columnOf(column))));
    </script>"""
    dom, console = browse(report(make_run().run).replace("</body>", f"{script}</body>"), tmp_path)
    assert console == ""

    def told(name: str) -> Any:
        return json.loads(html.unescape(re.findall(f'data-{name}="(.*?)"', dom)[0]))

    assert told("values") == [words.value(number) for number in numbers]
    assert told("scores") == [words.score(number) for number in numbers]
    assert told("columns") == [words.column(column) for column in columns]


def test_a_slot_of_any_number_has_one_line(make_run: Callable[..., Any]) -> None:
    """A journal may say anything: what it says is drawn, not counted up to."""
    made = make_run(algorithm="random", max_epochs=1, max_trials=3).finish()
    lines = made.dir.journal.read_text().splitlines()
    plain = [line[: line.rindex(',"crc32"')] + "}\n" for line in lines]
    made.dir.journal.write_text("".join(plain).replace('"slot":1,', '"slot":1000000000000000000,'))
    run = Run.open(made.dir.path)
    data = collect(run, None)
    assert data["slots"] == ["cpu 0", "cpu 1", "slot 1000000000000000000"]
    assert {span[0] for span in data["spans"]} == {0, 2}
