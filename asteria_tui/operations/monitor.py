"""The one slow poll: what changed on the server since it was last looked at."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

import msgspec

from asteria_tui.errors import AsteriaError, TargetError
from asteria_tui.events import Event, KeysChanged, Lane, ModelsChanged, ServerChanged, WorkersSampled
from asteria_tui.logs.history import RECORDS_FILE
from asteria_tui.operations.base import Context, Operation
from asteria_tui.operations.status import check_status, ended
from asteria_tui.operations.worker_usage import WorkerUsages
from asteria_tui.state import State
from asteria_tui.targets.record import STATE_FILE, ServerRecord, server_dir
from asteria_tui.targets.target import Vitals

PERIOD = 2.0
"""Seconds between two looks at a server that is silent."""
PAUSE = 0.25
"""Seconds between two looks at one that writes: what pours in is read in bulk."""
ASK_EVERY = 60.0
"""Seconds after which the server is asked though its log tells nothing: it may hang."""
MAX_READ = 1 << 20
"""Bytes of the log that one look reads."""
# In the log of a server that starts, loses, gets or gives away a worker or a model, or a key
# (docs/torchserve.md sections 4 and 6).
TELLING = (b"WORKER_", b"POST /models", b"PUT /models", b"DELETE /models", b"GET /token", b"Worker died")


class Monitor(Operation, frozen=True, kw_only=True):
    """Looks at once, then whenever the log changes and every `PERIOD`, until it is cancelled.

    Process and key file are looked at every `PERIOD`. The models are asked for only when the log tells of something
    that may have changed them: each question leaves lines in that log, and an idle server stays silent.
    """

    name: ClassVar[str] = "monitor"
    lane: ClassVar[Lane] = "background"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> None:
        usage, workers, activity = ResourceUsage(), WorkerUsages(), LogActivity()
        seen: tuple[int, ...] | None = None
        sampled = -PERIOD
        while True:
            if not context.is_busy():
                before, seen = seen, _signature(context)
                has_news = activity.has_news(context)
                if seen != before or (_is_up(context) and has_news):
                    await _refresh(context)
                if _is_up(context) and time.monotonic() - sampled >= PERIOD:
                    sampled = time.monotonic()
                    await _sample_usage(context, usage, workers)
            await asyncio.sleep(PAUSE)
            await context.log_changes(PERIOD)


def _is_up(context: Context) -> bool:
    return context.state().server.state != "stopped"


async def _refresh(context: Context) -> None:
    def emit(event: Event) -> None:
        # A workflow that began meanwhile knows better.
        if not context.is_busy() and is_news(event, context.state()):
            context.emit(event)

    try:
        await check_status(msgspec.structs.replace(context, emit=emit))
    except AsteriaError as error:
        if isinstance(error, TargetError) and not _is_up(context):
            return  # a target that can't be used says so when an action needs it
        emit(ServerChanged(state="unwell", target=context.project.settings.server.target, reason=error.title))


async def _sample_usage(context: Context, usage: ResourceUsage, workers: WorkerUsages) -> None:
    """Whether it still lives, and what it uses; asks nothing of the server itself."""
    try:
        record = await context.target.find()
        vitals = await context.target.vitals(record) if record else None
        usage.sample(vitals, record)
    except AsteriaError:
        return  # the next question to the server says it better
    if context.is_busy():
        return
    event = usage.added(context.state().server) if record else ended(context)
    for one in (event, workers.sample(vitals, context.state().models)):
        if is_news(one, context.state()):
            context.emit(one)


class LogActivity:
    """Whether the log grew by something that may have changed the models, or was silent for long."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._asked_at = time.monotonic()

    def has_news(self, context: Context) -> bool:
        file = context.project.logs_dir / RECORDS_FILE
        try:
            size = file.stat().st_size
            if self._offset is None:
                self._offset = size  # the first look asks anyway
            elif size < self._offset:
                self._offset = 0
            with file.open("rb") as log:
                log.seek(max(self._offset, size - MAX_READ))
                new = log.read(MAX_READ)
            self._offset = size
        except OSError:
            self._offset, new = 0, b""
        now = time.monotonic()
        if any(word in new for word in TELLING) or now - self._asked_at > ASK_EVERY:
            self._asked_at = now
            return True
        return False


def is_news(event: Event, known: State) -> bool:
    """Whether the event says something that is not known; when it was seen is no news by itself."""
    if isinstance(event, ServerChanged):
        before = known.server
        if event.cpu_percent is None:
            event = msgspec.structs.replace(event, cpu_percent=before.cpu_percent)
        return msgspec.structs.replace(event, at=0.0) != msgspec.structs.replace(before, at=0.0)
    if isinstance(event, ModelsChanged):
        return event.models != known.models
    if isinstance(event, WorkersSampled):
        return {worker.pid: worker for worker in event.workers} != known.usage
    if isinstance(event, KeysChanged):
        # A key that the user had revealed stays so.
        return [(key.kind, key.expires_at) for key in event.keys] != [(key.kind, key.expires_at) for key in known.keys]
    return True


class ResourceUsage:
    """The share of one core that the server used between two looks."""

    def __init__(self) -> None:
        self._before: tuple[float, float, float] | None = None
        self._percent: float | None = None
        self._memory = 0

    def sample(self, vitals: Vitals | None, record: ServerRecord | None) -> None:
        if vitals is None or record is None:
            self._before = self._percent = None
            self._memory = 0
            return
        self._memory = vitals.memory_bytes
        now, used, started = time.monotonic(), vitals.cpu_seconds, record.started_at
        if self._before is not None and self._before[2] == started and now > self._before[0]:
            # A worker that ended takes its seconds with it.
            self._percent = round(max(0.0, used - self._before[1]) / (now - self._before[0]) * 100)
        else:
            self._percent = None
        self._before = (now, used, started)

    def added(self, server: ServerChanged) -> ServerChanged:
        return msgspec.structs.replace(
            server, at=time.time(), cpu_percent=self._percent, memory_bytes=self._memory or server.memory_bytes
        )


def _signature(context: Context) -> tuple[int, ...]:
    """Changes whenever somebody starts or stops a server of this project."""
    try:
        status = (server_dir(context.project) / STATE_FILE).stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_mtime_ns)
