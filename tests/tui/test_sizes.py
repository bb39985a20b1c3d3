"""Nothing overlaps and nothing is cut, at any size."""

from __future__ import annotations

from itertools import combinations

import pytest
from textual.widgets import Static

from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.widgets.footer import GAP, Footer
from tests.tui.conftest import FAILED, RUNNING, settle, write_log

SIZES = [(60, 20), (80, 24), (100, 30), (120, 40), (200, 60), (79, 50), (140, 19), (40, 10)]


def _shown(app):
    return [panel for panel in app.screen.query(Panel) if panel.display and panel.region.area]


@pytest.mark.parametrize("told", [RUNNING, FAILED], ids=["running", "failed"])
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_panels_stand_side_by_side_within_the_screen(opened, session, size, told):
    write_log(session.project)
    session.replay(*told)
    async with opened(size) as pilot:
        screen = pilot.app.screen
        shown = _shown(pilot.app)
        is_single = size[0] < 80 or size[1] < 20
        assert len(shown) == (1 if is_single else 4)
        leaves = [*shown, screen.query_one(Footer), screen.query_one("#status")]
        leaves += [screen.query_one("#tabs")] if is_single else []
        for widget in leaves:
            assert widget.region in screen.region, widget
            assert widget.region.area, widget
        for one, other in combinations(leaves, 2):
            assert not one.region.overlaps(other.region), (one, other)
        assert sum(widget.region.area for widget in leaves) == size[0] * size[1]


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_what_stands_in_a_panel_stays_in_it(opened, session, size):
    write_log(session.project)
    session.replay(*RUNNING)
    async with opened(size) as pilot:
        for name in ("pipeline", "server", "logs", "request"):
            pilot.app.workbench.do_panel(name)
            await pilot.pause()
            panel = pilot.app.workbench.panel(name)
            for child in panel.query("*"):
                if child.is_on_screen and child.region.area and child.parent.id != "sample":
                    assert child.region.x >= panel.region.x, child
                    assert child.region.right <= panel.region.right, child


@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_the_footer_holds_whole_words_and_the_way_out(opened, size):
    async with opened(size) as pilot:
        footer = pilot.app.screen.query_one(Footer)
        text = footer.render().plain
        assert len(text) - GAP <= footer.content_size.width
        assert text.rstrip().endswith("q quit")


@pytest.mark.parametrize("size", [(39, 24), (80, 9)], ids=str)
async def test_a_window_too_small_says_so_kindly(opened, size):
    async with opened(size) as pilot:
        shown = [widget for widget in pilot.app.screen.children if widget.display]
        assert [widget.id for widget in shown] == ["too-small"]
        assert "40 columns" in str(pilot.app.screen.query_one("#too-small", Static).content)


async def test_a_window_that_grows_shows_everything_again(opened, session):
    session.replay(*RUNNING)
    async with opened((39, 9)) as pilot:
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert len(_shown(pilot.app)) == 4
