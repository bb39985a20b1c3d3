"""The one slow poll: what changed on the server since it was last looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from asteria_tui.errors import AsteriaError
from asteria_tui.events import Event, Key, KeysChanged, Model, ModelsChanged, ServerChanged
from asteria_tui.targets.target import STATE_FILE, ServerRecord, Vitals, server_dir
from asteria_tui.workflow.look import look
from asteria_tui.workflow.stage import Work

PERIOD = 2.0
"""Seconds between two looks."""


class Known(Protocol):
    """What has been told so far; `state.State` is one."""

    @property
    def server(self) -> ServerChanged: ...
    @property
    def models(self) -> tuple[Model, ...]: ...
    @property
    def keys(self) -> tuple[Key, ...]: ...


async def monitor(work: Callable[[], Work], known: Callable[[], Known], is_busy: Callable[[], bool]) -> None:
    """Looks at once, then every `PERIOD` while a server runs or its record changes; never ends by itself."""
    load = Load()
    seen: tuple[int, ...] | None = None
    while True:
        if not is_busy():
            before, seen = seen, _signature(work())
            if known().server.state != "stopped" or seen != before:
                await _look(work(), known, is_busy, load)
        await asyncio.sleep(PERIOD)


async def _look(work: Work, known: Callable[[], Known], is_busy: Callable[[], bool], load: Load) -> None:
    def emit(event: Event) -> None:
        if isinstance(event, ServerChanged):
            event = load.added(event)
        # An action that began meanwhile knows better.
        if not is_busy() and is_news(event, known()):
            work.emit(event)

    watched = msgspec.structs.replace(work, emit=emit)
    try:
        record = await work.target.find()
        load.sample(await work.target.vitals(record) if record else None, record)
        await look(watched)
    except AsteriaError as error:
        emit(ServerChanged(state="unwell", target=work.project.settings.server.target, reason=error.title))


def is_news(event: Event, known: Known) -> bool:
    """Whether the event says something that is not known; when it was seen is no news by itself."""
    if isinstance(event, ServerChanged):
        return msgspec.structs.replace(event, at=0.0) != msgspec.structs.replace(known.server, at=0.0)
    if isinstance(event, ModelsChanged):
        return event.models != known.models
    if isinstance(event, KeysChanged):
        # A key that the user had revealed stays so.
        return [(key.kind, key.expires_at) for key in event.keys] != [(key.kind, key.expires_at) for key in known.keys]
    return True


class Load:
    """The share of one core that the server used between two looks."""

    def __init__(self) -> None:
        self._before: tuple[float, float, float] | None = None
        self._percent: float | None = None

    def sample(self, vitals: Vitals | None, record: ServerRecord | None) -> None:
        if vitals is None or record is None:
            self._before = self._percent = None
            return
        now, used, started = time.monotonic(), vitals.cpu_seconds, record.started_at
        if self._before is not None and self._before[2] == started and now > self._before[0]:
            # A worker that ended takes its seconds with it.
            self._percent = round(max(0.0, used - self._before[1]) / (now - self._before[0]) * 100)
        else:
            self._percent = None
        self._before = (now, used, started)

    def added(self, server: ServerChanged) -> ServerChanged:
        return msgspec.structs.replace(server, cpu_percent=self._percent) if server.pid else server


def _signature(work: Work) -> tuple[int, ...]:
    """Changes whenever somebody starts or stops a server of this project."""
    try:
        status = (server_dir(work.project) / STATE_FILE).stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_mtime_ns)
