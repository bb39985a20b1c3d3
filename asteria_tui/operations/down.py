"""`down`: the server ended, and all that it left removed."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from asteria_tui.events import Lane, ServerChanged
from asteria_tui.operations.base import Context, Operation, stage
from asteria_tui.operations.ownership import end_dev, forget_dev
from asteria_tui.operations.status import warn_of_damage
from asteria_tui.targets.record import damage, forget_record


class Down(Operation, frozen=True, kw_only=True):
    name: ClassVar[str] = "down"
    lane: ClassVar[Lane] = "workflow"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> None:
        await down(context)


async def down(context: Context) -> None:
    """Ends the server and all that it left; raises TargetError."""
    warn_of_damage(context)
    end_dev(context)
    async with stage(context.emit, "stop") as report:
        was_running = await end_server(context)
        report.summary = "stopped" if was_running else "no server was running"
        report.unchanged = not was_running
        if damage(context.project):
            forget_record(context.project)
        forget_dev(context, None)


async def end_server(context: Context) -> bool:
    """Ends it and says so, also where that was interrupted, which the target does to its end all the same."""
    try:
        was_running = await context.target.stop(context.emit)
    except asyncio.CancelledError:
        context.emit(ServerChanged(state="stopped"))
        raise
    context.emit(ServerChanged(state="stopped"))
    return was_running
