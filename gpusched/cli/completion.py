"""gpusched completion"""

from __future__ import annotations

import os

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
def command(shell: str | None) -> None:
    """Print the completion script of SHELL (yours, if left out).

    To have it always: gpusched completion bash > ~/.local/share/bash-completion/completions/gpusched
    """
    from click.shell_completion import get_completion_class

    from gpusched.cli.main import cli

    name = shell or os.path.basename(os.environ.get("SHELL", "bash"))
    kind = get_completion_class(name)
    if kind is None:
        raise click.UsageError(f"{name}: no completion for this shell; there is bash, zsh, fish")
    click.echo(kind(cli, {}, "gpusched", "_GPUSCHED_COMPLETE").source())
