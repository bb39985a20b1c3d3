"""The inner loop on the screen: `dev` begun and ended, what each save did, and a request that waits for its fix."""

from __future__ import annotations

from textual.widgets import Static

from asteria_tui import events
from asteria_tui.tui.widgets.dialogs import Reader
from tests.tui.conftest import CAUSE, NOW, RUNNING, settle

DEV = events.OperationStarted(operation="dev-1", name="dev", lane="background")
SAVE = events.Reloaded(
    at=NOW,
    model="sample",
    file="handler.py",
    line=41,
    milliseconds=11.2,
    samples=(
        events.SampleAnswer(
            sample="first",
            status=200,
            milliseconds=2.0,
            body={"score": 0.5},
            differences=(events.Difference(path="score", before=0.25, after=0.5),),
        ),
    ),
)
HELD = events.RequestHeld(
    at=NOW,
    model="sample",
    pid=7,
    cause=CAUSE,
    frames=(
        events.HeldFrame(
            file="handler.py",
            line=23,
            function="initialize",
            first=22,
            source=("config = read()", "self.t = config['threshold']"),
            locals={"config": "{}"},
        ),
    ),
    is_last_worker=True,
)


def changes(pilot) -> str:
    return str(pilot.app.workbench.logs.query_one("#changes Static", Static).content)


def header(pilot) -> str:
    return str(pilot.app.workbench.query_one("#status").content)


async def test_a_key_begins_it_and_shows_what_saves_do(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("D")
        await pilot.pause()
        assert session.state.is_running("dev")
        assert pilot.app.workbench.logs.tab == "changes"
        session.replay(SAVE)
        await settle(pilot)
        assert "handler.py:41 · live 11 ms · first 0.25 → 0.5" in changes(pilot)
        assert pilot.app.workbench.logs.border_subtitle == "1 save"
        assert "· dev" in header(pilot)
        await pilot.press("D")
        await settle(pilot)
        assert not session.state.is_running("dev")


async def test_the_number_of_the_panel_shows_its_next_tab(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        logs = pilot.app.workbench.logs
        await pilot.press("3")
        seen = []
        for _ in range(3):
            await pilot.press("3")
            seen.append(logs.tab)
            assert pilot.app.focused in logs.walk_children()
        assert seen == ["causes", "changes", "log"]
        assert logs.title == "Logs"
        await pilot.press("3", "escape")
        assert logs.tab == "log"


async def test_a_held_request_is_told_shown_and_given_up(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING, DEV, HELD)
        await settle(pilot)
        assert "1 request held: H" in header(pilot)
        await pilot.press("H")
        await pilot.pause()
        reader = pilot.app.screen
        assert isinstance(reader, Reader)
        shown = reader.text.plain
        assert "KeyError: 'threshold'" in shown
        assert "▶   23  self.t = config['threshold']" in shown
        assert "config = {}" in shown
        assert "all other callers wait too" in shown
        await pilot.press("escape")
        await pilot.app.action_act("release")
        await pilot.pause()
        assert session.asked == [("release",)]
        session.replay(events.RequestReleased(model="sample", pid=7, seconds=3.0))
        await settle(pilot)
        assert "held" not in header(pilot)


async def test_without_it_the_tab_says_what_it_is_for(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("3", "3", "3")
        await settle(pilot)
        assert changes(pilot).startswith("D serves the sources")
