"""From a command to an exit status: a session, an operation in it, its events on the screen, signals to a clean end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asteria_tui.cli.options import Options
from asteria_tui.cli.render import Renderer
from asteria_tui.config import Project
from asteria_tui.errors import ExitCode
from asteria_tui.events import Event, OperationFailed, StageFailed, WarningRaised
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from asteria_tui.state import State

if TYPE_CHECKING:
    from asteria_tui.operations.base import Operation

Finish = Callable[[State, Renderer], None]
FAILURES = (StageFailed, OperationFailed)


def run(
    options: Options,
    operation: Operation,
    *,
    project: Project | None = None,
    only: tuple[type[Event], ...] | None = None,
    finish: Finish | None = None,
    renderer: Renderer | None = None,
) -> int:
    """Runs an operation on the project; raises ConfigError where there is no project.

    `only` are the events that are shown as they come, beside warnings and failures; without it all are. `finish`
    prints the result from the state that the events add up to; it is not called after a failure.
    """
    chosen = project or open_project(options.project, options.overrides, is_about_server=operation.is_about_server)
    renderer = renderer or Renderer(options, names_models=len(chosen.settings.models) > 1)
    return asyncio.run(_run(chosen, operation, renderer, only, finish))


async def _run(
    project: Project,
    operation: Operation,
    renderer: Renderer,
    only: tuple[type[Event], ...] | None,
    finish: Finish | None,
) -> int:
    session = Session(project)
    stream = session.events()
    running = asyncio.ensure_future(session.run(operation))
    ending = asyncio.ensure_future(_end(session, running))
    cancel_on_signals(running)
    has_failed = False
    async for event in stream:
        has_failed |= isinstance(event, FAILURES)
        if only is None or isinstance(event, (*only, *FAILURES, WarningRaised)):
            renderer.show(event)
    code = await ending
    if finish is not None and not has_failed:
        finish(session.state, renderer)
    return code


async def _end(session: Session, running: asyncio.Future[ExitCode]) -> int:
    code = await running
    await session.close()
    return code


def cancel_on_signals(task: asyncio.Future[Any]) -> None:
    """The clean-up of whatever is under way runs before the exit."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
