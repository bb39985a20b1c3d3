"""Whatever is pressed, clicked, pasted, at whatever size: the screen lives on. The seed is kept."""

from __future__ import annotations

import random

import pytest
from textual import events as textual_events
from textual.pilot import Pilot

from asteria_tui.tui.actions import ACTIONS
from tests.tui.conftest import FAILED, RUNNING, write_log

SEED = 20261125
EVENTS, BURST = 2_000, 20
LEAVES = {"quit", "stop", "palette"}
"""Actions that end the screen or what it shows; the palette searches in threads."""
KEYS = [
    *(key for action in ACTIONS if action.id not in LEAVES for key in action.keys.split(",")),
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "tab", "shift+tab", "enter", "space"),
    *("a", "Z", "9", "backspace", "delete", "ctrl+a", "ctrl+k", "ctrl+z", "ä", "€", "😀"),
]


async def _resize(pilot: Pilot, chance: random.Random) -> None:
    widths, heights = [1, 2, 39, 40, 60, 80, 120, 500], [1, 2, 9, 10, 20, 24, 40, 200]
    await pilot.resize_terminal(chance.choice(widths), chance.choice(heights))


async def _click(pilot: Pilot, chance: random.Random) -> None:
    size = pilot.app.size
    await pilot.click(offset=(chance.randrange(size.width), chance.randrange(size.height)), times=chance.choice([1, 2]))


def _press(pilot: Pilot, chance: random.Random) -> None:
    """Without a pause behind it: keys come faster than they are painted."""
    key = chance.choice(KEYS)
    pilot.app.post_message(textual_events.Key(key, key if len(key) == 1 else None))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_storm_of_keys_clicks_and_sizes_leaves_the_screen_alive(opened, session):
    chance = random.Random(SEED)  # noqa: S311 a storm that comes again
    write_log(session.project, 100)
    async with opened((80, 24)) as pilot:
        app = pilot.app
        app.edit = lambda *_: None  # the user's editor would take the terminal
        for number in range(EVENTS // BURST):
            for _ in range(BURST - 1):
                _press(pilot, chance)
            await chance.choice([_click, _resize])(pilot, chance)
            session.replay(*chance.choice([RUNNING, FAILED]))
            assert app.is_running, number
            while app.screen is not app.workbench:
                await pilot.press("escape")
        await pilot.resize_terminal(120, 40)
        await pilot.press("escape", "1")
        await pilot.pause()
        assert app.workbench.current == "pipeline"
        assert app.return_code is None


async def test_a_paste_of_five_megabytes_leaves_the_screen_alive(opened):
    async with opened() as pilot:
        editor = pilot.app.workbench.request.query_one("#body")
        editor.focus()
        await pilot.pause()
        editor.post_message(textual_events.Paste("x = 1\n" * (5_000_000 // 6)))
        await pilot.pause()
        assert len(editor.text) < 1_000  # it says so and takes nothing
        await pilot.press("escape", "3")
        await pilot.pause()
        assert pilot.app.workbench.current == "logs"
        assert pilot.app.return_code is None
