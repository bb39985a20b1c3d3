"""A follower to measure: `screen PATH` does what the screen does, `records PATH` what `logs -f --json` does.

`idle PATH` is the latter without the clock that measures how long the event loop is blocked.

It prints the last line once it has come, then how long its event loop was blocked at most.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from asteria_tui.logs.follow import keep_current
from asteria_tui.logs.history import Log
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.read import records

END = "the last line of the feed"
SCREEN = 40


async def screen(path: Path) -> None:
    index = LineIndex(path)
    parser = Parser()
    async for _ in keep_current(index):
        if index.is_behind:
            continue
        rows = [index.record(line, parser) for line in range(max(index.first, index.end - SCREEN), index.end)]
        if END in rows[-1].text:
            return


async def all_records(path: Path) -> None:
    async for batch in records([Log(path)], is_following=True):
        if END in batch.records[-1].text:
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
