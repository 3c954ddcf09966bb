"""gpusched export"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from gpusched.cli.options import examples, run_argument, say, tell_damage
from gpusched.errors import UsageError
from gpusched.storage.rundir import RunDir


@click.command(
    "export",
    epilog=examples(
        "gpusched export > trials.csv",
        "gpusched export --format json -o trials.json",
        "gpusched export --format tensorboard -o board",
    ),
)
@run_argument
@click.option("--format", "kind", type=click.Choice(["csv", "json", "tensorboard"]), default="csv", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to, in place of standard output; for tensorboard a folder.",
)
def command(run: RunDir, kind: str, output: Path | None) -> int:
    """Every trial and epoch: one row for each trial, execution and epoch, with values and metrics as columns.

    `--format tensorboard -o FOLDER` writes scalars and the HParams table for `tensorboard --logdir FOLDER`.
    """
    import msgspec

    from gpusched.printable import escaped
    from gpusched.runtime.reader import Run
    from gpusched.ui.export.table import rows, write_csv

    if kind == "tensorboard":
        from gpusched.ui import words
        from gpusched.ui.export.tensorboard import write

        if output is None:
            raise UsageError("--format tensorboard: name a folder with -o")
        opened = Run.open(run.path)
        count = write(opened, output)
        say(f"{words.plural(count, 'trial')} written; see them with: tensorboard --logdir {shlex.quote(str(output))}")
        tell_damage(opened)
        return 0
    opened = Run.open(run.path)
    table = rows(opened)
    try:
        file = open(output, "w", encoding="utf-8", newline="") if output else sys.stdout  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written ({error.strerror})") from None
    try:
        if kind == "csv":
            write_csv(table, file)
        else:
            file.write("[\n")
            file.write(",\n".join(escaped(msgspec.json.encode(row).decode()) for row in table))
            file.write("\n]\n")
    finally:
        if output:
            file.close()
    tell_damage(opened)
    return 0
