"""predict: one payload to the running server."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command
from asteria_tui.cli.render import Renderer
from asteria_tui.cli.run import run
from asteria_tui.errors import ConfigError
from asteria_tui.inference.payload import read_payload
from asteria_tui.inference.request import Envelope, form, headers_of
from asteria_tui.projects import open_project


@command
@click.argument("sample", required=False, metavar="[SAMPLE|@FILE|-]", help="A saved sample, a file, or standard input.")
@click.option("-d", "--data", help="The payload itself.")
@click.option("-F", "--form", "fields", multiple=True, metavar="NAME=VALUE|NAME=@FILE", help="A field; several in all.")
@click.option("--model", "-m", help="Instead of the project's first model.")
@click.option("--model-version", metavar="VERSION", help="Instead of the default one.")
@click.option("--content-type", help="Instead of JSON, or what the file's name says.")
@click.option("--raw", is_flag=True, help="The bytes without a content type, as curl -T sends them.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="A header more; several in all.")
@click.option("--sequence", metavar="ID", help="Of a stateful model: requests of one sequence reach one worker.")
@click.option("--explain", is_flag=True, help="Ask the handler to explain instead.")
@click.option("--envelope", type=click.Choice(["kserve", "kservev2"]), help="The paths of KServe.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Save the answer's body there.")
def predict(
    options: Options,
    sample: str | None,
    data: str | None,
    fields: tuple[str, ...],
    model: str | None,
    model_version: str | None,
    content_type: str | None,
    raw: bool,
    headers: tuple[str, ...],
    sequence: str | None,
    explain: bool,
    envelope: Envelope | None,
    output: Path | None,
) -> int:
    """Send one payload; without any, the model's first sample. The answer's body goes out as it is."""
    from asteria_tui.operations.predict import How, Predict

    project = open_project(options.project, options.overrides)
    name = project.model()[0] if model is None else model
    ways = [
        *([sample] if sample is not None else []),
        *(["-d"] if data is not None else []),
        *(["-F"] if fields else []),
    ]
    if len(ways) > 1:
        raise ConfigError(f"{ways[0]} and {ways[1]} are two payloads", hint="give one of them")
    kinds = [*(["--raw"] if raw else []), *(["--content-type"] if content_type else []), *(["-F"] if fields else [])]
    if len(kinds) > 1:
        raise ConfigError(f"{kinds[0]} and {kinds[1]} are two content types", hint="give one of them")
    renderer = Renderer(options, shows_answers=output is None)  # the stage names the model
    how = How(
        version=model_version,
        call="explain" if explain else "predict",
        envelope=envelope,
        headers=headers_of(headers, sequence),
        receive=None if options.json or output is not None else renderer.receive,
        save_as=output,
    )
    how.path(name)  # what can't be asked is refused before anything is read
    # Python has no stdin at all where it was closed.
    stdin = sys.stdin.buffer if sample == "-" and sys.stdin is not None else None
    if fields:
        payload = form(fields)
    else:
        payload = read_payload(project, name, sample, data=data, stdin=stdin, content_type="" if raw else content_type)
    return run(options, Predict(payload=payload, model=name, how=how), project=project, renderer=renderer)
