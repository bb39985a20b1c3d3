"""Panel 4: samples of every kind, and those that come and go while the screen is open."""

from __future__ import annotations

import pytest
from textual.widgets import Select

from asteria_tui.errors import ConfigError
from asteria_tui.tui.widgets.json_editor import JsonEditor
from tests.tui.conftest import RUNNING, settle


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
        with pytest.raises(ConfigError, match="no JSON"):
            request.payload()
        await pilot.press("]")
        await pilot.pause()
        assert request.payload().content_type == "application/json"


async def test_a_number_that_no_json_has_is_refused_as_by_the_command(opened):
    async with opened() as pilot:
        request = pilot.app.workbench.request
        request.query_one(JsonEditor).load_text('{"score": NaN}')
        await pilot.pause()
        with pytest.raises(ConfigError, match="no JSON"):
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
