"""Pictures of the screen; `pytest --snapshot-update` takes new ones."""

from __future__ import annotations

import pytest

from asteria_tui.events import StageProgressed, StageStarted
from asteria_tui.logs.watch import KnownCauses
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.preferences import Settings
from tests.tui.conftest import CAUSE, FAILED, RUNNING, settle, write_log

PACKAGING = (
    StageStarted(stage="package", model="sample"),
    StageProgressed(stage="package", model="sample", text="copying", done=640e6, total=1e9, unit="B"),
)
PICTURES = {
    "running_120x40": ((120, 40), RUNNING, ""),
    "running_200x60": ((200, 60), RUNNING, "3"),
    "running_100x30": ((100, 30), RUNNING, ""),
    "running_80x24": ((80, 24), RUNNING, "4"),
    "running_60x20": ((60, 20), RUNNING, "2"),
    "stopped_120x40": ((120, 40), (), ""),
    "packaging_80x24": ((80, 24), PACKAGING, ""),
    "failed_120x40": ((120, 40), FAILED, ""),
    "failed_80x24": ((80, 24), FAILED, ""),
    "failure_open_120x40": ((120, 40), FAILED, "enter"),
    "causes_120x40": ((120, 40), FAILED, "t"),
    "warnings_120x40": ((120, 40), RUNNING, "3 l l"),
    "help_120x40": ((120, 40), RUNNING, "question_mark"),
    "quit_120x40": ((120, 40), RUNNING, "q"),
    "light_120x40": ((120, 40), RUNNING, ""),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(snap_compare, session, name):
    size, told, keys = PICTURES[name]
    if told:
        write_log(session.project)
    if told is FAILED:
        session.known_causes = KnownCauses((CAUSE,))
    session.replay(*told)
    theme = "asteria-light" if name.startswith("light") else ""

    async def before(pilot):
        await settle(pilot)
        for key in keys.split():
            await pilot.press(key)
        await settle(pilot)

    assert snap_compare(AsteriaApp(session, Settings(theme=theme)), terminal_size=size, run_before=before)
