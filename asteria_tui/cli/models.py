"""models: the management API."""

from __future__ import annotations

from typing import Annotated

import typer

from asteria_tui.cli.options import Options
from asteria_tui.cli.render import Renderer, print_value
from asteria_tui.cli.run import Action, perform
from asteria_tui.session import Session
from asteria_tui.state import State

Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str | None, typer.Option("--version", help="One version instead of the default one.")]


def list_models(options: Options) -> int:
    """Every version of every model, with its workers."""
    return _manage(options, Session.list_models)


def show(options: Options, name: Name) -> int:
    """All that the server tells of each version of a model, the handler's own description included."""

    async def act(session: Session) -> None:
        for version in await session.describe(name):
            print_value(version)

    return perform(options, "models", act, narrate=False)


def register(
    options: Options,
    archive: Annotated[str, typer.Argument(help="The file name of an archive in the store, such as my.mar.")],
    name: Annotated[str | None, typer.Option("--name", help="Instead of the name in the archive.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="How many to start.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1)] = 1,
    max_batch_delay: Annotated[int, typer.Option(min=0, help="Milliseconds.")] = 100,
) -> int:
    """Load an archive of the store and start its workers."""
    parameters = {
        "initial_workers": workers,
        "batch_size": batch_size,
        "max_batch_delay": max_batch_delay,
    }
    return _manage(options, lambda session: session.register(archive, name, parameters))


def unregister(options: Options, name: Name, version: Version = None) -> int:
    """Stop the workers of a model and forget it."""
    return _manage(options, lambda session: session.unregister(name, version))


def scale(
    options: Options,
    name: Name,
    workers: Annotated[int, typer.Argument(min=0, help="How many there shall be.")],
    version: Version = None,
) -> int:
    """Start or stop workers, and wait until it is done."""
    return _manage(options, lambda session: session.scale(name, workers, version))


def default(options: Options, name: Name, version: Annotated[str, typer.Argument()]) -> int:
    """Make one version the default one."""
    return _manage(options, lambda session: session.set_default(name, version))


def _manage(options: Options, act: Action) -> int:
    def finish(state: State, _: Renderer) -> None:
        if options.json:
            return
        for model in state.models:
            ready = sum(worker.status == "READY" for worker in model.workers)
            print_value(f"{model.name} {model.version}  {ready} of {len(model.workers)} workers ready")
        if not state.models:
            print_value("no model is registered")

    return perform(options, "models", act, finish=finish)


VERBS = {
    "list": list_models,
    "show": show,
    "register": register,
    "unregister": unregister,
    "scale": scale,
    "default": default,
}
