"""What TorchServe prints while it starts and when it ends: the same words wherever it runs."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

from asteria_tui.bounds import MIB, read_end
from asteria_tui.errors import TargetError
from asteria_tui.events import Emit, StageProgressed

STARTED = b"Model server started."
"""Printed when every port is bound, gRPC included (docs/torchserve.md section 6)."""
START_TIMEOUT = 120.0
"""Seconds; archives are unpacked before the ports open, so it is generous."""
POLL = 0.02
MAX_BYTES = 16 * MIB
# What a fatal start leaves on the console, and in no log file.
FATAL = re.compile(
    r"^(?:Caused by: )?((?:java|io)\.[\w.]*(?:Exception|Error): .*|Invalid configuration: .*)$", re.MULTILINE
)


async def until_started(console: Path, ended: Callable[[], str], emit: Emit) -> None:
    """Returns when every port is bound.

    `ended` says how the server ended (`exit status 1`), and is empty while it runs.

    Raises:
        TargetError: it ended, or does not open its ports.
    """
    begun = told = time.monotonic()
    while STARTED not in read(console):
        if end := ended():
            raise TargetError(
                f"TorchServe ended while it started ({end})",
                detail=console_tail(console),
                hint=f"the whole console: {console}",
            )
        now = time.monotonic()
        if now - begun > START_TIMEOUT:
            raise TargetError(
                f"TorchServe did not open its ports within {START_TIMEOUT:.0f} s", detail=console_tail(console)
            )
        if now - told >= 1:
            told = now
            emit(StageProgressed(stage="start", text="waiting for Java", done=now - begun, unit="s"))
        await asyncio.sleep(POLL)


def console_tail(console: Path) -> str:
    """The first fatal line of the console, else its last lines."""
    text = read(console).decode(errors="replace")
    fatal = FATAL.findall(text)
    if fatal:
        return str(fatal[0])
    return "\n".join(text.strip().splitlines()[-5:])


def read(console: Path) -> bytes:
    """The end of it; empty where there is none."""
    try:
        return read_end(console, MAX_BYTES)
    except OSError:
        return b""
