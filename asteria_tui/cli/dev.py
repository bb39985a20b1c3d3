"""dev: a line for each save, until Ctrl-C."""

from __future__ import annotations

from typing import Literal

import click

from asteria_tui import events
from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command, model_option
from asteria_tui.cli.run import run

SHOWN = (
    events.StageStarted,
    events.StageProgressed,
    events.StageFinished,
    events.CommandRan,
    events.Reloaded,
    events.RequestHeld,
    events.RequestReleased,
)


@command
@click.argument("samples", nargs=-1, metavar="[SAMPLE]…", help="Sent again after each save; else the first one.")
@model_option
@click.option(
    "--depth",
    type=click.Choice(["live", "worker"]),
    default="live",
    help="How much is begun anew: the handler alone, or its worker, for code that can't be loaded twice.",
)
@click.option("--hold", is_flag=True, help="Keep a request that fails waiting for its fix; `release` gives it up.")
@click.option("--hold-for", type=click.IntRange(1, 86_400), default=600, help="Seconds that one is kept at most.")
@click.option("--stop", is_flag=True, help="Stop the server at the end, also where it ran before.")
def dev(
    options: Options,
    samples: tuple[str, ...],
    model: str | None,
    depth: Literal["live", "worker"],
    hold: bool,
    hold_for: int,
    stop: bool,
) -> int:
    """Serve the sources: each save is answered by the new code in a moment."""
    from asteria_tui.operations.dev import Dev

    operation = Dev(model=model, samples=samples, depth=depth, hold=hold, hold_for=hold_for, stop=stop)
    return run(options, operation, only=None if options.json else SHOWN)
