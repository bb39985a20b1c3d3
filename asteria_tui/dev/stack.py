"""Where a worker of `dev` is right now, as its loader has it written (`dev/loader/stack.py`)."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from asteria_tui.bounds import read_small
from asteria_tui.dev.loader import SOCKET, STACK_SIGNAL

MAX_BYTES = 1 << 20
TIMEOUT = 2.0
"""Seconds for a worker to write it; one that the system does not let run does not."""
POLL = 0.02
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$', re.MULTILINE)


async def stack_of(folder: Path, pid: int) -> str:
    """The stacks of its threads, the innermost frame first; empty where it can't be had."""
    file = folder / f"{SOCKET % pid}.stack"
    try:
        before = len(read_small(file, MAX_BYTES))
        os.kill(pid, STACK_SIGNAL)
        text = b""
        async with asyncio.timeout(TIMEOUT):
            while True:
                await asyncio.sleep(POLL)
                seen = read_small(file, MAX_BYTES)[before:]
                if seen and seen == text:
                    return text.decode(errors="replace")
                text = seen
    except (OSError, TimeoutError):
        return ""


def place_in(stack: str, root: Path) -> str:
    """The project's own innermost frame, `handler.py:12 in handle`; empty where there is none."""
    for frame in _FRAME.finditer(stack):
        file = Path(frame["file"])
        if file.is_relative_to(root):
            return f"{file.relative_to(root)}:{frame['line']} in {frame['function']}"
    return ""
