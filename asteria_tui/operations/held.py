"""Requests that the workers of `dev` hold: told as they come and go, waited for, and given up on request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Container
from pathlib import Path
from typing import ClassVar

import msgspec

from asteria_tui.config import Project
from asteria_tui.dev import lease
from asteria_tui.dev.connection import Workers
from asteria_tui.dev.messages import Answered, AnyMessage, Failed, GivenUp, Held, encode
from asteria_tui.errors import ServerError
from asteria_tui.events import Emit, RequestHeld, RequestReleased, WarningRaised
from asteria_tui.operations.base import Context, Operation
from asteria_tui.targets.local.temporary import INSIDE
from asteria_tui.targets.record import ServerRecord

ANSWER_TIMEOUT = 1.0
"""Seconds for workers to say that they gave a request up."""


class HeldRequests:
    """What each worker holds, by its pid."""

    def __init__(self, project: Project, emit: Emit) -> None:
        self._root = str(project.root)
        self._emit = emit
        self._held: dict[int, RequestHeld] = {}
        self._since: dict[int, float] = {}
        self._news = asyncio.Event()

    def hear(self, pid: int, message: AnyMessage, models: dict[int, str]) -> None:
        """`models` is whose worker each is."""
        self._news.set()
        model = models.get(pid, "")
        if isinstance(message, Held):
            self._since.setdefault(pid, time.time())
            others = [one for one, name in models.items() if name == model and one != pid and one not in self._held]
            self._held[pid] = RequestHeld(
                model=model,
                pid=pid,
                requests=message.requests,
                cause=message.cause(self._root, model, "inference"),
                frames=tuple(
                    msgspec.structs.replace(frame, file=frame.file.removeprefix(f"{self._root}/"))
                    for frame in message.frames
                ),
                until=time.time() + message.seconds,
                is_last_worker=not others,
            )
            self._emit(self._held[pid])
        elif isinstance(message, Answered | Failed):
            if isinstance(message, Failed) and message.is_too_large:
                self._emit(WarningRaised(text=f"a request to {model} failed that is too large to be held (1 MB)"))
            self._release(pid, is_good=isinstance(message, Answered), requests=message.requests)

    def keep(self, pids: Container[int]) -> None:
        """Those workers live; one that has ended answers nobody."""
        for pid in [pid for pid in self._held if pid not in pids]:
            self._release(pid, is_good=False, requests=())

    def _release(self, pid: int, *, is_good: bool, requests: tuple[str, ...]) -> None:
        held = self._held.pop(pid, None)
        if held is not None:
            seconds = time.time() - self._since.pop(pid)
            requests = requests or held.requests
            self._emit(
                RequestReleased(
                    model=held.model, pid=pid, requests=requests, is_good=is_good, seconds=round(seconds, 3)
                )
            )

    def blocks(self, model: str) -> bool:
        """Whether no worker of that model is free to answer anybody else."""
        return any(held.model == model and held.is_last_worker for held in self._held.values())

    async def until_news(self, seconds: float) -> None:
        """Something was said, or the time is over."""
        self._news.clear()
        await _set_within(self._news, seconds)


class Release(Operation, frozen=True, kw_only=True):
    """The requests that `dev --hold` holds are answered with their errors."""

    name: ClassVar[str] = "release"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> None:
        record = await context.running()
        given_up = asyncio.Event()

        def hear(_: int, message: AnyMessage) -> None:
            if isinstance(message, GivenUp):
                given_up.set()

        workers = Workers(sockets_of(context.project, record), hear, role="control", first=encode("give_up"))
        await workers.connect()
        await _set_within(given_up, ANSWER_TIMEOUT)
        await workers.close()
        if not given_up.is_set():
            raise ServerError("no request is held", hint="`asteria-tui dev --hold` holds those that fail")


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def sockets_of(project: Project, record: ServerRecord) -> Path:
    """Where the workers of that server listen."""
    return Path(record.temporary) if record.temporary else project.state_dir / INSIDE


def held_for(project: Project) -> int:
    """Seconds that a `dev` of this project holds a request that fails; 0 where none does."""
    found = lease.current(project)
    return found.hold_for if found else 0
