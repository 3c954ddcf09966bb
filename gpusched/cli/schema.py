"""gpusched schema"""

from __future__ import annotations

import click

from gpusched.cli.options import print_json

#: Those of ui.answers, which is not imported for a help text.
_COMMANDS = ("status", "best", "devices", "plan", "verify", "logs", "export", "list")


@click.command("schema")
@click.argument("name", metavar="COMMAND", type=click.Choice(_COMMANDS))
def command(name: str) -> int:
    """The JSON Schema of what COMMAND prints with --json (export: with --format json; logs: of each line).

    COMMAND is status, best, devices, plan, verify, logs, export or list.
    """
    from gpusched.ui.answers import schema

    print_json(schema(name))
    return 0
