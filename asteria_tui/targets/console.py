"""What TorchServe prints while it starts and when it ends: the same words wherever it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
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
# After which nothing comes any more, though Java may live on.
HOPELESS = re.compile(
    rb"Failed to bind to address|No space left on device|java\.lang\.OutOfMemoryError|^Invalid configuration: ",
    re.MULTILINE,
)
HOPELESS_TIMEOUT = 5.0
"""Seconds that Java has for ending by itself then."""
MIN_SPACE = 4096
"""Bytes without which the console cannot say anything either."""


async def until_started(console: Path, ended: Callable[[], str], emit: Emit) -> None:
    """Returns when every port is bound.

    `ended` says how the server ended (`exit status 1`), and is empty while it runs.

    Raises:
        TargetError: it ended, does not open its ports, or cannot write its log.
    """
    begun = reported = time.monotonic()
    hopeless_at: float | None = None
    while STARTED not in (text := read(console)):
        if end := ended():
            raise TargetError(
                f"TorchServe ended while it started ({end})",
                detail=console_tail(console),
                hint=f"the whole console: {_own(console)}",
            )
        now = time.monotonic()
        if hopeless_at is None and HOPELESS.search(text):
            hopeless_at = now
        if hopeless_at is not None and now - hopeless_at > HOPELESS_TIMEOUT:
            raise TargetError(
                "TorchServe failed while it started, and does not end",
                detail=console_tail(console),
                hint=f"the whole console: {_own(console)}",
            )
        if now - begun > START_TIMEOUT:
            raise TargetError(
                f"TorchServe did not open its ports within {START_TIMEOUT:.0f} s", detail=console_tail(console)
            )
        if now - reported >= 1:
            reported = now
            _check_space(console.parent)
            emit(StageProgressed(stage="start", text="waiting for Java", done=now - begun, unit="s"))
        await asyncio.sleep(POLL)


def _own(console: Path) -> Path:
    """The file of this run: the next start has another one under that name."""
    return console.resolve()


def _check_space(logs: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        found = os.statvfs(logs)
        if found.f_bavail * found.f_frsize < MIN_SPACE:
            raise TargetError(
                f"the disk of {logs} is full", detail="TorchServe cannot write its log", hint="free some space there"
            )


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
