"""`restart`: up, with a new server in any case."""

from __future__ import annotations

from typing import ClassVar

from asteria_tui.events import Lane
from asteria_tui.operations.base import Context, Operation
from asteria_tui.operations.up import up


class Restart(Operation, frozen=True, kw_only=True):
    name: ClassVar[str] = "restart"
    lane: ClassVar[Lane] = "workflow"
    model: str | None = None

    async def run(self, context: Context) -> None:
        await up(context, context.models(self.model), anew=True)
