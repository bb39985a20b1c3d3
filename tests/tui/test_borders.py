"""The borders between panels move by keys and by the mouse, never so far that something is cut, and are remembered."""

from __future__ import annotations

from itertools import combinations

import pytest
from textual.events import MouseDown, MouseMove, MouseUp

from asteria_tui.tui.preferences import Sizes, UiState
from asteria_tui.tui.widgets.footer import Footer
from tests.tui.conftest import RUNNING, settle, write_log

PANELS = ("pipeline", "server", "logs", "request")
SIZES = [(200, 60), (120, 40), (120, 20), (100, 30), (80, 20), (60, 20), (140, 19)]
EXTREMES = [
    Sizes(left=(1, 9_999), pipeline=(1, 9_999), logs=(1, 9_999)),
    Sizes(left=(9_999, 1), pipeline=(9_999, 1), logs=(9_999, 1)),
]


def _size(pilot, name):
    return pilot.app.workbench.query_one(f"#{name}").size


def _outer(pilot, name):
    return pilot.app.workbench.query_one(f"#{name}").region


def _whole(pilot):
    """Every shown panel within the screen, none over another, nothing between them."""
    screen = pilot.app.screen
    shown = [panel for panel in screen.query(".panel") if panel.is_on_screen and panel.region.area]
    body = screen.query_one("#body").region
    for panel in shown:
        assert panel.region in body, (panel, panel.region, body)
        if pilot.app.workbench.movable and panel.styles.border_top[0]:
            assert panel.content_size.height >= 3, panel
    for one, other in combinations(shown, 2):
        assert not one.region.overlaps(other.region), (one, other)
    assert sum(panel.region.area for panel in shown) == body.area
    assert screen.query_one(Footer).region.bottom == screen.size.height


async def _drag(pilot, start, *ways):
    """Presses the mouse, moves it step by step, lets go."""
    await pilot._post_mouse_events([MouseDown], offset=start, button=1)
    at = start
    for at in ways:
        await pilot._post_mouse_events([MouseMove], offset=at, button=1)
        await pilot.pause()
    await pilot._post_mouse_events([MouseUp], offset=at, button=1)
    await pilot.pause()


@pytest.mark.parametrize(
    ("panel", "action", "side", "by"),
    [
        ("1", "taller", "height", 2),
        ("2", "shorter", "height", -2),
        ("3", "taller", "height", 2),
        ("4", "shorter", "height", -2),
        ("1", "wider", "width", 4),
        ("2", "narrower", "width", -4),
        ("3", "wider", "width", 4),
        ("4", "narrower", "width", -4),
    ],
)
async def test_an_action_gives_the_panel_more_or_less(opened, session, panel, action, side, by):
    session.replay(*RUNNING)
    async with opened((140, 50)) as pilot:
        await pilot.press(panel)
        name = pilot.app.workbench.current
        before = getattr(_outer(pilot, name), side)
        await pilot.app.action_act(action)
        await pilot.pause()
        assert getattr(_outer(pilot, name), side) == before + by
        _whole(pilot)


@pytest.mark.parametrize("action", ["taller", "shorter", "wider", "narrower"])
@pytest.mark.parametrize("size", [(120, 20), (100, 20), (120, 40)], ids=str)
async def test_a_border_stops_before_anything_is_cut(opened, session, action, size):
    write_log(session.project)
    session.replay(*RUNNING)
    async with opened(size) as pilot:
        for panel in "1", "3":
            await pilot.press(panel)
            for _ in range(14):
                await pilot.app.action_act(action)
            await pilot.pause()
            _whole(pilot)


async def test_where_one_panel_has_the_screen_zoom_changes_nothing_unseen(opened):
    async with opened((60, 20)) as pilot:
        await pilot.press("z")
        await pilot.pause()
        assert "the panel has the whole screen already" in [told.message for told in pilot.app._notifications]
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert len([panel for panel in pilot.app.screen.query(".panel") if panel.is_on_screen]) == 4


async def test_where_no_border_is_the_action_says_so(opened):
    async with opened((60, 20)) as pilot:
        await pilot.app.action_act("taller")
        await pilot.pause()
        assert "the panel shares no height with another here" in [told.message for told in pilot.app._notifications]
    async with opened((100, 30)) as pilot:
        assert pilot.app.action_context.can_heighten is False
        await pilot.press("3")
        assert pilot.app.action_context.can_heighten is True
        assert pilot.app.action_context.can_widen is False
        await pilot.press("z")
        assert pilot.app.action_context.can_heighten is False


@pytest.mark.parametrize("beside", [0, -1])
async def test_the_mouse_drags_each_border(opened, session, beside):
    write_log(session.project)
    session.replay(*RUNNING)
    async with opened((140, 50)) as pilot:
        x = _outer(pilot, "right").x
        await _drag(pilot, (x + beside, 20), (x + beside + 5, 21), (x + beside + 17, 3))
        assert _outer(pilot, "right").x == x + 17
        y = _outer(pilot, "server").y
        await _drag(pilot, (10, y + beside), (10, y + beside + 9))
        assert _outer(pilot, "server").y == y + 9
        y = _outer(pilot, "request").y
        await _drag(pilot, (100, y + beside), (100, y + beside - 7))
        assert _outer(pilot, "request").y == y - 7
        _whole(pilot)
        assert pilot.app.mouse_captured is None
        assert pilot.app.screen.get_selected_text() in {None, ""}


async def test_below_each_other_the_log_and_the_request_share_a_border_too(opened, session):
    session.replay(*RUNNING)
    async with opened((100, 30)) as pilot:
        y = _outer(pilot, "request").y
        await _drag(pilot, (50, y), (50, y - 4))
        assert _outer(pilot, "request").y == y - 4
        await _drag(pilot, (50, y - 4), (50, 0))
        _whole(pilot)
        await pilot.press("4")
        await pilot.app.action_act("shorter")
        await pilot.pause()
        _whole(pilot)


async def test_a_drag_beyond_the_edge_stops_where_the_panels_are_whole(opened, session):
    session.replay(*RUNNING)
    async with opened((120, 40)) as pilot:
        x = _outer(pilot, "right").x
        await _drag(pilot, (x, 20), (119, 20))
        _whole(pilot)
        x = _outer(pilot, "right").x
        await _drag(pilot, (x, 20), (0, 20))
        _whole(pilot)


async def test_inside_a_panel_the_mouse_drags_no_border(opened, session):
    write_log(session.project)
    async with opened((120, 40)) as pilot:
        x, y = _outer(pilot, "logs").offset
        await _drag(pilot, (x + 4, y + 3), (x + 30, y + 9))
        assert pilot.app.workbench.sizes == Sizes()


async def test_a_double_click_puts_one_border_back_and_an_action_all(opened, session):
    session.replay(*RUNNING)
    async with opened((140, 50)) as pilot:
        before = {name: _outer(pilot, name) for name in PANELS}
        for panel, actions in (("1", ("taller", "wider")), ("3", ("taller",))):
            await pilot.press(panel)
            for action in actions:
                await pilot.app.action_act(action)
        await pilot.pause()
        y = _outer(pilot, "request").y
        await pilot.click(offset=(100, y), times=2)
        await pilot.pause()
        assert pilot.app.workbench.sizes.logs is None
        assert None not in {pilot.app.workbench.sizes.left, pilot.app.workbench.sizes.pipeline}
        await pilot.app.action_act("default_sizes")
        await pilot.pause()
        assert {name: _outer(pilot, name) for name in PANELS} == before


@pytest.mark.parametrize("sizes", EXTREMES)
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_what_was_chosen_elsewhere_cuts_nothing_here(opened, session, sizes, size):
    write_log(session.project)
    session.replay(*RUNNING)
    async with opened(size, ui_state=UiState(sizes=sizes)) as pilot:
        _whole(pilot)
        await pilot.press("4", "escape", "z")
        await pilot.pause()
        assert _outer(pilot, "request") == pilot.app.screen.query_one("#body").region


async def test_a_window_that_changes_keeps_the_ratio(opened, session):
    session.replay(*RUNNING)
    async with opened((120, 42), ui_state=UiState(sizes=Sizes(left=(60, 60), logs=(10, 30)))) as pilot:
        assert _outer(pilot, "left").width == 60
        assert _outer(pilot, "logs").height == 10
        for width, height in [(100, 30), (60, 20), (200, 82)]:
            await pilot.resize_terminal(width, height)
            await settle(pilot)
            _whole(pilot)
        assert _outer(pilot, "left").width == 100
        assert _outer(pilot, "logs").height == 20
        assert pilot.app.workbench.sizes == Sizes(left=(60, 60), logs=(10, 30))


async def test_a_line_is_as_wide_as_its_panel_with_and_without_a_scroll_bar(opened, session):
    session.replay(*RUNNING)
    async with opened((120, 40)) as pilot:
        text = pilot.app.workbench.panel("server").query_one("Text")
        assert not text.show_vertical_scrollbar
        await pilot.press("2")
        for _ in range(14):
            await pilot.app.action_act("shorter")
            await pilot.pause()
        await settle(pilot)
        assert text.show_vertical_scrollbar
        assert text.virtual_size.height == len(text.query_one("Static").content.plain.splitlines())


async def test_a_border_that_goes_while_it_is_dragged_stays_where_it_was(opened, session):
    session.replay(*RUNNING)
    async with opened((140, 50)) as pilot:
        screen = pilot.app.workbench
        x, y = _outer(pilot, "request").offset
        await pilot.mouse_down(None, offset=(x + 9, y))
        await pilot.resize_terminal(40, 10)
        await pilot.hover(None, offset=(5, 5))
        await pilot.mouse_up(None, offset=(5, 5))
        await pilot.resize_terminal(140, 50)
        await pilot.pause()
        assert screen.sizes == Sizes()
        _whole(pilot)
