"""Work in threads, and what an interruption of it waits for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asteria_tui.operations.base import in_thread


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
