"""One step of a workflow as the user sees it: started, progressing, and finished or failed exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from asteria_tui.archive.source_map import source_map
from asteria_tui.config import Project
from asteria_tui.errors import AsteriaError, ExitCode
from asteria_tui.events import Cause, Emit, Stage, StageFailed, StageFinished, StageProgressed, StageStarted, Step
from asteria_tui.logs.watch import LOOK_BACK, CauseWatch
from asteria_tui.process import uninterrupted
from asteria_tui.server.client import Client
from asteria_tui.server.keys import KeyRing
from asteria_tui.targets.record import ServerRecord
from asteria_tui.targets.target import Target

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
KEYS_LOCK = "keys.lock"
PROGRESS_EVERY = 0.1
"""Seconds between two facts about one long step."""


class Context(msgspec.Struct, frozen=True):
    """What every workflow works on."""

    project: Project
    target: Target
    emit: Emit

    def client(self, record: ServerRecord) -> Client:
        if record.settings.server.properties.get("disable_token_authorization") == "true":
            return Client(record.inference, record.management, None)
        lock_file = self.project.state_dir / KEYS_LOCK
        keys = KeyRing(self.target.read_key_file, written_after=record.started_at, lock_file=lock_file)
        return Client(record.inference, record.management, keys)


class ServerConnection(msgspec.Struct, frozen=True):
    """A running server that we talk to, and the causes in its log."""

    context: Context
    client: Client
    watch: CauseWatch


def open_watch(context: Context, look_back: int = LOOK_BACK) -> CauseWatch:
    """Of the current server's log, with the frames of unpacked archives led back to the project's own files."""
    return CauseWatch(context.project.logs_dir, lambda: source_map(context.project), look_back)


def with_cause(error: AsteriaError, cause: Cause) -> AsteriaError:
    """The same kind of error, told by its root in the log."""
    where = f"{cause.frame.file}:{cause.frame.line}" if cause.frame and cause.frame.is_project else ""
    told = type(error)(
        cause.headline, detail=error.title, hint=f"fix {where}, then run it again" if where else error.hint
    )
    told.cause = cause
    return told


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
        emit(failure(error, name, model, time.monotonic() - begun))
        error.is_reported = True
        raise
    except asyncio.CancelledError:
        emit(
            StageFailed(
                stage=name,
                model=model,
                title="interrupted",
                exit_code=ExitCode.INTERRUPTED,
                seconds=time.monotonic() - begun,
            )
        )
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


def failure(error: AsteriaError, name: Step, model: str | None = None, seconds: float = 0.0) -> StageFailed:
    return StageFailed(
        stage=name,
        model=model,
        title=error.title,
        detail=error.detail,
        hint=error.hint,
        exit_code=error.exit_code,
        seconds=seconds,
        cause=error.cause,
    )


async def in_thread(
    work: Callable[[Progress], Result], emit: Emit, name: Stage, model: str | None, text: str
) -> Result:
    """Blocking work that reports bytes; when we are interrupted it is stopped and waited for, so it can clean up."""
    stopped = threading.Event()
    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if stopped.is_set():
            raise asyncio.CancelledError
        if time.monotonic() - told >= PROGRESS_EVERY:
            told = time.monotonic()
            emit(StageProgressed(stage=name, model=model, text=text, done=done, total=total, unit="B"))

    thread = asyncio.ensure_future(asyncio.to_thread(work, progress))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stopped.set()
        await uninterrupted(asyncio.wait([thread]))
        raise
