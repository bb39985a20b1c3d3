"""The requests of everybody, from the server's log, for as long as the screen is there."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

import msgspec

from asteria_tui.errors import TargetError
from asteria_tui.events import Lane, TrafficChanged
from asteria_tui.logs.traffic import TrafficReader
from asteria_tui.logs.traffic_window import TrafficWindow
from asteria_tui.operations.base import Context, Operation

PERIOD = 1.0
"""Seconds between two looks while a minute with requests goes by: a chart has a column for each."""
LONG = 60.0
"""Seconds between two looks where nothing is written."""


class WatchTraffic(Operation, frozen=True, kw_only=True):
    """Tells what the last minute was like, only where a figure that is shown has changed.

    While nothing is written and the minute is empty it sleeps.
    """

    name: ClassVar[str] = "traffic"
    lane: ClassVar[Lane] = "background"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> None:
        reader, window = TrafficReader(context.project.logs_dir), TrafficWindow()
        while True:
            try:
                requests = reader.poll()
            except TargetError:
                requests = []  # the log panel says that it cannot be read
            if reader.is_new:
                window = TrafficWindow()
            window.add(requests)
            traffic = reader.traffic
            shown = window.shown(time.time(), traffic.waiting, traffic.metrics)
            if _is_news(shown, context.state().traffic):
                context.emit(shown)
            moves = bool(shown.models or requests)
            await asyncio.sleep(PERIOD - time.time() % PERIOD)
            if not moves:
                await context.log_changes(LONG)


def _is_news(shown: TrafficChanged, known: TrafficChanged) -> bool:
    return msgspec.structs.replace(shown, at=0.0, operation="") != msgspec.structs.replace(known, at=0.0, operation="")
