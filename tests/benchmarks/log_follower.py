"""A follower to measure: `screen PATH` does what the screen does, `records PATH` what `logs -f --json` does.

`idle PATH` is the latter without the clock that measures how long the event loop is blocked.

It prints the last line once it has come, then how long its event loop was blocked at most.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from asteria_tui.logs.filter import DEFAULT
from asteria_tui.logs.history import Log
from asteria_tui.logs.read import records
from asteria_tui.logs.rows import PAUSE, LogRows
from asteria_tui.logs.waker import Waker

END = "the last line of the feed"
SCREEN = 40
PAINT_EVERY = 0.1


async def screen(path: Path) -> None:
    """What `tui/panels/logs.py` does, but for the painting."""
    rows, waker = LogRows(path, DEFAULT), Waker(path.parent)
    reader, watching = waker.reader(), asyncio.create_task(waker.watch())
    painted_at, is_unshown = 0.0, False
    while True:
        is_unshown |= bool(rows.refresh())
        if is_unshown and time.monotonic() - painted_at >= PAINT_EVERY:
            shown = [rows.record(row) for row in range(max(0, len(rows) - SCREEN), len(rows))]
            if END in shown[-1].text:
                break
            painted_at, is_unshown = time.monotonic(), False
        await asyncio.sleep(PAUSE)
        await reader.wait(0 if not rows.is_complete else PAINT_EVERY if is_unshown else None)
    watching.cancel()


async def all_records(path: Path) -> None:
    async for batch in records([Log(path)], is_following=True):
        if END in batch[-1].text:
            return


async def blocked(longest: list[float]) -> None:
    """The longest time between two turns of the event loop beyond the one asked for, that it was itself busy."""
    while True:
        start, busy = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0.02)
        late = time.perf_counter() - start - 0.02
        longest.append(max(longest.pop(), min(late, time.thread_time() - busy)))


async def main(how: str, path: Path) -> None:
    longest = [0.0]
    ticks = [] if how == "idle" else [asyncio.create_task(blocked(longest))]
    await (screen(path) if how == "screen" else all_records(path))
    for tick in ticks:
        tick.cancel()
    print(f"! event loop blocked for {longest[0] * 1000:.0f} ms at most {END}", flush=True)
    await asyncio.sleep(3)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
