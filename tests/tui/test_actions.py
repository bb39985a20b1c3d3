"""Each action: what it asks of the session, why it refuses, and that the table, the keys and the docs agree."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from textual.command import CommandList
from textual.events import Key
from textual.widgets import OptionList, Select

from asteria_tui import events
from asteria_tui.logs.watch import KnownCauses
from asteria_tui.tui.actions import ACTIONS, BY_ID, PANELS, ActionContext, keys_page
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.panels.logs import LogsPanel
from asteria_tui.tui.panels.request import RequestPanel
from asteria_tui.tui.panels.server import ServerPanel
from asteria_tui.tui.preferences import Settings
from asteria_tui.tui.screen import Workbench
from asteria_tui.tui.widgets.dialogs import ChoiceDialog, Reader
from asteria_tui.tui.widgets.footer import Footer
from asteria_tui.tui.widgets.json_editor import JsonEditor
from asteria_tui.tui.widgets.jump import Jump
from tests.conftest import ROOT
from tests.tui.conftest import CAUSE, FAILED, NOW, RUNNING, settle, write_log
from tests.waiting import until_async

OF_MODELS = {"more_workers", "fewer_workers", "end", "release"}
OWNERS = {
    "app": AsteriaApp,
    "screen": Workbench,
    "pipeline": Workbench,
    "logs": LogsPanel,
    "server": ServerPanel,
    "request": RequestPanel,
}


def test_every_action_is_done_by_somebody_and_explained():
    for action in ACTIONS:
        method = "do_panel" if action.id.startswith("panel_") else f"do_{action.id}"
        assert hasattr(OWNERS[action.owner], method), action.id
        assert action.help.endswith("."), action.id


def test_no_key_stands_for_two_actions():
    keys = [key for action in ACTIONS if action.keys for key in action.keys.split(",")]
    assert len(keys) == len(set(keys))


def test_footers_hold_at_most_eight_and_end_with_help_and_quit():
    for ids in (panel.footer for panel in PANELS):
        assert len(ids) <= 8
        assert ids[-2:] == ("help", "quit")
        assert set(ids) <= set(BY_ID)


def test_the_key_page_is_current():
    page = ROOT / "docs" / "keys.md"
    assert page.read_text() == keys_page(), "python -m asteria_tui.tui.actions > docs/keys.md"


@pytest.mark.parametrize(
    ("context", "refused"),
    [
        (ActionContext(), {"stop", "keys", "send", "send_now", *OF_MODELS}),
        (
            ActionContext(workflow="up"),
            {"up", "restart", "package", "choose_target", "keys", "send", "send_now", *OF_MODELS},
        ),
        (
            ActionContext(has_models=False),
            {"up", "restart", "package", "dev", "hold", "stop", "keys", "send", "send_now", *OF_MODELS},
        ),
    ],
)
def test_an_action_that_is_not_possible_says_why(context, refused):
    told = {action.id: action.why_not(context) for action in ACTIONS}
    assert {id_ for id_, why in told.items() if why} == refused


@pytest.mark.parametrize(("key", "asked"), [("u", "up"), ("R", "restart"), ("p", "package")])
async def test_a_key_begins_its_workflow(opened, session, key, asked):
    async with opened() as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert session.asked == [(asked,)]
        assert session.state.commands[-1].command == f"asteria-tui {asked}"


async def test_a_second_workflow_is_refused_and_stop_cancels_the_first(opened, session):
    session.hold = asyncio.Event()
    async with opened() as pilot:
        await pilot.press("u", "u", "p")
        await pilot.pause()
        assert session.asked == [("up",)]
        assert pilot.app.workflow == "up"
        await pilot.press("s")
        await until_async(lambda: pilot.app.workflow == "")
        assert session.state.failure.title == "interrupted"


async def test_sending_sends_what_the_editor_holds_and_leaves_the_focus(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        before = pilot.app.focused
        await pilot.press("r")
        await pilot.pause()
        [(what, model, name, content)] = session.asked
        assert (what, model, name) == ("predict", "sample", "first")
        assert content.startswith(b'{\n  "features"')
        assert pilot.app.focused is before


async def test_sending_from_inside_the_editor(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("e", "ctrl+j")
        await pilot.pause()
        assert session.asked[0][:2] == ("predict", "sample")


async def test_a_body_that_is_no_json_is_marked_and_not_sent(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        editor = pilot.app.screen.query_one(JsonEditor)
        editor.load_text('{"a": 1,\n "b": }')
        await pilot.pause()
        assert "line 2, column 7" in str(pilot.app.workbench.request.border_subtitle)
        await pilot.press("escape", "r")
        await pilot.pause()
        assert session.asked == []


async def test_the_next_sample_comes_into_the_editor(opened):
    async with opened() as pilot:
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert pilot.app.screen.query_one(Select).value == ("sample", "second")
        assert pilot.app.screen.query_one(JsonEditor).text == '{"features": [1, 2, 3]}\n'


@pytest.mark.parametrize(("key", "panel"), [("1", "pipeline"), ("2", "server"), ("3", "logs"), ("4", "request")])
async def test_a_number_goes_to_its_panel(opened, session, key, panel):
    write_log(session.project)
    async with opened() as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert pilot.app.workbench.current == panel
        assert pilot.app.focused in pilot.app.workbench.panel(panel).query("*")


async def test_jump_puts_a_letter_on_what_takes_the_focus(opened):
    async with opened() as pilot:
        await pilot.press("ctrl+o")
        await pilot.pause()
        jump = pilot.app.screen
        assert isinstance(jump, Jump)
        letter, target = list(jump.targets.items())[-1]
        await pilot.press(letter)
        await pilot.pause()
        assert pilot.app.focused is target


async def test_zoom_shows_one_panel_and_escape_all_again(opened):
    async with opened() as pilot:
        await pilot.press("4", "escape", "z")
        await pilot.pause()
        assert [panel.id for panel in pilot.app.screen.query(".panel") if panel.is_on_screen] == ["request"]
        await pilot.press("escape")
        await pilot.pause()
        assert len([panel for panel in pilot.app.screen.query(".panel") if panel.is_on_screen]) == 4


async def test_help_names_the_panel_and_its_keys(opened):
    async with opened() as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Reader)
        assert "From your sources to an answer" in pilot.app.screen.plain
        assert "Stop the server" in pilot.app.screen.plain
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, Workbench)


async def test_a_failure_opens_whole_with_the_log_around_it(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        session.replay(*FAILED)
        await settle(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Reader)
        assert pilot.app.screen.source == ("handler.py", 23)
        assert "KeyError: 'threshold'" in pilot.app.screen.plain
        assert "request 00056" in pilot.app.screen.text.plain
        assert "then press u" in pilot.app.screen.text.plain


async def test_causes_stand_once_each_and_open(opened, session):
    write_log(session.project)
    session.known_causes = KnownCauses((CAUSE,))
    async with opened() as pilot:
        await pilot.press("t")
        await pilot.pause()
        options = pilot.app.screen.query_one(OptionList)
        assert options.option_count == 1
        assert "×3" in str(options.get_option_at_index(0).prompt)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Reader)


async def test_causes_of_earlier_runs_stand_below_and_are_not_counted(opened, session):
    write_log(session.project)
    older = msgspec.structs.replace(CAUSE, message="'older'", last_at=NOW - 999)
    session.known_causes = KnownCauses((CAUSE,), (older,))
    async with opened() as pilot:
        await pilot.press("t")
        await pilot.pause()
        options = pilot.app.screen.query_one(OptionList)
        prompts = [options.get_option_at_index(place).prompt for place in range(options.option_count)]
        assert ["older" in str(prompt) for prompt in prompts] == [False, True]
        assert "$text-error" in str(prompts[0].spans)
        assert "$text-error" not in str(prompts[1].spans)
        assert str(pilot.app.workbench.logs.border_subtitle) == "1 cause"
        await pilot.press("down", "enter")
        await pilot.pause()
        assert "older" in pilot.app.screen.plain


async def test_the_command_log_copies_a_command(opened, session):
    async with opened() as pilot:
        await pilot.press("u", "at")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ChoiceDialog)
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.clipboard == "asteria-tui up"


async def test_copy_as_curl_holds_a_variable_in_place_of_the_token(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("y", "c")
        await pilot.pause()
        assert "$TORCHSERVE_TOKEN" in pilot.app.clipboard
        assert "http://127.0.0.1:8080/predictions/sample" in pilot.app.clipboard


async def test_copy_of_the_response_and_of_a_log_line(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("y", "r")
        await pilot.pause()
        assert pilot.app.clipboard == '{\n  "score": 0.0312\n}'
        await pilot.press("y", "l")
        await pilot.pause()
        assert pilot.app.clipboard == "2026-09-21 14:13:19.000 ERROR W-9000 request 00059 answered in 3 ms"


async def test_the_target_is_chosen_from_a_list_while_no_server_runs(opened, session):
    async with opened() as pilot:
        await pilot.press("L", "d")
        await pilot.pause()
        assert session.project.settings.server.target == "docker"
        assert session.state.server.target == "docker"
        session.replay(*RUNNING)
        await pilot.press("L")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Workbench)  # refused: a server runs


async def test_no_color_is_honoured(opened, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened() as pilot:
        line = pilot.app.screen._compositor.render_strips()[1]
        colours = {segment.style.color.triplet for segment in line if segment.style and segment.style.color}
        assert all(red == green == blue for red, green, blue in colours)


async def test_keys_can_be_revealed_and_renewed(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("k", "v")
        await pilot.pause()
        await pilot.press("k", "m")
        await pilot.pause()
        assert session.asked == [("keys", True), ("keys", "management", False)]


async def test_quitting_asks_once_when_a_server_runs(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ChoiceDialog)
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.is_running
        await pilot.press("q", "s")
        await pilot.pause()
        assert pilot.app.return_value == "stop"


@pytest.mark.parametrize(("keys", "result"), [("qs", "stop"), ("ql", "leave"), ("qx", None)])
async def test_a_key_typed_before_the_dialog_is_there_is_its_answer(opened, session, keys, result):
    session.replay(*RUNNING)
    async with opened() as pilot:
        for key in keys:
            pilot.app.post_message(Key(key, key))
        await pilot.pause()
        await pilot.pause()
        assert pilot.app.return_value == result
        assert session.asked == []


async def test_quitting_asks_nothing_when_none_runs(opened):
    async with opened() as pilot:
        await pilot.press("q")
        await pilot.pause()
        assert pilot.app.return_value == "leave"


async def test_keys_of_the_user_take_the_place_of_ours(opened, session):
    async with opened(settings=Settings(keys={"up": "U"})) as pilot:
        await pilot.press("u")
        await pilot.pause()
        assert session.asked == []
        await pilot.press("U")
        await pilot.pause()
        assert session.asked == [("up",)]


async def test_footer_help_and_palette_show_the_keys_of_the_user(opened):
    async with opened(settings=Settings(keys={"up": "U,f5", "help": "h"})) as pilot:
        app = pilot.app
        footer = app.screen.query_one(Footer).render().plain
        assert footer.startswith("U up")
        assert "h help" in footer
        assert any(command.help.startswith("U f5") for command in app.get_system_commands(app.screen))
        await pilot.press("h")
        await pilot.pause()
        assert "U f5" in app.screen.plain


async def test_the_palette_finds_an_action(opened, session):
    async with opened() as pilot:
        await pilot.press("colon", *"package")
        palette = pilot.app.screen
        await until_async(lambda: palette.query_one(CommandList).highlighted is not None)
        await pilot.press("enter")
        await until_async(lambda: session.asked == [("package",)])


async def test_up_comes_first_when_it_is_wanted(opened, session):
    async with opened(up_first=True) as pilot:
        await pilot.pause()
        assert session.asked == [("up",)]


async def test_the_editor_opens_at_the_line(opened, monkeypatch):
    ran = []
    monkeypatch.setattr("asteria_tui.tui.app.subprocess.run", lambda command, check: ran.append(command))
    async with opened(settings=Settings(editor="code -w")) as pilot:
        monkeypatch.setattr(pilot.app, "suspend", lambda: __import__("contextlib").nullcontext())
        pilot.app.edit("handler.py", 23)
        assert ran == [["code", "-w", "--goto", f"{pilot.app.session.project.root}/handler.py:23"]]


async def test_a_prediction_of_an_earlier_day_is_there_again(opened, session):
    session.project.state_dir.mkdir()
    session.emit(events.Predicted(model="sample", status=200, milliseconds=5, body={"score": 1}))
    async with opened() as pilot:
        assert "1" in pilot.app.workbench.request.query_one("#answer").query_one("Static").content.plain
