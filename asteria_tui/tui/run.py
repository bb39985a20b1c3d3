"""Opens the session around the screen, and the end of both: left by the user, told to go, or the terminal gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from asteria_tui.config import Project
from asteria_tui.errors import ExitCode
from asteria_tui.session import Session
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.preferences import Settings, load_settings, load_ui_state, save_ui_state, settings_file


def run(project: Project, *, up_first: bool = False) -> int:
    """Opens the screen; returns an exit status when the user has left it. Raises ConfigError."""
    return asyncio.run(_run(project, load_settings(settings_file()), up_first=up_first))


async def _run(project: Project, settings: Settings, *, up_first: bool) -> int:
    session = Session(project)
    app = AsteriaApp(session, settings, load_ui_state(project), up_first=up_first)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, app.exit, "leave")
    loop.add_signal_handler(signal.SIGHUP, _hang_up, app)
    app.call_later(_guard_continue)
    choice = await app.run_async()
    await _clean_up(app, _say)
    if app.return_code:
        return app.return_code
    code = ExitCode.DONE
    if choice == "stop":
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


def _hang_up(app: AsteriaApp) -> None:
    """The terminal is gone (SIGHUP): nothing may be written to it again.

    Textual's writer ends at the first write that fails, and whoever writes after that never returns.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    app.remember()
    app.batch_update().__enter__()  # paints no more; there is no end to it

    async def leave() -> None:
        await _clean_up(app, lambda _: None)
        # Textual's own end would talk to the terminal.
        os._exit(ExitCode.DONE)

    app.hanging_up = asyncio.ensure_future(leave())


def _guard_continue() -> None:
    """A terminal that goes sends SIGCONT too, at which Textual would start to talk to it again."""
    resume: Any = signal.getsignal(signal.SIGCONT)
    if not callable(resume):
        return

    def guarded(number: int, frame: Any, resume: Callable[..., Any] = resume) -> None:
        if sys.__stdin__ is not None and _is_alive(sys.__stdin__.fileno()):
            resume(number, frame)

    signal.signal(signal.SIGCONT, guarded)


def _is_alive(descriptor: int) -> bool:
    try:
        os.tcgetpgrp(descriptor)
    except OSError:
        return False
    return True
