"""What every operation is made of: its lane, the context that it runs in, and its stages."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec

from asteria_tui.archive.source_map import source_map
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import AsteriaError, ConfigError, ExitCode, ServerError
from asteria_tui.events import (
    Cause,
    Emit,
    Lane,
    Stage,
    StageFailed,
    StageFinished,
    StageProgressed,
    StageStarted,
    WarningRaised,
)
from asteria_tui.inference.payload import Payload
from asteria_tui.logs.watch import LOOK_BACK, CauseWatch
from asteria_tui.process import lock, uninterrupted
from asteria_tui.server.client import Client
from asteria_tui.server.keys import KeyRing
from asteria_tui.state import State
from asteria_tui.state_dir import open_file
from asteria_tui.targets.record import ServerRecord, make_state_dir
from asteria_tui.targets.target import Target

if TYPE_CHECKING:
    import httpx

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
LOCK_FILE = "lock"
KEYS_LOCK = "keys.lock"
MAX_PID_TEXT = 20
PROGRESS_EVERY = 0.1
"""Seconds between two facts about one long step."""


class Context(msgspec.Struct, frozen=True):
    """What an operation works on, and where its facts go."""

    project: Project
    target: Target
    emit: Emit
    """Stamps each event with the id of the operation; any thread may call it."""
    state: Callable[[], State] = State
    """What is known at this moment."""
    is_busy: Callable[[], bool] = bool
    """Whether a workflow runs, so that whoever polls keeps quiet."""
    log_changes: Callable[[float], Awaitable[object]] = asyncio.sleep
    """Returns when the server wrote to its log, or after so many seconds."""
    transport: httpx.AsyncBaseTransport | None = None
    """How the server is reached, if not by TCP."""

    def models(self, name: str | None) -> dict[str, ModelSettings]:
        """The named model, or all of the project; raises ConfigError."""
        if name is not None:
            return dict([self.project.model(name)])
        self.project.model()
        return dict(self.project.settings.models)

    async def running(self) -> ServerRecord:
        """The server of this project; raises ServerError where none runs."""
        record = await self.target.find()
        if record is None:
            raise ServerError("no server of this project is running", hint="`asteria-tui up` starts one")
        return record

    def client(self, record: ServerRecord) -> Client:
        if record.settings.server.properties.get("disable_token_authorization") == "true":
            return self.client_without_keys(record)
        lock_file = self.project.state_dir / KEYS_LOCK
        keys = KeyRing(
            self.target.read_key_file, written_after=record.started_at, lock_file=lock_file, was_open=record.was_open
        )
        return Client(record.inference, record.management, keys, self.transport)

    def client_without_keys(self, record: ServerRecord) -> Client:
        """For a server that runs without token authorization."""
        return Client(record.inference, record.management, None, self.transport)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a user can ask for: its parameters are its fields.

    An operation calls no Session and starts no other one; it composes the plain functions of others.
    """

    name: ClassVar[str]
    """The verb, as the command line and the screen call it."""
    lane: ClassVar[Lane] = "request"
    is_about_server: ClassVar[bool] = False
    """It needs what runs, not what asteria.toml says by now: broken settings do not keep it from being done."""

    async def run(self, context: Context) -> ExitCode | None:
        """Does it; results are events. Raises AsteriaError."""
        raise NotImplementedError

    def parameters(self) -> dict[str, str | int | bool | None]:
        """Its plain values, to be shown and kept; of a payload the name."""
        given: dict[str, str | int | bool | None] = {}
        for field, value in msgspec.structs.asdict(self).items():
            if isinstance(value, Payload):
                given[field] = value.name
            elif isinstance(value, PurePath):
                given[field] = str(value)
            elif value is None or isinstance(value, str | int | bool):
                given[field] = value
        return given


class ServerConnection(msgspec.Struct, frozen=True):
    """A running server that we talk to, and the causes in its log."""

    context: Context
    client: Client
    watch: CauseWatch


def open_watch(context: Context, look_back: int = LOOK_BACK) -> CauseWatch:
    """Of the current server's log, with the frames of unpacked archives led back to the project's own files."""
    return CauseWatch(context.project.logs_dir, lambda: source_map(context.project), look_back)


def with_cause(error: AsteriaError, cause: Cause) -> AsteriaError:
    """The same kind of error, reported by its root in the log."""
    where = f"{cause.frame.file}:{cause.frame.line}" if cause.frame and cause.frame.is_project else ""
    found = type(error)(
        cause.headline, detail=error.title, hint=f"fix {where}, then run it again" if where else error.hint
    )
    found.cause = cause
    return found


@contextlib.asynccontextmanager
async def locked(project: Project, emit: Emit) -> AsyncIterator[None]:
    """One workflow at a time on a project, in whichever process: the second waits, then finds the work done."""
    make_state_dir(project)
    try:
        opened = open_file(project.state_dir, LOCK_FILE)
    except OSError as error:
        raise ConfigError("the project cannot be locked", detail=error.strerror or str(error)) from error
    with opened as file:

        def waiting() -> None:
            file.seek(0)
            holder = file.read(MAX_PID_TEXT).decode(errors="replace").strip()
            emit(WarningRaised(text=f"waiting for another asteria-tui (pid {holder if holder.isdecimal() else '?'})"))

        await lock(file, waiting)
        with contextlib.suppress(OSError):  # a full disk: who waits does not learn for whom
            file.truncate(0)
            file.seek(0)  # whoever waited has read it
            file.write(str(os.getpid()).encode())
        yield


class StageReport:
    """What a stage says of itself when it ends well."""

    summary = ""
    unchanged = False


@contextlib.asynccontextmanager
async def stage(emit: Emit, name: Stage, model: str | None = None) -> AsyncIterator[StageReport]:
    """Emits StageStarted, then StageFinished or, for an error or an interruption, one StageFailed."""
    emit(StageStarted(stage=name, model=model))
    begun = time.monotonic()
    report = StageReport()
    try:
        yield report
    except AsteriaError as error:
        emit(
            StageFailed(
                stage=name,
                model=model,
                title=error.title,
                detail=error.detail,
                hint=error.hint,
                exit_code=error.exit_code,
                seconds=time.monotonic() - begun,
                cause=error.cause,
            )
        )
        raise
    except asyncio.CancelledError:
        seconds = time.monotonic() - begun
        emit(StageFailed(stage=name, model=model, title="interrupted", exit_code=ExitCode.INTERRUPTED, seconds=seconds))
        raise
    emit(
        StageFinished(
            stage=name,
            model=model,
            summary=report.summary,
            unchanged=report.unchanged,
            seconds=time.monotonic() - begun,
        )
    )


async def in_thread(
    work: Callable[[Progress], Result], emit: Emit, name: Stage, model: str | None, text: str
) -> Result:
    """Blocking work that reports bytes; when we are interrupted it is stopped and waited for, so it can clean up."""
    stopped = threading.Event()
    reported = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal reported
        if stopped.is_set():
            raise asyncio.CancelledError
        if time.monotonic() - reported >= PROGRESS_EVERY:
            reported = time.monotonic()
            emit(StageProgressed(stage=name, model=model, text=text, done=done, total=total, unit="B"))

    thread = asyncio.ensure_future(asyncio.to_thread(work, progress))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stopped.set()
        await uninterrupted(asyncio.wait([thread]))
        raise
