"""Panel 4: samples of every kind, and those that come and go while the screen is open."""

from __future__ import annotations

import hashlib
import json

import pytest
from textual.content import Content
from textual.widgets import Select, Static

from asteria_tui.errors import ConfigError, ExitCode
from asteria_tui.events import OperationFailed, OperationStarted, Predicted, ServerChanged
from asteria_tui.tui.widgets.json_editor import JsonEditor
from asteria_tui.tui.widgets.text import Text
from tests.tui.conftest import NOW, RUNNING, settle
from tests.waiting import until_async


@pytest.fixture
def samples(project):
    return project.root / "samples"


async def test_a_text_sample_is_edited_as_text_and_sent_as_what_it_is(opened, session, samples):
    (samples / "a.txt").write_text("no JSON, and none is meant")
    session.replay(*RUNNING)
    async with opened() as pilot:
        request = pilot.app.workbench.request
        assert request.sample == ("sample", "a")
        assert request.payload().content_type == "text/plain"
        assert request.border_subtitle == "text/plain"
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert request.payload().content_type == "application/json"
        assert request.border_subtitle == ""
    assert session.asked == [("predict", "sample", "a", b"no JSON, and none is meant")]


async def test_a_binary_sample_is_sent_as_it_is_until_a_body_is_written(opened, samples):
    content = bytes(range(256))
    (samples / "a.png").write_bytes(content)
    async with opened() as pilot:
        request = pilot.app.workbench.request
        assert "a.png, 256 B: sent as it is" in request.border_subtitle
        assert (request.payload().content, request.payload().content_type) == (content, "image/png")
        await pilot.press("e", "[")
        await pilot.pause()
        assert "line 1" in request.border_subtitle
        with pytest.raises(ConfigError, match="not JSON"):
            request.payload()
        await pilot.press("]")
        await pilot.pause()
        assert request.payload().content_type == "application/json"


async def test_a_number_that_no_json_has_is_refused_as_by_the_command(opened):
    async with opened() as pilot:
        request = pilot.app.workbench.request
        request.query_one(JsonEditor).load_text('{"score": NaN}')
        await pilot.pause()
        with pytest.raises(ConfigError, match="not JSON"):
            request.payload()


async def test_samples_that_come_and_go_are_offered_without_opening_the_screen_anew(opened, samples):
    async with opened() as pilot:
        request = pilot.app.workbench.request
        assert request.sample == ("sample", "first")
        (samples / "later.json").write_text("[1]")
        (samples / "second.json").unlink()
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert request.sample == ("sample", "later")
        assert request.payload().content == b"[1]"
        (samples / "later.json").unlink()
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert request.sample == ("sample", "first")
        (samples / "aaa.json").write_text("{}")
        picker = request.query_one(Select)
        picker.action_show_overlay()
        await pilot.pause()
        await pilot.press("home", "down", "enter")
        await settle(pilot)
        assert request.sample == ("sample", "aaa")


async def test_a_body_of_ones_own_needs_no_sample(opened, samples):
    (samples / "a.txt").write_text("text")
    async with opened() as pilot:
        request = pilot.app.workbench.request
        request.query_one(Select).clear()
        await pilot.press("e", "[", "1", "]")
        await pilot.pause()
        assert request.model == "sample"
        assert request.payload().content_type == "application/json"


async def test_the_only_sample_is_read_again_where_it_was_edited_elsewhere(opened, samples):
    (samples / "second.json").unlink()
    async with opened() as pilot:
        (samples / "first.json").write_text('{"edited": true}')
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert pilot.app.workbench.request.payload().content == b'{"edited": true}'


async def test_the_name_of_a_sample_is_no_markup(opened, samples):
    (samples / "[red]a.png").write_bytes(b"\xff")
    async with opened() as pilot:
        request = pilot.app.workbench.request
        assert request._border_subtitle.plain.startswith("[red]a.png, 1 B")
        label = request.query_one(Select).query_one("#label", Static)
        assert label.content.plain == "sample · [red]a"


@pytest.mark.parametrize(("text", "said"), [("[" * 50_000, "nested too deeply"), ('"\ud800"', "half of a character")])
async def test_a_body_that_cannot_be_sent_is_refused(opened, session, samples, text, said):
    session.replay(*RUNNING)
    async with opened(notifications=True) as pilot:
        request = pilot.app.workbench.request
        request.query_one(JsonEditor).load_text(text)
        await pilot.press("r")
        await pilot.pause()
        assert any(said in notice.message + notice.title for notice in pilot.app._notifications)
    assert session.asked == []


async def test_a_large_sample_that_is_nested_too_deeply_is_no_crash(opened, samples):
    (samples / "a.json").write_text("[" * 300_000)
    async with opened() as pilot:
        assert "nested too deeply" in pilot.app.workbench.request.border_subtitle


async def test_an_answer_cannot_talk_to_the_terminal(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING, _answered("a\x1b]0;title\x07b\x1b[2J\u202ec [/red]"))
        await settle(pilot)
        shown = pilot.app.screen.query_one("#answer", Text).query_one(Static)
        assert shown.render_line(0).text.rstrip() == "a␛]0;titleb␛[2J\N{REPLACEMENT CHARACTER}c [/red]"


async def test_of_a_large_answer_the_beginning_is_formatted_once(opened, session, monkeypatch):
    async with opened() as pilot:
        session.replay(*RUNNING, _answered(list(range(200_000))))
        await settle(pilot)
        shown = pilot.app.screen.query_one("#answer", Text).query_one(Static).content.plain
        assert shown.startswith("[\n  0,\n  1,")
        assert shown.endswith("… and more; y copies all")
        monkeypatch.setattr("asteria_tui.tui.panels.request.body_of", None)
        pilot.app.show()


def _answered(body: object) -> Predicted:
    return Predicted(at=NOW, model="sample", sample="first", status=200, milliseconds=1.0, size=9, body=body)


async def test_a_sample_of_one_giant_line_is_sent_as_it_is(opened, samples):
    content = json.dumps({"features": [0.5] * 20_000}).encode()
    (samples / "a.json").write_bytes(content)
    async with opened() as pilot:
        request = pilot.app.workbench.request
        assert "sent as it is" in request.border_subtitle
        assert request.payload().content == content
        assert request.payload().content_type == "application/json"


def _sha256(pilot) -> str:
    return hashlib.sha256(pilot.app.workbench.request.payload().content).hexdigest()


def _outcome(pilot) -> Content:
    return pilot.app.workbench.request.query_one("#outcome", Static).content


def _body(pilot) -> Content:
    return pilot.app.workbench.request.query_one("#answer").query_one(Static).content


async def test_an_answer_is_named_by_model_and_sample_and_dimmed_beside_another(opened, session):
    session.replay(*RUNNING)
    async with opened((200, 60)) as pilot:
        told = Predicted(
            at=NOW, model="sample", sample="first", payload_sha256=_sha256(pilot), status=200, milliseconds=9, body=1
        )
        session.replay(told)
        await settle(pilot)
        assert _outcome(pilot).plain.startswith("200 · sample first · 9 ms · 0 B")
        assert "another" not in _outcome(pilot).plain
        assert "60%" not in str(_body(pilot).spans)
        await pilot.press("right_square_bracket")
        await settle(pilot)
        assert "of another payload" in _outcome(pilot).plain
        assert "60%" in str(_body(pilot).spans)
        await pilot.press("left_square_bracket")
        await settle(pilot)
        assert "another" not in _outcome(pilot).plain


async def test_an_answer_from_before_a_failure_looks_old(opened, session):
    session.replay(*RUNNING)
    async with opened((200, 60)) as pilot:
        answer = Predicted(at=NOW - 5, operation="up-1", model="sample", sample="first", status=200, milliseconds=9)
        session.replay(answer)
        await settle(pilot)
        assert "earlier" not in _outcome(pilot).plain
        session.replay(OperationStarted(operation="up-2", name="up", lane="workflow"))
        session.replay(OperationFailed(operation="up-2", name="up", title="no", at=NOW - 1))
        await settle(pilot)
        assert "earlier" in _outcome(pilot).plain
        assert "60%" in str(_body(pilot).spans)


async def test_an_answer_of_a_server_that_is_gone_looks_old(opened, session):
    async with opened((200, 60)) as pilot:
        session.replay(*RUNNING)
        session.replay(ServerChanged(state="stopped"))
        await settle(pilot)
        assert "earlier" in _outcome(pilot).plain


async def test_what_was_written_over_a_sample_stays_with_it_and_can_be_undone(opened):
    async with opened() as pilot:
        request = pilot.app.workbench.request
        editor = request.query_one(JsonEditor)
        saved = editor.text
        await pilot.press("e", "1")
        await pilot.pause()
        edited = editor.text
        assert edited != saved
        assert request.border_subtitle.startswith("edited")
        await pilot.press("escape", "right_square_bracket", "e", "2")
        await pilot.pause()
        assert request.sample == ("sample", "second")
        await pilot.press("escape", "left_square_bracket")
        await pilot.pause()
        assert (request.sample, editor.text) == (("sample", "first"), edited)
        assert request.border_subtitle.startswith("edited")
        await pilot.press("e", "ctrl+z")
        await pilot.pause()
        assert editor.text == saved
        assert request.border_subtitle == ""
        await pilot.press("escape", "right_square_bracket")
        await pilot.pause()
        assert editor.text.startswith("2")


async def test_an_edited_body_is_not_sent_under_the_name_of_the_sample(opened):
    async with opened() as pilot:
        request = pilot.app.workbench.request
        assert request.payload().name == "first"
        request.query_one(JsonEditor).text = "[1]"
        await pilot.pause()
        assert request.payload().name == "first, edited"


async def test_without_a_server_it_names_the_key_that_starts_one(opened, session):
    async with opened() as pilot:
        assert _outcome(pilot).plain == "no answer yet: u starts"
        session.replay(*(event for event in RUNNING if not isinstance(event, Predicted)))
        await settle(pilot)
        assert _outcome(pilot).plain == "no answer yet: r sends"


async def test_up_sends_the_chosen_sample_too(opened, session):
    session.replay(*RUNNING)
    async with opened() as pilot:
        await pilot.press("right_square_bracket", "u")
        await until_async(lambda: len(session.asked) == 2)
        assert session.asked == [("up",), ("predict", "sample", "second", b'{"features": [1, 2, 3]}\n')]


async def test_up_sends_nothing_twice(opened, session):
    session.replay(*RUNNING)
    async with opened() as pilot:
        session.answers["up"] = Predicted(
            model="sample", sample="first", payload_sha256=_sha256(pilot), status=200, milliseconds=1
        )
        await pilot.press("u")
        await until_async(lambda: not pilot.app.workflow)
        await pilot.pause()
        assert session.asked == [("up",)]


async def test_after_the_fix_up_sends_the_request_that_failed_again(opened, session):
    session.replay(*RUNNING)
    async with opened() as pilot:
        editor = pilot.app.workbench.request.query_one(JsonEditor)
        editor.text = "[13]"
        await pilot.pause()
        session.exit_codes["predict"] = ExitCode.INFERENCE
        await pilot.press("r")
        await until_async(lambda: len(session.asked) == 1)
        await pilot.pause()
        await pilot.press("right_square_bracket", "u")
        await until_async(lambda: len(session.asked) == 3)
        failed = ("predict", "sample", "first, edited", b"[13]")
        assert session.asked == [failed, ("up",), failed]


async def test_where_there_is_little_room_the_notes_stay(opened, session):
    session.replay(*RUNNING)
    async with opened() as pilot:
        other = Predicted(at=NOW, model="sample", sample="second", payload_sha256="0" * 64, status=200, milliseconds=9)
        session.replay(other)
        await settle(pilot)
        assert _outcome(pilot).plain.startswith("200 · second · of another payload")


async def test_what_was_written_is_there_again_on_the_next_screen(opened):
    async with opened() as pilot:
        await pilot.press("e", "1", "escape", "right_square_bracket", "e", "2", "escape")
        await pilot.pause()
        pilot.app.remember()
        kept = pilot.app.ui_state
    async with opened(ui_state=kept) as pilot:
        request = pilot.app.workbench.request
        editor = request.query_one(JsonEditor)
        assert request.sample == ("sample", "second")
        assert editor.text == '2{"features": [1, 2, 3]}\n'
        assert request.border_subtitle.startswith("edited")
        await pilot.press("e", "ctrl+z", "escape")
        await pilot.pause()
        assert editor.text == '{"features": [1, 2, 3]}\n'
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert editor.text.startswith("1{")


async def test_of_very_long_drafts_as_much_is_kept_as_has_room(opened):
    async with opened() as pilot:
        pilot.app.workbench.request.query_one(JsonEditor).text = "1" * 20_000
        await pilot.pause()
        assert pilot.app.workbench.request.drafts == ()
