"""Panel 4: samples of every kind, and those that come and go while the screen is open."""

from __future__ import annotations

import json

import pytest
from textual.widgets import Select, Static

from asteria_tui.errors import ConfigError
from asteria_tui.events import Predicted
from asteria_tui.tui.widgets.json_editor import JsonEditor
from asteria_tui.tui.widgets.text import Text
from tests.tui.conftest import NOW, RUNNING, settle


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
        monkeypatch.setattr("asteria_tui.tui.panels.request._answer", None)
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
