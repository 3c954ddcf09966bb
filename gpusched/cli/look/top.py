"""gpusched top"""

from __future__ import annotations

import click

from gpusched.errors import GpuschedError


@click.command("top")
def command() -> int:
    """Not there yet."""
    raise GpuschedError("top: is not there yet")
