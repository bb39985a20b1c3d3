"""predict: one payload to the running server."""

from __future__ import annotations

import sys

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command
from asteria_tui.cli.run import run
from asteria_tui.errors import ConfigError
from asteria_tui.inference.payload import read_payload
from asteria_tui.projects import open_project


@command
@click.argument("sample", required=False, metavar="[SAMPLE|@FILE|-]", help="A saved sample, a file, or standard input.")
@click.option("-d", "--data", help="The payload itself.")
@click.option("--model", "-m", help="Instead of the project's first model.")
@click.option("--content-type", help="Instead of JSON, or what the file's name says.")
def predict(options: Options, sample: str | None, data: str | None, model: str | None, content_type: str | None) -> int:
    """Send one payload; without any, the model's first sample."""
    from asteria_tui.operations.predict import Predict

    project = open_project(options.project, options.overrides)
    name = project.model()[0] if model is None else model
    if sample is not None and data is not None:
        raise ConfigError(f"{sample} and -d are two payloads", hint="give one of them")
    # Python has no stdin at all where it was closed.
    stdin = sys.stdin.buffer if sample == "-" and sys.stdin is not None else None
    payload = read_payload(project, name, sample, data=data, stdin=stdin, content_type=content_type)
    return run(options, Predict(payload=payload, model=name), project=project)
