"""From a command to an exit status: a session, its events on the screen, signals turned into a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from asteria_tui.cli.options import Options
from asteria_tui.cli.render import Renderer
from asteria_tui.config import Project
from asteria_tui.errors import ExitCode
from asteria_tui.events import StageFailed, Step
from asteria_tui.session import Session, open_project
from asteria_tui.state import State

Action = Callable[[Session], Awaitable[ExitCode | None]]
ABOUT_SERVER = {"stop", "status", "keys", "models"}
"""Steps that need what runs, not what asteria.toml says by now."""
Finish = Callable[[State, Renderer], None]


def perform(
    options: Options,
    stage: Step,
    action: Action,
    *,
    project: Project | None = None,
    narrate: bool = True,
    finish: Finish | None = None,
) -> int:
    """Runs `action` on a session of the project; raises ConfigError where there is no project.

    Without `narrate` only a failure is shown as it happens. `finish` prints the result from the state that the
    events add up to; it is not called after a failure.
    """
    chosen = project or open_project(options.project, options.overrides, is_about_server=stage in ABOUT_SERVER)
    renderer = Renderer(options, names_models=len(chosen.settings.models) > 1)
    return asyncio.run(_perform(chosen, stage, action, renderer, narrate=narrate, finish=finish))


async def _perform(
    project: Project,
    stage: Step,
    action: Action,
    renderer: Renderer,
    *,
    narrate: bool,
    finish: Finish | None,
) -> int:
    session = Session(project)
    acting = asyncio.ensure_future(session.perform(action(session), stage))
    acting.add_done_callback(lambda _: session.close())
    cancel_on_signals(acting)
    async for event in session.events():
        if narrate or isinstance(event, StageFailed):
            renderer.show(event)
    with contextlib.suppress(asyncio.CancelledError):
        code = await acting
        failed = session.state.failure
        if finish is not None and failed is None:
            finish(session.state, renderer)
        return code
    return ExitCode.INTERRUPTED


def cancel_on_signals(task: asyncio.Future[Any]) -> None:
    """The clean-up of whatever is under way runs before the exit."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
