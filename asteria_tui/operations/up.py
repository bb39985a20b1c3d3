"""`up`: from sources to a first prediction, doing only what is not right already."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from asteria_tui.config import Archiver, ModelSettings
from asteria_tui.errors import AsteriaError, ServerError
from asteria_tui.events import Lane, Model, ModelsChanged, StageProgressed, WarningRaised
from asteria_tui.operations.base import Context, Operation, ServerConnection, open_watch, stage
from asteria_tui.operations.down import end_server
from asteria_tui.operations.keys import show_keys
from asteria_tui.operations.package import package
from asteria_tui.operations.predict import smoke_test
from asteria_tui.operations.ready import wait_ready, with_log_cause, with_oom_reason
from asteria_tui.operations.status import server_running, warn_of_damage
from asteria_tui.targets.record import LoadedModel, ServerRecord, adopt_record, load_record, save_record, with_model
from asteria_tui.targets.registry import open_target
from asteria_tui.targets.server_config import ServedModel
from asteria_tui.targets.target import LostServerError
from asteria_tui.wording import plural


class Up(Operation, frozen=True, kw_only=True):
    """Everything up to a first prediction, for one model of the project or for all."""

    name: ClassVar[str] = "up"
    lane: ClassVar[Lane] = "workflow"
    model: str | None = None
    archiver: Archiver = "own"

    async def run(self, context: Context) -> None:
        await up(context, context.models(self.model), self.archiver)


async def up(context: Context, models: dict[str, ModelSettings], archiver: Archiver = "own") -> None:
    """Package, store, start, ready, keys, predict; each stage raises its own errors.

    A server that this call started and that did not become ready, or whose start was interrupted, is stopped again.
    """
    served = await package(context, models, archiver)
    record, is_new = await _started(context, served)
    is_all = models.keys() == context.project.settings.models.keys()
    try:
        failures = await _smoke_tested(context, record, served, is_new=is_new, is_all=is_all)
    except (AsteriaError, asyncio.CancelledError):
        if is_new:
            await end_server(context)
        raise
    if failures:
        raise failures[0]


async def _started(context: Context, models: Sequence[ServedModel]) -> tuple[ServerRecord, bool]:
    """The running server of this project, or a new one."""
    async with stage(context.emit, "start") as report:
        warn_of_damage(context)
        await _end_elsewhere(context)
        record = await _found(context)
        if record is not None and await _serves_on(context, record):
            adopt_record(context.project, record)
            report.unchanged = True
        else:
            if record is not None:
                # What can't be started again is not stopped.
                await context.target.preflight()
                context.emit(StageProgressed(stage="start", text="stopping the server to apply changed settings"))
                await context.target.stop(context.emit)
            record = await context.target.start(models, context.emit)
        report.summary = record.inference
        context.emit(server_running(record))
        return record, not report.unchanged


async def _found(context: Context) -> ServerRecord | None:
    """The server of this project; one that nobody can talk to any more is ended."""
    try:
        return await context.target.find()
    except LostServerError as error:
        await context.target.preflight()
        context.emit(WarningRaised(text=f"{error.title}: it is ended, and a new one started"))
        await context.target.stop(context.emit)
        return None


async def _end_elsewhere(context: Context) -> None:
    """A project has one server: choosing another target moves it."""
    record = load_record(context.project)
    if record is not None and record.target != context.project.settings.server.target:
        context.emit(StageProgressed(stage="start", text=f"stopping the server on {record.target}"))
        await open_target(context.project, record.target).stop(context.emit)


async def _serves_on(context: Context, record: ServerRecord) -> bool:
    """Whether a running server can be kept: same settings, and it answers."""
    if record.fingerprint != context.target.fingerprint():
        return False
    try:
        async with context.client(record) as client:
            await client.models()
    except AsteriaError:
        return False
    return True


async def _smoke_tested(
    context: Context, record: ServerRecord, models: list[ServedModel], *, is_new: bool, is_all: bool
) -> list[AsteriaError]:
    """The stages ready, keys and predict; returns what failed, and raises it when no model is ready at all."""
    failures: list[AsteriaError] = []
    async with context.client(record) as client:
        # The log of a server that runs on tells of failures that were fixed long ago.
        server = ServerConnection(context, client, open_watch(context) if is_new else open_watch(context, look_back=0))
        if is_all and not is_new:
            await _unload_removed(server, record)
        ready = []
        for model in models:
            try:
                await _ready(server, model, is_new=is_new)
                ready.append(model)
            except AsteriaError as error:
                failures.append(error)
        if not ready and failures:
            raise failures[0]
        async with stage(context.emit, "keys") as report:
            report.summary = await show_keys(context, client)
        context.emit(ModelsChanged(models=tuple(await client.models())))
        for model in ready:
            try:
                await smoke_test(server, model.name, model.settings)
            except AsteriaError as error:
                failures.append(error)
    return failures


async def _ready(server: ServerConnection, model: ServedModel, *, is_new: bool) -> None:
    async with stage(server.context.emit, "ready", model.name) as report:
        record = await server.context.target.find()
        if record is None:
            raise ServerError("the server ended", detail=server.context.target.describe_end())
        begun = record.started_at if is_new else time.time()
        found = None if is_new else await _served(server, record, model)
        report.unchanged = found is not None
        if found is None and not is_new:
            await _load(server, record, model)
        try:
            found = found or await wait_ready(server, model.name, model.version, begun, model.settings.startup_timeout)
        except ServerError as error:
            await _end_retries(server, model)
            explained = await with_oom_reason(server, error, begun)
            if explained is error:
                raise
            raise explained from error
        report.summary = plural(found.ready_workers, "worker")


async def _served(server: ServerConnection, record: ServerRecord, model: ServedModel) -> Model | None:
    """The model, if the very archive is loaded, served as wanted, and ready."""
    if record.models.get(model.name) != LoadedModel.of(model):
        return None
    found = await _versions(server, model.name)
    return next((one for one in found if one.is_ready and one.version == model.version), None)


async def _unload_removed(server: ServerConnection, record: ServerRecord) -> None:
    """What was loaded for a model that is no longer in the project goes."""
    for name in record.models.keys() - server.context.project.settings.models.keys():
        await _unload(server, name)
        record = with_model(record, name, None)
        save_record(server.context.project, record)


async def _unload(server: ServerConnection, name: str) -> None:
    """Every version; the default one can only be removed last (docs/torchserve.md section 2)."""
    versions = await _versions(server, name)
    if versions:
        default = await server.client.default_version(name)
        for found in sorted(versions, key=lambda found: found.version == default):
            await server.client.unregister(name, found.version)


async def _load(server: ServerConnection, record: ServerRecord, model: ServedModel) -> None:
    """Registers an archive in place of what is loaded under its name; raises ServerError with its cause."""
    begun = time.time()
    await _unload(server, model.name)
    project = server.context.project
    # Wanted and not there: `status` says so until it is.
    save_record(project, with_model(record, model.name, msgspec.structs.replace(LoadedModel.of(model), sha256="")))
    try:
        await server.client.register(
            model.file, model.name, model.register_parameters, model.settings.startup_timeout + 30.0
        )
    except ServerError as error:
        await _end_retries(server, model)
        raise await with_log_cause(server, error, model.name, begun, "load", "start") from error
    save_record(project, with_model(record, model.name, LoadedModel.of(model)))


async def _versions(server: ServerConnection, name: str) -> list[Model]:
    with contextlib.suppress(ServerError):
        return await server.client.describe(name)
    return []


async def _end_retries(server: ServerConnection, model: ServedModel) -> None:
    """TorchServe would start a broken worker again for five minutes (docs/torchserve.md section 6)."""
    with contextlib.suppress(AsteriaError):
        await server.client.unregister(model.name, model.version)
