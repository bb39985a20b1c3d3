"""debug: the handler on a payload in one process, on this terminal."""

from __future__ import annotations

import os
import sys

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command, model_option
from asteria_tui.errors import ConfigError
from asteria_tui.inference.payload import Payload, read_payload
from asteria_tui.projects import open_project


@command
@click.argument(
    "samples", nargs=-1, metavar="[SAMPLE|@FILE]…", help="Several are one batch; without any, the first one."
)
@click.option("-d", "--data", help="The payload itself.")
@model_option
@click.option("--content-type", help="Instead of JSON, or what the file's name says.")
@click.option("--break", "breakpoints", multiple=True, metavar="FILE:LINE", help="Stop there, under pdb.")
@click.option("--post-mortem", is_flag=True, help="Stand in the frame that raised, under pdb.")
@click.option("--profile", is_flag=True, help="Where the time of the request goes (pyinstrument).")
@click.option("--trace-shapes", is_flag=True, help="Shapes, types, devices and times from step to step.")
def debug(
    options: Options,
    samples: tuple[str, ...],
    data: str | None,
    model: str | None,
    content_type: str | None,
    breakpoints: tuple[str, ...],
    post_mortem: bool,
    profile: bool,
    trace_shapes: bool,
) -> int:
    """Run the handler on a payload without a server, as a worker would: the same context, data and answer."""
    from asteria_tui.operations.debug import Mode, breakpoint_at, debug_command

    project = open_project(options.project, options.overrides)
    name = project.model(model)[0]
    given: dict[Mode, bool] = {
        "break": bool(breakpoints),
        "post_mortem": post_mortem,
        "profile": profile,
        "trace_shapes": trace_shapes,
    }
    chosen = [mode for mode, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise ConfigError("one way to look at it at a time", hint="--break, --post-mortem, --profile or --trace-shapes")
    if samples and data is not None:
        raise ConfigError(f"{samples[0]} and -d are two payloads", hint="give one of them")
    payloads: list[Payload] = [
        read_payload(project, name, one, data=data, content_type=content_type) for one in samples or (None,)
    ]
    places = [breakpoint_at(project, one) for one in breakpoints]
    found = debug_command(project, name, payloads, mode=chosen[0] if chosen else "run", breakpoints=places)
    sys.stdout.flush()
    sys.stderr.flush()
    # In our place: the terminal, its signals and the exit status are those of the debugger.
    os.execve(found.arguments[0], found.arguments, found.environment)  # noqa: S606 that is what it is for
