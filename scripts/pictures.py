"""Pictures of a real search: `top` in its middle, the report at its end."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpusched.runtime.reader import Run
from gpusched.ui.top.app import Top

ROOT = Path(__file__).resolve().parent.parent
#: Columns and lines of the terminal; pixels of the browser's window.
TERMINAL, WINDOW = (118, 34), (1100, 1180)


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("scripts/pictures: Chromium is not installed; the report cannot be shown without a browser")
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "digits"
        command = [
            sys.executable,
            "-m",
            "gpusched.cli",
            "run",
            str(ROOT / "examples" / "digits.py"),
            "--run",
            str(place),
        ]
        search = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while search.poll() is None and finished(place) < 32:
            time.sleep(0.5)
        (docs / "top.svg").write_text(asyncio.run(picture(place)), encoding="utf-8")
        if search.wait() != 0:
            sys.exit("scripts/pictures: the search did not complete")
        page = Path(folder) / "report.html"
        subprocess.run([sys.executable, "-m", "gpusched.cli", "report", str(place), "-o", str(page)], check=True)
        size = "--window-size={},{}".format(*WINDOW)
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=4000",
            size,
        ]
        shot = f"--screenshot={docs / 'report.png'}"
        profile = f"--user-data-dir={Path(folder) / 'profile'}"
        subprocess.run([browser, *options, profile, shot, page.as_uri()], check=True, stderr=subprocess.DEVNULL)
    for file in ("top.svg", "report.png"):
        print(f"docs/{file}: {(docs / file).stat().st_size // 1000} kB")


def finished(place: Path) -> int:
    return len(Run.open(place).search.oracle.scores) if (place / "search.json").exists() else 0


async def picture(place: Path) -> str:
    """`top`, sorted by score, as an SVG that loads nothing."""
    app = Top(Run.open(place))
    async with app.run_test(size=TERMINAL) as pilot:
        await pilot.press("s", "down", "down")
        await pilot.pause(3)
        drawn = app.export_screenshot(title="gpusched top")
        return re.sub(r"@font-face\s*\{.*?\}|<!--.*?-->", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    main()
