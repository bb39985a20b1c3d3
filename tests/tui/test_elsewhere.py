"""What commands do in another terminal is on the open screen, and marked."""

from __future__ import annotations

import asyncio

import pytest
from textual.widgets import Static

from asteria_tui.errors import ServerError
from asteria_tui.events import OperationStarted, Predicted, ServerChanged
from asteria_tui.operations.base import stage
from asteria_tui.session import Session
from asteria_tui.tui import details
from tests.test_journal import Predict
from tests.test_session import Scripted
from tests.tui.conftest import CAUSE, NOW, RUNNING, settle
from tests.waiting import until_async


@pytest.fixture
def command(project):
    project.state_dir.mkdir()
    return lambda: Session(project)


def _shown(pilot) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


async def test_an_up_that_fails_in_another_terminal(opened, session, command):
    async def fails(context):
        context.emit(ServerChanged(state="running", target="local", started_at=NOW - 760))
        async with stage(context.emit, "ready", "sample"):
            error = ServerError(CAUSE.headline)
            error.cause = CAUSE
            raise error

    async with opened((200, 60)) as pilot:
        session.replay(*RUNNING)
        session.replay(Predicted(at=NOW - 5, operation="predict-1", model="sample", status=200, milliseconds=9))
        await settle(pilot)
        assert "✔ predict" in _shown(pilot)
        await command().run(Scripted(script=fails))
        await until_async(lambda: session.state.last_failure is not None)
        await settle(pilot)
        shown = _shown(pilot)
        assert "✘ ready" in shown
        assert "✔ predict" not in shown
        assert "from the command line" in shown
        assert "earlier" in pilot.app.workbench.request.query_one("#outcome", Static).content.plain
        await pilot.press("enter")
        await pilot.pause()
        assert "KeyError: 'threshold'" in pilot.app.screen.plain


async def test_an_answer_of_another_terminal_is_marked(opened, session, command):
    async def answers(context):
        context.emit(Predicted(at=NOW, model="sample", sample="second", status=200, milliseconds=4, body={"score": 1}))

    async with opened((200, 60)) as pilot:
        session.replay(*RUNNING)
        await command().run(Predict(script=answers))
        await until_async(lambda: bool(session.state.predictions[1:]))
        await settle(pilot)
        assert "200 · sample second · 4 ms · 0 B · from the command line" in _shown(pilot)


async def test_while_a_command_works_the_header_says_so_and_the_keys_refuse(opened, session, command):
    going = asyncio.Event()

    async def works(context):
        async with stage(context.emit, "ready", "sample"):
            await going.wait()

    async with opened() as pilot:
        running = asyncio.ensure_future(command().run(Scripted(script=works)))
        await until_async(lambda: session.state.running("workflow") is not None)
        await settle(pilot)
        assert "◌ work from the command line" in _shown(pilot).splitlines()[0]
        await pilot.press("u")
        await pilot.pause()
        told = [note.message for note in pilot.app._notifications]
        assert told == ["work is still running, from the command line"]
        assert session.asked == []
        going.set()
        await running
        await until_async(lambda: session.state.running("workflow") is None)


def test_the_header_offers_no_key_that_would_cancel_it(project):
    from asteria_tui.state import State, reduce
    from asteria_tui.tui.actions import ActionContext

    begun = OperationStarted(operation="up-1", name="up", lane="workflow", origin="command line")
    line = details.status_line(project, ActionContext(state=reduce(State(), begun)), 100).plain
    assert line.endswith("◌ up from the command line")
