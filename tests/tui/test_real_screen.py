"""The screen on a real TorchServe, in a real terminal."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from asteria_tui.errors import ExitCode
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from asteria_tui.targets.record import load_record
from asteria_tui.tui.app import AsteriaApp
from tests.benchmarks.terminal import Terminal
from tests.conftest import COMMAND
from tests.tui.conftest import HANDLER
from tests.waiting import until, until_async

pytestmark = pytest.mark.torchserve


@pytest.fixture
def folder(served):
    (served / "asteria.toml").write_text('[models.sample]\nhandler = "handler.py"\nsamples = "samples"\n')
    return served


@asynccontextmanager
async def _opened(folder) -> AsyncIterator[Pilot]:
    session = Session(open_project(folder))
    app = AsteriaApp(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_async(lambda: app.is_filled)
        yield pilot
    await app.stop_watching()
    await session.close()


def _pipeline(app) -> str:
    return app.workbench.panel("pipeline").query_one("Static").content.plain


# The server outlives the object that started it, and is meant to.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_up_a_broken_handler_and_its_root_cause(folder):
    async with _opened(folder) as pilot:
        app, session = pilot.app, pilot.app.session
        await pilot.press("u")
        await until_async(lambda: not app.workflow and session.state.predictions)
        await until_async(lambda: _pipeline(app).count("✔") == 6)
        assert "score 0.25" in _pipeline(app)

        (folder / "handler.py").write_text(HANDLER.replace("        pass", "        self.limit = {}['limit']"))
        await pilot.press("R")
        await until_async(lambda: not app.workflow)
        await until_async(lambda: "✘ ready" in _pipeline(app))
        assert "KeyError: 'limit'" in _pipeline(app)
        assert "handler.py:5 in initialize" in _pipeline(app)

        await until_async(lambda: app.workbench.logs.causes.older or app.workbench.logs.causes.current)
        # Of the run that failed: since then the server of before runs again.
        causes = app.workbench.logs.causes
        assert [*causes.older, *causes.current][-1].frame.line == 5


async def _command(folder, *arguments: str) -> None:
    running = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, "-C", str(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await running.wait()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_commands_do_beside_it_is_on_the_screen(folder):
    async with _opened(folder) as pilot:
        app, session = pilot.app, pilot.app.session
        await _command(folder, "up")
        await until_async(lambda: _pipeline(app).count("✔") == 6)
        await until_async(lambda: session.state.is_ready and session.state.keys)
        assert [answer.status for answer in session.state.predictions] == [200]

        before = [key.expires_at for key in session.state.keys]
        await _command(folder, "keys", "--renew", "inference")
        await until_async(lambda: [key.expires_at for key in session.state.keys] != before)

        (folder / "handler.py").write_text(HANDLER.replace("        pass", "        self.limit = {}['limit']"))
        await _command(folder, "up")
        await until_async(lambda: "✘ ready" in _pipeline(app))
        assert "✔ predict" not in _pipeline(app)
        assert session.state.failure.cause.frame.line == 5

        await _command(folder, "down")
        await until_async(lambda: session.state.server.state == "stopped")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_handler_that_is_edited_makes_the_answer_one_of_older_code(folder):
    async with _opened(folder) as pilot:
        app, session = pilot.app, pilot.app.session

        def outcome():
            return app.workbench.request.query_one("#outcome", Static).content.plain

        await pilot.press("u")
        await until_async(lambda: not app.workflow and session.state.predictions)
        await until_async(lambda: session.state.sources["sample"].sha256 == session.state.models[0].sha256)
        assert session.state.outdated() == ()
        await until_async(lambda: outcome().startswith("200"))
        assert "older code" not in outcome()

        # Saved as editors do it: a new file in place of the old one.
        served = session.state.models[0].sha256
        (folder / "new").write_text(HANDLER.replace("0.25", "0.75"))
        (folder / "new").replace(folder / "handler.py")
        await until_async(lambda: len(session.state.outdated()) == 1, seconds=20)
        [source] = session.state.outdated()
        assert (source.model, source.newest, source.error) == ("sample", "handler.py", "")
        assert source.sha256 != served
        await until_async(lambda: "of older code" in outcome(), seconds=20)

        # The new code is served by the next up, and its answer is of it.
        await pilot.press("u")
        await until_async(lambda: not app.workflow and session.state.predictions[-1].body == {"score": 0.75})
        assert session.state.outdated() == ()
        await until_async(lambda: "of older code" not in outcome(), seconds=20)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_target_without_an_engine_fails_once_and_the_other_goes_on(folder, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
    async with _opened(folder) as pilot:
        app, session = pilot.app, pilot.app.session
        await pilot.press("L")
        await until_async(lambda: app.screen is not app.workbench)
        await pilot.press("d")
        await until_async(lambda: app.screen is app.workbench)
        await pilot.press("u")
        await until_async(lambda: not app.workflow and session.state.failure)
        await until_async(lambda: app.workbench.panel("pipeline").has_class("-failed"))
        failures = [stage.failure for stage in session.state.stages if stage.failure]
        assert [failure.exit_code for failure in failures] == [ExitCode.TARGET]
        told = " ".join(_pipeline(app).split())
        assert told.count("✘") == 1
        assert failures[0].hint
        assert f"→ {failures[0].hint}" in told
        assert app.return_code is None

        await pilot.press("L")
        await until_async(lambda: app.screen is not app.workbench)
        await pilot.press("l")
        await until_async(lambda: app.screen is app.workbench)
        await pilot.press("u")
        await until_async(lambda: not app.workflow and session.state.predictions)
        await until_async(lambda: _pipeline(app).count("✔") == 6)
        assert session.state.failure is None


def test_a_terminal_that_is_closed_leaves_a_whole_server(folder):
    terminal = Terminal([*COMMAND, "-C", str(folder), "--up"])
    terminal.wait_for(b"up: done", seconds=120)
    code = terminal.close()
    assert code == 0
    record = load_record(open_project(folder))
    assert record.process.is_alive
    status = subprocess.run([*COMMAND, "status", "-C", str(folder)], check=False, capture_output=True)
    assert status.returncode == 0


def test_a_terminal_that_is_closed_while_a_server_starts_leaves_none(folder):
    terminal = Terminal([*COMMAND, "-C", str(folder), "--up"])

    def started():
        record = load_record(open_project(folder))  # which is there before the process
        return record and record.process

    pid = until(started, meanwhile=terminal.run).pid
    assert terminal.close() == 0
    assert load_record(open_project(folder)) is None
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_in_tmux(folder):
    socket = f"asteria-{uuid.uuid4().hex[:8]}"

    def tmux(*arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-L", socket, *arguments], check=True, capture_output=True, text=True, env=os.environ
        ).stdout

    def shows(text: str) -> None:
        until(lambda: text in tmux("capture-pane", "-p"), seconds=120)

    command = f"{sys.executable} -m asteria_tui -C {folder}"
    tmux("new-session", "-d", "-x", "100", "-y", "30", f"{command}; printf 'left with %s' $?; sleep 600")
    try:
        shows("press u to start it")
        tmux("send-keys", "u")
        shows("score 0.25")
        tmux("send-keys", "r")
        shows("200 ·")
        tmux("send-keys", "q")
        shows("leave it running")
        tmux("send-keys", "s")
        shows("left with 0")
    finally:
        tmux("kill-server")
    assert load_record(open_project(folder)) is None
