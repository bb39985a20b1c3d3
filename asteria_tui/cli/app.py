"""The Typer application of some of the commands, or of all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

import typer

from asteria_tui.cli.commands import COMMANDS
from asteria_tui.cli.options import with_options


def make_app(names: Sequence[str]) -> typer.Typer:
    """With the named commands: importing all of them costs more than most of them take."""
    app = typer.Typer(
        name="asteria-tui", pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    # A callback keeps the command's name in the call where there is only one command.
    app.callback()(lambda: None)
    for name in names:
        command = COMMANDS[name]
        module = importlib.import_module(f"asteria_tui.cli.{command.module}")
        if command.is_group:
            app.add_typer(_group(module.VERBS), name=name, help=command.summary)
        else:
            app.command(name, help=command.summary)(with_options(getattr(module, name)))
    return app


def _group(verbs: Mapping[str, Callable[..., int]]) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True)
    group.callback()(lambda: None)
    for name, command in verbs.items():
        group.command(name)(with_options(command))
    return group
