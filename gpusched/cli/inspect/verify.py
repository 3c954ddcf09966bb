"""gpusched verify"""

from __future__ import annotations

import click

from gpusched.cli.options import examples, json_option, near, print_json, run_argument, say
from gpusched.storage.rundir import RunDir


@click.command("verify", epilog=examples("gpusched verify", "gpusched verify runs/search --json"))
@run_argument
@json_option
def command(run: RunDir, as_json: bool) -> int:
    """Replay the journal and check every decision and file against it; exit code 1 where something is wrong."""
    from gpusched.runtime.reader import Run
    from gpusched.ui import words
    from gpusched.ui.verify import verify

    opened = Run.open(run.path)
    verdict = verify(opened)
    if as_json:
        from gpusched.ui.answers import Checked

        print_json(
            Checked(
                run=str(run.path),
                sound=verdict.sound,
                events=verdict.events,
                decisions=verdict.decisions,
                trials=verdict.trials,
                complaints=verdict.complaints,
            )
        )
    else:
        for complaint in verdict.complaints:
            say(words.clean(complaint))
        looked = (
            f"{words.plural(verdict.events, 'event')}, {words.plural(verdict.decisions, 'decision')}, "
            f"{words.plural(verdict.trials, 'trial')}"
        )
        wrong = words.plural(len(verdict.complaints), "complaint")
        say(f"{near(run)}: {looked}: {'all as they should be' if verdict.sound else wrong}")
    return 0 if verdict.sound else 1
