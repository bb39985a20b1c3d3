"""models: the management API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command
from asteria_tui.cli.render import Renderer, print_text, print_value
from asteria_tui.cli.run import run
from asteria_tui.events import ModelsChanged
from asteria_tui.state import State

if TYPE_CHECKING:
    from asteria_tui.operations.base import Operation

name_argument = click.argument("name", help="The model's name.")
version_option = click.option("--version", help="One version instead of the default one.")


@command
def list_models(options: Options) -> int:
    """Every version of every model, with its workers."""
    from asteria_tui.operations.models import ListModels

    return _run(options, ListModels())


@command
@name_argument
def show(options: Options, name: str) -> int:
    """All that the server tells of each version of a model, the handler's own description included."""
    from asteria_tui.operations.models import DescribeModel

    def finish(state: State, _: Renderer) -> None:
        for version in state.descriptions.get(name, ()):
            print_value(version)

    return run(options, DescribeModel(model=name), only=(), finish=finish)


@command
@click.argument("archive", help="The file name of an archive in the store, such as my.mar.")
@click.option("--name", help="Instead of the name in the archive.")
@click.option("--workers", type=click.IntRange(min=0), default=1, help="How many to start.")
@click.option("--batch-size", type=click.IntRange(min=1), default=1)
@click.option("--max-batch-delay", type=click.IntRange(min=0), default=100, help="Milliseconds.")
def register(
    options: Options, archive: str, name: str | None, workers: int, batch_size: int, max_batch_delay: int
) -> int:
    """Load an archive of the store and start its workers."""
    from asteria_tui.operations.models import RegisterModel

    operation = RegisterModel(
        archive=archive, model=name, workers=workers, batch_size=batch_size, max_batch_delay=max_batch_delay
    )
    return _run(options, operation)


@command
@name_argument
@version_option
def unregister(options: Options, name: str, version: str | None) -> int:
    """Stop the workers of a model and forget it."""
    from asteria_tui.operations.models import UnregisterModel

    return _run(options, UnregisterModel(model=name, version=version))


@command
@name_argument
@click.argument("workers", type=click.IntRange(min=0), help="How many there shall be.")
@version_option
def scale(options: Options, name: str, workers: int, version: str | None) -> int:
    """Start or stop workers, and wait until it is done."""
    from asteria_tui.operations.models import ScaleModel

    return _run(options, ScaleModel(model=name, workers=workers, version=version))


@command
@name_argument
@click.argument("version")
def default(options: Options, name: str, version: str) -> int:
    """Make one version the default one."""
    from asteria_tui.operations.models import SetDefaultVersion

    return _run(options, SetDefaultVersion(model=name, version=version))


def _run(options: Options, operation: Operation) -> int:
    def finish(state: State, _: Renderer) -> None:
        if options.json:
            return
        for model in state.models:
            print_text(f"{model.name} {model.version}  {model.ready_workers} of {len(model.workers)} workers ready")
        if not state.models:
            print_value("no model is registered")

    return run(options, operation, only=(ModelsChanged,), finish=finish)


VERBS = {
    "list": list_models,
    "show": show,
    "register": register,
    "unregister": unregister,
    "scale": scale,
    "default": default,
}
