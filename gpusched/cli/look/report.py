"""gpusched report"""

from __future__ import annotations

import click

from gpusched.errors import GpuschedError


@click.command("report")
def command() -> int:
    """Not there yet."""
    raise GpuschedError("report: is not there yet")
