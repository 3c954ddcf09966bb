"""gpusched verify"""

from __future__ import annotations

import click

from gpusched.errors import GpuschedError


@click.command("verify")
def command() -> int:
    """Not there yet."""
    raise GpuschedError("verify: is not there yet")
