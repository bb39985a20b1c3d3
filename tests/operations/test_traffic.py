"""The traffic of the server as an operation: told when a shown figure changes, silent otherwise."""

from __future__ import annotations

import asyncio
import time

from asteria_tui.config import Project, Settings
from asteria_tui.operations import traffic as room
from asteria_tui.operations.base import Context
from asteria_tui.operations.traffic import WatchTraffic
from asteria_tui.state import State, reduce
from tests.logs.test_traffic import access
from tests.waiting import until_async


async def test_it_tells_of_a_request_and_sleeps_when_the_minute_is_over(tmp_path, monkeypatch):
    project = Project(root=tmp_path, settings=Settings())
    project.logs_dir.mkdir(parents=True)
    state, told, now, looks = State(), [], 1_000.5, 0
    asleep, wake = asyncio.Event(), asyncio.Event()

    def emit(event):
        nonlocal state
        told.append(event)
        state = reduce(state, event)

    async def log_changes(seconds):
        asleep.set()
        await wake.wait()
        wake.clear()

    def clock():
        nonlocal looks
        looks += 1
        return now

    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(room, "PERIOD", 0.001)
    context = Context(project, None, emit, lambda: state, log_changes=log_changes)
    task = asyncio.ensure_future(WatchTraffic().run(context))
    try:
        await asleep.wait()
        assert told == []
        asleep.clear()
        with (project.logs_dir / "records.jsonl").open("ab") as log:
            log.write(access("epoll", "/predictions/echo", 503, 1, at=1_000_600))
        wake.set()
        now = 1_001.5
        await until_async(lambda: state.traffic.of("echo") is not None)
        assert state.traffic.of("echo").failed[-1] == 1
        count, many = len(told), looks + 20
        await until_async(lambda: looks > many)
        assert len(told) == count
        now = 1_090.0
        await asleep.wait()
        assert state.traffic.models == ()
    finally:
        task.cancel()
