"""What the workers of `dev` have said: what they loaded, what they work on, how each request ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from asteria_tui.dev.connection import Workers
from asteria_tui.dev.messages import (
    Answered,
    AnyMessage,
    Failed,
    Held,
    Hello,
    Imported,
    Loaded,
    LoadFailed,
    Started,
    encode,
)
from asteria_tui.dev.stack import stack_of

TELL_TIMEOUT = 1.0
"""Seconds that what a worker says may come later than its answer."""
MAX_TOLD = 1000
"""Answers that are remembered by their request."""
POLITE_TIMEOUT = 2.0
"""Seconds that a worker gets to end."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker said of one request."""

    pid: int
    message: Answered | Failed


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was told to end, for it has worked on one request for longer than it may."""

    pid: int
    model: str
    stack: str = ""
    """Where it was."""


class Hearing:
    """Listens to every worker whose socket is in the server's temporary folder."""

    def __init__(
        self,
        folder: Path,
        models: Collection[str],
        *,
        hold_for: int = 0,
        hear_held: Callable[[int, AnyMessage, dict[int, str]], None] = lambda *_: None,
    ) -> None:
        """`hold_for`: seconds that a request which fails is held, 0 for not at all."""
        self.workers = Workers(folder, self._hear, first=encode("hold", seconds=hold_for) if hold_for else b"")
        self._hear_held = hear_held
        self.modules: dict[str, frozenset[Path]] = dict.fromkeys(models, frozenset())
        """The files of the project that the workers of a model have imported."""
        self.ended: dict[str, int] = dict.fromkeys(models, 0)
        """How many requests of a model were told to have ended."""
        self._loads: dict[int, Loaded | LoadFailed] = {}
        self._told: dict[str, Told] = {}
        self._is_told = asyncio.Event()
        self._working: dict[int, float] = {}
        self._ending: set[int] = set()

    def last_load(self, model: str, told: Told | None) -> Loaded | LoadFailed | None:
        """Of the worker that answered; where that is not known, the newest one of the model."""
        if told is not None:
            return self._loads.get(told.pid)
        return next(
            (load for pid, load in reversed(self._loads.items()) if self.workers.models.get(pid) == model), None
        )

    async def until_told(self, request: str) -> Told | None:
        """How that request ended; None where its worker does not say so in a moment."""
        await self._until(lambda: request in self._told)
        return self._told.get(request)

    async def until_next(self, model: str, before: int) -> None:
        """Until a worker of the model has told of more requests than those `before`, or a moment has passed."""
        await self._until(lambda: self.ended[model] > before)

    async def _until(self, holds: Callable[[], bool]) -> None:
        with self.workers.awaited(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELL_TIMEOUT):
                while not holds():
                    self._is_told.clear()
                    await self._is_told.wait()

    async def end_late(self, limits: dict[str, int]) -> list[Late]:
        """Ends the workers that are busy with one request for longer than their model's limit, in seconds."""
        ended = []
        for pid, begun in list(self._working.items()):
            model = self.workers.models.get(pid)
            if model is None:
                del self._working[pid]
                continue
            late = time.monotonic() - begun - limits[model]
            if late > 0 and pid not in self._ending:
                self._ending.add(pid)
                stack = await stack_of(self.workers.folder, pid)
                ended.append(Late(pid=pid, model=model, stack=stack))
                _send(pid, signal.SIGTERM)
            elif late > POLITE_TIMEOUT:
                # TorchServe takes the end by this one for a lack of memory (docs/torchserve.md section 7).
                _send(pid, signal.SIGKILL)
        return ended

    def _hear(self, pid: int, message: AnyMessage) -> None:
        model = self.workers.models.get(pid, "")
        self._hear_held(pid, message, self.workers.models)
        if isinstance(message, Loaded | Imported) and model in self.modules:
            known = self.modules[model] if isinstance(message, Imported) else frozenset()
            self.modules[model] = known | {Path(file) for file in message.modules}
        if isinstance(message, Loaded | LoadFailed):
            self._loads.pop(pid, None)
            self._loads[pid] = message
        elif isinstance(message, Started):
            self._working[pid] = time.monotonic()
        elif isinstance(message, Held):
            self._working.pop(pid, None)  # its time stands still
        elif isinstance(message, Answered | Failed):
            self._working.pop(pid, None)
            if model in self.ended:
                self.ended[model] += 1
            for request in message.requests:
                self._told[request] = Told(pid=pid, message=message)
            while len(self._told) > MAX_TOLD:
                del self._told[next(iter(self._told))]
            self._is_told.set()
        elif isinstance(message, Hello):
            self._working.pop(pid, None)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
