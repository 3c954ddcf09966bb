"""A command that takes a script, and behind -- the arguments that are the script's own."""

from __future__ import annotations

import click

from gpusched.cli.sections import Command


class ScriptCommand(Command):
    """Says where options and arguments of the script stand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        own, theirs = args[:at], args[at + 1 :]
        way = f"{ctx.command_path} SCRIPT --"
        try:
            rest = super().parse_args(ctx, own)
        except click.NoSuchOption as error:
            hidden = {name for each in self.params if getattr(each, "hidden", False) for name in each.opts}
            like = [name for name in error.possibilities or () if name not in hidden]
            told = click.NoSuchOption(error.option_name, possibilities=like, ctx=ctx)
            said = told.format_message().rstrip(".")
            raise click.UsageError(
                f"{said}; options of the script go after --: {way} {error.option_name}", ctx
            ) from None
        extra = ctx.params.get("arguments")
        if extra and not ctx.resilient_parsing:
            said = f"{extra[0]!r} is one argument too many; those of the script go after --"
            raise click.UsageError(f"{said}: {way} {' '.join(extra)}", ctx)
        ctx.params["arguments"] = tuple(theirs)
        return rest
