"""What runs and is it well: our own health, from the process, describe and the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from asteria_tui.errors import AsteriaError, ExitCode
from asteria_tui.events import Cause, Model, ModelsChanged, ServerChanged, WarningRaised, Worker
from asteria_tui.operations.base import Context, Operation, open_watch
from asteria_tui.operations.keys import show_keys
from asteria_tui.server.client import Client
from asteria_tui.targets.record import ServerRecord, damage
from asteria_tui.targets.target import LostServerError


class Status(Operation, frozen=True, kw_only=True):
    """UNWELL when the server does not run or a model is not ready."""

    name: ClassVar[str] = "status"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> ExitCode:
        warn_of_damage(context)
        return await check_status(context)


async def check_status(context: Context) -> ExitCode:
    """Emits server, models and keys as they are now; UNWELL when it does not run or a model is not ready."""
    try:
        record = await context.target.find()
    except LostServerError as error:
        target = context.project.settings.server.target
        context.emit(ServerChanged(state="unwell", target=target, pid=error.pid, reason=error.title))
        return ExitCode.UNWELL
    if record is None:
        context.emit(ended(context))
        return ExitCode.UNWELL
    vitals = await context.target.vitals(record)
    server = server_running(record)
    if vitals is not None:
        server = msgspec.structs.replace(
            server,
            memory_bytes=vitals.memory_bytes,
            restarts=vitals.restarts,
            out_of_memory=vitals.out_of_memory_at is not None,
        )
    async with context.client(record) as client:
        try:
            models = await show_models(context, client, record)
            await show_keys(context, client)
        except AsteriaError as error:
            context.emit(msgspec.structs.replace(server, state="unwell", reason=error.title))
            return ExitCode.UNWELL
    reason = not_ready(models, record.models)
    context.emit(msgspec.structs.replace(server, state="unwell" if reason else "running", reason=reason))
    return ExitCode.UNWELL if reason else ExitCode.DONE


def warn_of_damage(context: Context) -> None:
    why = damage(context.project)
    if why:
        context.emit(WarningRaised(text=why))


def server_running(record: ServerRecord) -> ServerChanged:
    return ServerChanged(
        state="running",
        target=record.target,
        pid=record.process.pid if record.process else None,
        container=record.container or "",
        started_at=record.started_at,
        inference=record.inference,
        management=record.management,
        metrics=record.metrics,
    )


def ended(context: Context) -> ServerChanged:
    """That nothing runs, and why, where there was something that nobody stopped."""
    end = context.target.ended()
    if end is None:
        return ServerChanged(state="stopped")
    return ServerChanged(state="stopped", reason=end.reason, exit_code=end.exit_code, out_of_memory=end.out_of_memory)


async def show_models(context: Context, client: Client, record: ServerRecord) -> list[Model]:
    """Emits the registered models with what only we know: the archive's hash, and why a worker is not ready."""
    models = await client.models()
    if any(not worker.is_ready for model in models for worker in model.workers):
        causes = open_watch(context).rows()
        models = [_explained(model, causes) for model in models]
    models = [_hashed(model, record) for model in models]
    context.emit(ModelsChanged(models=tuple(models)))
    return models


def not_ready(models: list[Model], wanted: Iterable[str]) -> str:
    """Why the server as a whole is not ready, in one line; empty when it is."""
    if not models:
        return "no model is registered"
    missing = set(wanted) - {model.name for model in models}
    if missing:
        return f"{', '.join(sorted(missing))}: not served; `asteria-tui logs --tracebacks` shows why"
    for model in models:
        if not model.is_ready:
            cause = next((worker.cause for worker in model.workers if worker.cause), None)
            return f"{model.name}: {cause.headline if cause else 'no worker is ready'}"
    return ""


def _explained(model: Model, causes: list[Cause]) -> Model:
    def explain(worker: Worker) -> Worker:
        if worker.is_ready:
            return worker
        cause = next((cause for cause in reversed(causes) if f"W-{worker.id}" in cause.workers), None)
        return msgspec.structs.replace(worker, cause=cause)

    return msgspec.structs.replace(model, workers=tuple(explain(worker) for worker in model.workers))


def _hashed(model: Model, record: ServerRecord) -> Model:
    loaded = record.models.get(model.name)
    if loaded is None or loaded.version != model.version:
        return model
    return msgspec.structs.replace(model, sha256=loaded.sha256, is_dev=loaded.is_dev)
