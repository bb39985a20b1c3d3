"""`asteria-tui`: the entry point, and the outer edge where nothing may escape as a traceback."""

from __future__ import annotations

import os
import sys

import typer

from asteria_tui import __version__
from asteria_tui.cli import models, serving, testing
from asteria_tui.cli.options import Options
from asteria_tui.cli.render import print_error
from asteria_tui.errors import AsteriaError, ExitCode

app = typer.Typer(
    name="asteria-tui",
    help="A workbench for TorchServe on your own machine: package, serve, read tokens, follow logs, predict.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def screen(
    context: typer.Context,
    version: bool = typer.Option(  # noqa: ARG001 its callback does it
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    if context.invoked_subcommand is None:
        # The screen is another issue's work; until it is there a terminal gets what a pipe gets.
        typer.echo("the screen needs a terminal; `asteria-tui --help` lists the commands", err=True)
        raise typer.Exit(ExitCode.USAGE)


for room in (serving, testing, models):
    room.add_to(app)


def main() -> None:
    options = Options(json="--json" in sys.argv, verbose=bool({"-v", "--verbose"} & set(sys.argv)))
    try:
        app()
    except AsteriaError as error:
        print_error(error, options)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough; without this Python complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    except Exception as error:
        if options.verbose:
            raise
        told = AsteriaError(
            f"a bug in asteria-tui: {type(error).__name__}: {error}", hint="run it again with -v for the traceback"
        )
        print_error(told, options)
        sys.exit(ExitCode.FAILED)
