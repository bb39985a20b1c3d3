"""Pictures of the screen; `pytest --snapshot-update` takes new ones."""

from __future__ import annotations

import pytest

from asteria_tui.events import (
    ModelTraffic,
    StageProgressed,
    StageStarted,
    TrafficChanged,
    WorkersSampled,
    WorkerUsage,
)
from asteria_tui.logs.watch import KnownCauses
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.preferences import Settings
from tests.tui.conftest import CAUSE, FAILED, RUNNING, settle, write_log

PACKAGING = (
    StageStarted(stage="package", model="sample"),
    StageProgressed(stage="package", model="sample", text="copying", done=640e6, total=1e9, unit="B"),
)
TRAFFIC = (
    *RUNNING,
    WorkersSampled(workers=(WorkerUsage(pid=4830, memory_bytes=312_000_000, cpu_percents=(3, 8, 21, 34, 30)),)),
    TrafficChanged(
        models=(
            ModelTraffic(
                model="sample", per_second=51, p50=8.2, p95=12, requests=2300, failures=3, waiting=2,
                counts=tuple(20 + second % 7 * 5 for second in range(60)),
                latencies=tuple(5 + second % 11 * 0.7 for second in range(60)),
                failed=tuple(int(second in {20, 41, 42}) for second in range(60)),
            ),
        )
    ),
)  # fmt: skip
PICTURES = {
    "traffic_120x40": ((120, 40), TRAFFIC, "2 down down"),
    "traffic_80x24": ((80, 24), TRAFFIC, "3"),
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
