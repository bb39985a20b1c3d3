"""predict: one payload to the running server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from asteria_tui.cli.options import Options
from asteria_tui.cli.run import run
from asteria_tui.errors import ConfigError
from asteria_tui.inference.payload import read_payload
from asteria_tui.projects import open_project


def predict(
    options: Options,
    sample: Annotated[
        str | None, typer.Argument(metavar="[SAMPLE|@FILE|-]", help="A saved sample, a file, or standard input.")
    ] = None,
    data: Annotated[str | None, typer.Option("-d", "--data", help="The payload itself.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Instead of the project's first model.")] = None,
    content_type: Annotated[str | None, typer.Option(help="Instead of JSON, or what the file's name says.")] = None,
) -> int:
    """Send one payload; without any, the model's first sample."""
    from asteria_tui.operations.predict import Predict

    project = open_project(options.project, options.overrides)
    name = model or project.model()[0]
    if sample is not None and data is not None:
        raise ConfigError(f"{sample} and -d are two payloads", hint="give one of them")
    # Python has no stdin at all where it was closed.
    stdin = sys.stdin.buffer if sample == "-" and sys.stdin is not None else None
    payload = read_payload(project, name, sample, data=data, stdin=stdin, content_type=content_type)
    return run(options, Predict(payload=payload, model=name), project=project)
