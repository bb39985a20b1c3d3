"""Following files without a thread, a blocked event loop, or a cost while nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from asteria_tui.logs.notify import Changes
from asteria_tui.logs.tail import Tail

PERIOD = 0.04
"""Seconds between two reads of a file that is written to: a fast feed comes in batches, none waits longer."""


async def follow(tails: Sequence[Tail]) -> AsyncIterator[tuple[Tail, bytes]]:
    """What is appended to files, as whole lines, in pieces of at most `tail.WINDOW` bytes or one line.

    A piece without bytes means that the file has been silent for a period since its last piece. Never ends.
    """
    is_silent = dict.fromkeys(tails, True)
    changes = Changes(dict.fromkeys(tail.path.parent for tail in tails))
    try:
        while True:
            changes.forget()
            is_behind = False
            for tail in tails:
                data = tail.read()
                is_behind |= not tail.is_at_end
                if data or not is_silent[tail]:
                    is_silent[tail] = not data
                    yield tail, data
            if is_behind:
                await asyncio.sleep(0)
            elif all(is_silent.values()):
                await changes.wait()
            else:
                await asyncio.sleep(PERIOD)
    finally:
        changes.close()
