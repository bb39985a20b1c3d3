"""Work in threads and what an interruption of it waits for; the lock of a project."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from asteria_tui.config import Project, Settings
from asteria_tui.events import Event, WarningRaised
from asteria_tui.operations.base import in_thread, locked


async def test_however_often_it_is_interrupted_the_thread_is_waited_for():
    begun, may_end = threading.Event(), threading.Event()

    def work(progress):
        begun.set()
        may_end.wait()

    working = asyncio.ensure_future(in_thread(work, lambda event: None, "package", None, "echo.mar"))
    await asyncio.to_thread(begun.wait)
    try:
        for _ in range(3):
            working.cancel()
            for _ in range(10):  # rounds of the loop, so that it is delivered
                await asyncio.sleep(0)
            assert not working.done()
    finally:
        may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_who_waited_for_the_lock_is_named_to_the_next_one(tmp_path: Path):
    project = Project(root=tmp_path, settings=Settings())
    waiting = asyncio.Event()

    def emit(event: Event) -> None:
        assert isinstance(event, WarningRaised)
        waiting.set()

    async def second() -> None:
        async with locked(project, emit):
            assert (project.state_dir / "lock").read_text() == str(os.getpid())

    async with locked(project, emit):
        after = asyncio.ensure_future(second())
        await waiting.wait()
    await after
