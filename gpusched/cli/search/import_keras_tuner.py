"""gpusched import-keras-tuner DIR"""

from __future__ import annotations

from pathlib import Path

import click

from gpusched.cli.options import examples, say


@click.command(
    "import-keras-tuner",
    epilog=examples(
        "gpusched import-keras-tuner my_dir/helloworld",
        "gpusched import-keras-tuner my_dir/helloworld --run runs/older --objective val_accuracy:max",
    ),
)
@click.argument("project", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--run", metavar="RUN", type=click.Path(path_type=Path), help="The run to make; runs/NAME by default.")
@click.option(
    "--objective", metavar="NAME[:min|max]", help="The metric that was the objective, where its files do not tell."
)
def command(project: Path, run: Path | None, objective: str | None) -> int:
    """Make a run of the finished trials of the Keras Tuner project in DIR.

    DIR holds oracle.json and trial_*; it is only read. best, report, export and status then answer for its trials. A
    script whose directory and project_name are those of the project needs no import: its search starts with the
    trials that fit it.
    """
    from gpusched.runtime.startup.known import import_project
    from gpusched.storage.rundir import RunDir

    made = RunDir((run or Path("runs") / project.resolve().name).absolute())
    say(import_project(project, made, objective))
    from gpusched.cli.search.background import shown

    say(f"gpusched best {shown(made.path)}    shows the best of them")
    return 0
