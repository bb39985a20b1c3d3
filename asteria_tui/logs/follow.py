"""Following files without a thread, a timer that costs, or a blocked event loop.

Polling was chosen over inotify: a `stat` every 40 ms costs 0.1 % of a core, works on every file system (bind
mounts and network shares send no notifications), and gathers a fast feed into batches by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from asteria_tui.logs.tail import Tail

PERIOD = 0.04
"""Seconds between two looks at a file: the longest that a written line waits."""


async def follow(tails: Sequence[Tail]) -> AsyncIterator[tuple[Tail, bytes]]:
    """What is appended to files, as whole lines, in pieces of at most `tail.WINDOW` bytes or one line.

    A piece without bytes says that the file has been silent for a period since its last piece. Never ends.
    """
    is_silent = dict.fromkeys(tails, True)
    while True:
        is_behind = False
        for tail in tails:
            data = tail.read()
            if data:
                is_silent[tail] = False
                is_behind |= not tail.is_at_end
                yield tail, data
            elif not tail.is_at_end:
                is_behind = True
            elif not is_silent[tail]:
                is_silent[tail] = True
                yield tail, b""
        await asyncio.sleep(0 if is_behind else PERIOD)
