"""keys, predict, logs: talking to the running server."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Literal

import typer

from asteria_tui.cli.options import Options
from asteria_tui.cli.render import Renderer, print_value
from asteria_tui.cli.run import perform
from asteria_tui.errors import ConfigError
from asteria_tui.events import Key
from asteria_tui.inference.payload import read_payload
from asteria_tui.session import Session, open_project
from asteria_tui.state import State
from asteria_tui.wording import duration

Renewable = Literal["inference", "management"]


def keys(
    options: Options,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the tokens themselves.")] = False,
    renew: Annotated[Renewable | None, typer.Option(help="Renew one; the old token is dead at once.")] = None,
) -> int:
    """The tokens of the running server, masked unless asked."""

    def finish(state: State, renderer: Renderer) -> None:
        if options.json:
            return
        for key in state.keys:
            print_value(f"{key.kind:<10}  {key.token}  {_left(key)}")
        if not state.keys:
            renderer.say("the server runs without tokens: anyone who can reach it may use it")

    return perform(options, "keys", lambda session: session.keys(reveal=reveal, renew=renew), finish=finish)


def _left(key: Key) -> str:
    if key.expires_at is None:
        return "never expires"
    left = key.expires_at - time.time()
    return f"{duration(left)} left" if left > 0 else "expired"


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
    project = open_project(options.project, options.overrides)
    name = model or project.model()[0]
    if sample is not None and data is not None:
        raise ConfigError(f"{sample} and -d are two payloads", hint="give one of them")
    # Python has no stdin at all where it was closed.
    stdin = sys.stdin.buffer if sample == "-" and sys.stdin is not None else None
    payload = read_payload(project, name, sample, data=data, stdin=stdin, content_type=content_type)

    async def send(session: Session) -> None:
        await session.predict(payload, name)

    return perform(options, "predict", send, project=project)
