"""gpusched plan"""

from __future__ import annotations

import click

from gpusched.errors import GpuschedError


@click.command("plan")
def command() -> int:
    """Not there yet."""
    raise GpuschedError("plan: is not there yet")
