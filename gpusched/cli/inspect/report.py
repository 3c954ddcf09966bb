"""gpusched report"""

from __future__ import annotations

from pathlib import Path

import click

from gpusched.cli.options import examples, run_argument, say, tell_damage
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir, write_whole


@click.command("report", epilog=examples("gpusched report", "gpusched report runs/search -o search.html"))
@run_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to; left out: report.html in the run directory."
)
def command(run: RunDir, output: Path | None) -> int:
    """One self-contained page: curves, parallel coordinates, importance, device timeline, advice, failures."""
    from gpusched.runtime.reader import Run
    from gpusched.storage.lock import holder
    from gpusched.ui.report.build import report

    target = output or run.path / "report.html"
    opened = Run.open(run.path)
    text = report(opened, holder(run.lock))
    try:
        if output is None:
            write_whole(target, text.encode(), durable=False)
        else:
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {target}: cannot be written ({error.strerror})") from None
    say(f"{target}")
    tell_damage(opened)
    return 0
