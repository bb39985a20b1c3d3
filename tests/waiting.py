"""Waiting for what has to come: by a condition and with an end, never for a time that should be enough."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Value = TypeVar("Value")


def until(
    condition: Callable[[], Value], seconds: float = 60, meanwhile: Callable[[float], object] = time.sleep
) -> Value:
    """The first true value of the condition."""
    for pause in _pauses(seconds):
        if value := condition():
            return value
        meanwhile(pause)
    raise AssertionError(f"it did not come; the last was {condition()!r}")


async def until_async(condition: Callable[[], Value], seconds: float = 60) -> Value:
    """The same, while the event loop goes on."""
    for pause in _pauses(seconds):
        if value := condition():
            return value
        await asyncio.sleep(pause)
    raise AssertionError(f"it did not come; the last was {condition()!r}")


def _pauses(seconds: float) -> Iterator[float]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield 0.02
