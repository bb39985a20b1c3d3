"""`keys`: the tokens of the running server, shown and renewed."""

from __future__ import annotations

from typing import ClassVar

from asteria_tui.events import KeyKind, KeysChanged, Lane
from asteria_tui.operations.base import Context, Operation
from asteria_tui.server.client import Client
from asteria_tui.server.keys import masked


class ShowKeys(Operation, frozen=True, kw_only=True):
    name: ClassVar[str] = "keys"
    is_about_server: ClassVar[bool] = True
    reveal: bool = False

    async def run(self, context: Context) -> None:
        async with context.client(await context.running()) as client:
            await show_keys(context, client, reveal=self.reveal)


class RenewKey(Operation, frozen=True, kw_only=True):
    """The old token is dead at once."""

    name: ClassVar[str] = "keys"
    lane: ClassVar[Lane] = "workflow"
    is_about_server: ClassVar[bool] = True
    kind: KeyKind
    reveal: bool = False

    async def run(self, context: Context) -> None:
        async with context.client(await context.running()) as client:
            await client.renew(self.kind)
            await show_keys(context, client, reveal=self.reveal)


async def show_keys(context: Context, client: Client, *, reveal: bool = False) -> str:
    """Emits the keys, masked unless `reveal`; returns in one line what there is."""
    if client.keys is None:
        return "token authorization is off"
    keys = (await client.keys.keys()).values()
    context.emit(KeysChanged(keys=tuple(key if reveal else masked(key) for key in keys)))
    return f"{len(keys)} keys"
