"""stores: the chain from the sources to what the server has loaded."""

from __future__ import annotations

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command, model_option
from asteria_tui.cli.render import Renderer, ago, print_text
from asteria_tui.cli.run import run
from asteria_tui.events import ChainLink, StoresCompared
from asteria_tui.state import State

PLACE_WIDTH = 9
HASH_SHOWN = 12


@command
@model_option
@click.option("--sync", is_flag=True, help="Copy the primary store's archives wherever they differ.")
def stores(options: Options, model: str | None, sync: bool) -> int:
    """Compare sources, stores and what the server has loaded, by SHA-256; exit status 1 when a link is broken."""
    from asteria_tui.operations.stores import Stores, SyncStores

    def finish(state: State, renderer: Renderer) -> None:
        compared = state.stores
        if options.json or compared is None:
            return
        for link in compared.links:
            print_text(_line(link))
        broken = compared.first_broken
        if broken is not None:
            renderer.say(f"\nbroken at {broken.place} of {broken.model}: {broken.fix}")

    if sync:
        return run(options, SyncStores(model=model), finish=finish)
    return run(options, Stores(model=model), only=(StoresCompared,), finish=finish)


def _line(link: ChainLink) -> str:
    mark = "=" if link.matches else "✘"
    age = f"  {ago(link.modified_at)} old" if link.modified_at else ""
    shown = link.sha256[:HASH_SHOWN] if link.sha256 else "nothing".ljust(HASH_SHOWN)
    return f"{mark} {link.model}  {link.place:<{PLACE_WIDTH}}  {shown}  {link.name}{age}"
