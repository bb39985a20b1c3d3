"""Whatever names a key names the one that is in force."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asteria_tui import events
from asteria_tui.state import State
from asteria_tui.tui import details
from asteria_tui.tui.actions import ACTIONS, ActionContext, key_names, shown_keys
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.panels.logs import LogsPanel
from asteria_tui.tui.panels.pipeline import PipelinePanel
from asteria_tui.tui.panels.request import RequestPanel
from asteria_tui.tui.panels.server import ServerPanel
from asteria_tui.tui.preferences import Settings
from asteria_tui.tui.widgets.dialogs import Reader
from tests.conftest import ROOT
from tests.tui.conftest import CAUSE, FAILED, RUNNING, settle, write_log

# These stand in texts for themselves.
KEYS = {key for action in ACTIONS for key in shown_keys(action.keys).split()} - set(":=+-<>1234")
NAMED = re.compile(rf"(?:^|(?<=\s))({'|'.join(map(re.escape, KEYS))})(?=[\s,;:.)]|$)", re.IGNORECASE)
"""A key that stands among the words of a text."""
OF_THE_LOG = "Enter opens what is under the cursor"
"""A key of the log itself, as the arrows are: nobody can remap it."""


def _texts(file: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module that is not a docstring, with the pieces of an f-string put together."""
    tree = ast.parse(file.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            said |= {id(piece) for piece in ast.walk(node)}
            pieces = [piece.value if isinstance(piece, ast.Constant) else "…" for piece in node.values]
            yield node.lineno, "".join(map(str, pieces))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def _named(text: str) -> list[str]:
    """The keys that a text names; one that is a single word is an id, a key of a table, or a piece of layout."""
    return NAMED.findall(text.replace(OF_THE_LOG, "")) if len(text.split()) > 1 else []


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("press u to start it", ["u"]),
        ("…: s cancels it", ["s"]),
        ("no log yet: u starts a server", ["u"]),
        ("ctrl+j from inside", ["ctrl+j"]),
        ("the mouse selects", []),
    ],
)
def test_a_key_in_a_text_is_found(text, keys):
    assert _named(text) == keys


def test_no_text_of_the_screen_names_a_key_itself():
    files = (ROOT / "asteria_tui" / "tui").rglob("*.py")
    found = [f"{file.name}:{line}: {text}" for file in files for line, text in _texts(file) if _named(text)]
    assert found == []


MINE = {
    "up": "U,f5", "stop": "x", "restart": "ctrl+r", "send": "f6", "send_now": "f7", "copy": "c", "back": "f9",
    "details": "I", "keys": "K", "hold": "f2", "dev": "f3", "filter": "&", "follow": "F",
}  # fmt: skip
"""Keys of which none stands for anything without them."""


def _shown(app) -> str:
    """Every line of the screen."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def test_every_text_of_a_stopped_server_follows_the_key(opened, session):
    async with opened(settings=Settings(keys={"up": "U,f5"})) as pilot:
        workbench = pilot.app.workbench
        shown = _shown(pilot.app)
        assert "press U to package" in shown
        assert "no log yet: U starts the server" in shown
        await pilot.press("k")
        await pilot.pause()
        assert "no server is running: U starts one" in [told.message for told in pilot.app._notifications]
        await pilot.resize_terminal(100, 30)
        await settle(pilot)
        assert "press U to start it" in _shown(pilot.app)
        panel = workbench.panel("server")
        assert details.help_text(panel.title, panel.HELP, pilot.app.settings.keys, 100).plain.count("U f5") == 1


async def test_every_text_while_something_runs_follows_the_keys(opened, session):
    write_log(session.project)
    async with opened(settings=Settings(keys=MINE)) as pilot:
        app = pilot.app
        assert "no answer yet: U starts" in _shown(app)
        session.replay(*RUNNING)
        session.replay(events.OperationStarted(operation="p", name="predict", lane="request"))
        await settle(pilot)
        assert "waiting: f6 cancels" in _shown(app)
        line = details.status_line(session.project, ActionContext(workflow="up", keys=app.key_names), 100)
        assert line.plain.endswith("x cancels")
        app.workbench.logs.set_filter(grep="of no record")
        await settle(pilot)
        assert "nothing matches the filter: f9 clears it" in _shown(app)
        session.replay(events.Predicted(model="sample", status=200, milliseconds=5, body="a" * 200_000))
        await settle(pilot)
        assert "c copies all" in app.workbench.request.query_one("#answer").query_one("Static").content.plain


async def test_a_failure_and_its_dialog_name_and_take_the_keys(opened, session):
    async with opened(settings=Settings(keys=MINE)) as pilot:
        session.replay(*FAILED)
        await settle(pilot)
        assert "then press U" in _shown(pilot.app)
        await pilot.press("I")
        await pilot.pause()
        reader = pilot.app.screen
        assert isinstance(reader, Reader)
        assert "I opens handler.py:23 · c copies · f9 back" in _shown(pilot.app)
        await pilot.press("c")
        await pilot.pause()
        assert CAUSE.headline in pilot.app.clipboard
        await pilot.press("escape")
        assert pilot.app.screen is reader
        await pilot.press("f9")
        assert pilot.app.screen is pilot.app.workbench


@pytest.mark.parametrize("panel", [PipelinePanel, ServerPanel, LogsPanel, RequestPanel])
def test_the_help_of_a_panel_names_keys_of_the_table_only(panel):
    names = {action.id: f"‹{action.id}›" for action in ACTIONS}
    assert "{" not in panel.HELP.format_map(names)


@pytest.mark.parametrize("context", [{}, {"workflow": "up"}, {"has_log": False}, {"state": "running"}])
def test_every_refusal_follows_the_keys(context):
    state = State(server=events.ServerChanged(state="running")) if context.pop("state", "") else State()
    ours = ActionContext(state=state, **context)
    theirs = ActionContext(state=state, keys=key_names(MINE), **context)
    told = [(action.why_not(ours), action.why_not(theirs)) for action in ACTIONS]
    assert [theirs for ours, theirs in told if _named(ours) and theirs == ours] == []
    assert any(_named(ours) for ours, _ in told)


def test_the_app_and_its_situation_hold_the_keys_of_the_user(session):
    app = AsteriaApp(session, Settings(keys=MINE))
    assert app.action_context.keys["up"] == "U"
