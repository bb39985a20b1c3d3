"""The mouse selects in the log, and one key copies it."""

from __future__ import annotations

import pytest
from textual.events import MouseDown, MouseMove, MouseUp

from tests.tui.conftest import settle, write_log


async def _drag(pilot, start, end):
    """Presses the mouse, moves it in two steps, lets go."""
    half = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
    await pilot._post_mouse_events([MouseDown], offset=start, button=1)
    for at in (half, end):
        await pilot._post_mouse_events([MouseMove], offset=at, button=1)
        await pilot.pause()
    await pilot._post_mouse_events([MouseUp], offset=end, button=1)
    await pilot.pause()


def _shown(view) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.scrollable_content_region.height)]


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)], ids=str)
async def test_what_was_dragged_over_is_copied(opened, session, size):
    write_log(session.project, 200)
    async with opened(size) as pilot:
        await pilot.press("3")
        await settle(pilot)
        view = pilot.app.workbench.logs.view
        left, top = view.scrollable_content_region.offset
        await _drag(pilot, (left + 13, top + 1), (left + 25, top + 3))
        shown = _shown(view)
        wanted = [shown[1][13:], shown[2], shown[3][:25]]
        lines = pilot.app.screen.get_selected_text().splitlines()
        # The whole of a row, also where the screen cuts it.
        assert [line[: len(text)] for line, text in zip(lines, wanted, strict=True)] == wanted
        assert lines[1].endswith(" ms")
        await pilot.press("y")
        await pilot.pause()
        assert pilot.app.clipboard.splitlines() == lines
        assert pilot.app.screen is pilot.app.workbench


async def test_it_holds_while_the_log_grows_and_is_marked(opened, session):
    write_log(session.project, 200)
    async with opened() as pilot:
        view = pilot.app.workbench.logs.view
        await pilot.press("3", "up")
        left, top = view.scrollable_content_region.offset
        await _drag(pilot, (left, top + 2), (left + 30, top + 2))
        before = pilot.app.screen.get_selected_text()
        colour = view.screen.get_component_rich_style("screen--selection").bgcolor
        marked = [segment for segment in view.render_line(2) if segment.style.bgcolor == colour]
        assert "".join(segment.text for segment in marked) == before
        assert all(segment.style.color != colour for segment in marked)
        assert all(segment.style.bgcolor != colour for segment in view.render_line(3))
        write_log(session.project, 20)
        await settle(pilot)
        assert pilot.app.screen.get_selected_text() == before


async def test_upwards_is_the_same_as_downwards(opened, session):
    write_log(session.project, 200)
    async with opened() as pilot:
        view = pilot.app.workbench.logs.view
        left, top = view.scrollable_content_region.offset
        await _drag(pilot, (left, top + 2), (left + 25, top + 5))
        down = pilot.app.screen.get_selected_text()
        await pilot.click(offset=(left + 3, top + 8))
        assert not pilot.app.screen.get_selected_text()
        await _drag(pilot, (left + 25, top + 5), (left, top + 2))
        assert pilot.app.screen.get_selected_text().splitlines()[0] == down.splitlines()[0]
        assert len(pilot.app.screen.get_selected_text().splitlines()) == len(down.splitlines())


async def test_in_wrapped_lines_the_selection_is_of_the_text(opened, session):
    text = " ".join(f"word{number:03}" for number in range(60))
    record = f'{{"t":1790000000000,"l":"INFO","th":"main","lg":"x","m":"{text}","x":""}}\n'
    write_log(session.project, 0, extra=record)
    async with opened() as pilot:
        await pilot.press("w")
        await settle(pilot)
        view = pilot.app.workbench.logs.view
        left, top = view.scrollable_content_region.offset
        await _drag(pilot, (left + 27, top), (left + 6, top + 2))
        selected = pilot.app.screen.get_selected_text()
        assert selected in " ".join(_shown(view)) + text
        assert selected.startswith("word000 word001")


async def test_escape_gives_it_up(opened, session):
    write_log(session.project, 200)
    async with opened() as pilot:
        view = pilot.app.workbench.logs.view
        left, top = view.scrollable_content_region.offset
        await _drag(pilot, (left, top + 2), (left + 25, top + 5))
        await pilot.press("escape")
        await pilot.pause()
        assert not pilot.app.screen.get_selected_text()
