"""Help in sections: options that belong together stand together, each with what holds where it is not given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class Option(click.Option):
    """An option of a section. `otherwise` is what holds without it, for people."""

    def __init__(self, *names: Any, section: str = "", otherwise: str = "", **more: Any) -> None:
        super().__init__(*names, **more)
        self.section = section
        if otherwise:
            self.help = f"{self.help}  [default: {otherwise}]"


class Command(click.Command):
    """Lists its options by section, those without one last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "section", ""), []).append(record)
        rest = sections.pop("", [])
        for title, records in [*sections.items(), ("Options", rest)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def section(title: str) -> Callable[..., Callable[[Any], Any]]:
    """click.option, for options of this section."""

    def option(*names: str, **more: Any) -> Callable[[Any], Any]:
        return click.option(*names, cls=Option, section=title, **more)

    return option
