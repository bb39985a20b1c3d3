"""Opens the session around the screen, and cleans up after it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from asteria_tui.config import Project
from asteria_tui.errors import ExitCode
from asteria_tui.session import Session
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.preferences import Settings, load_settings, load_ui_state, save_ui_state, settings_file
from asteria_tui.tui.terminal import run_in_terminal


def run(project: Project, *, up_first: bool = False) -> int:
    """Opens the screen; returns an exit status when the user has left it. Raises ConfigError."""
    return asyncio.run(_run(project, load_settings(settings_file()), up_first=up_first))


async def _run(project: Project, settings: Settings, *, up_first: bool) -> int:
    session = Session(project)
    app = AsteriaApp(session, settings, load_ui_state(project), up_first=up_first)
    await run_in_terminal(app, "leave")
    await _clean_up(app, _say)
    if app.return_code:
        return app.return_code
    code = ExitCode.DONE
    if app.return_value == "stop":
        from asteria_tui.operations.down import Down

        _say("stopping the server …")
        code = await session.run(Down())
        if code != ExitCode.DONE and session.state.last_failure is not None:
            _say(session.state.last_failure.title)
    await session.close(_say)
    return int(code)


def _say(text: str) -> None:
    """The screen is gone."""
    print(text, file=sys.stderr)  # noqa: T201


async def _clean_up(app: AsteriaApp, report: Callable[[str], object]) -> None:
    """What runs well goes on, what is half done is undone."""
    await app.stop_watching()
    save_ui_state(app.session.project, app.ui_state)
    await app.session.settle(report)
