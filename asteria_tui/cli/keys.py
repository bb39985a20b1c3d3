"""keys: the tokens of the running server."""

from __future__ import annotations

import time
from typing import Literal, get_args

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import command
from asteria_tui.cli.render import Renderer, print_value
from asteria_tui.cli.run import run
from asteria_tui.events import Key, KeysChanged
from asteria_tui.state import State
from asteria_tui.wording import duration

Renewable = Literal["inference", "management"]


@command
@click.option("--reveal", is_flag=True, help="Show the tokens themselves.")
@click.option("--renew", type=click.Choice(get_args(Renewable)), help="Renew one; the old token is dead at once.")
def keys(options: Options, reveal: bool, renew: Renewable | None) -> int:
    """The tokens of the running server, masked unless asked."""
    from asteria_tui.operations.keys import RenewKey, ShowKeys

    def finish(state: State, renderer: Renderer) -> None:
        if options.json:
            return
        for key in state.keys:
            print_value(f"{key.kind:<10}  {key.token}  {_left(key)}")
        if not state.keys:
            renderer.say("the server runs without tokens: anyone who can reach it may use it")

    operation = RenewKey(kind=renew, reveal=reveal) if renew else ShowKeys(reveal=reveal)
    return run(options, operation, only=(KeysChanged,), finish=finish)


def _left(key: Key) -> str:
    if key.expires_at is None:
        return "never expires"
    left = key.expires_at - time.time()
    return f"{duration(left)} left" if left > 0 else "expired"
