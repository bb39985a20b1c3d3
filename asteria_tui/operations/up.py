"""`up`: from sources to a first prediction, doing only what is not right already."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from asteria_tui.archive import kept
from asteria_tui.config import Archiver, ModelSettings
from asteria_tui.errors import AsteriaError, ServerError
from asteria_tui.events import Lane, Model, ModelsChanged
from asteria_tui.operations.base import Context, Operation, ServerConnection, open_watch, stage
from asteria_tui.operations.down import end_server
from asteria_tui.operations.drain import versions_of
from asteria_tui.operations.keys import show_keys
from asteria_tui.operations.ownership import end_dev, forget_dev
from asteria_tui.operations.package import package
from asteria_tui.operations.predict import smoke_test
from asteria_tui.operations.ready import wait_ready, with_oom_reason
from asteria_tui.operations.replace import Replacement, end_retries, keep, load, remember, unload
from asteria_tui.operations.start import Started, start_again, start_server
from asteria_tui.process import uninterrupted
from asteria_tui.targets.record import LoadedModel, ServerRecord, load_record
from asteria_tui.targets.server_config import ServedModel
from asteria_tui.wording import workers


class Up(Operation, frozen=True, kw_only=True):
    """Everything up to a first prediction, for one model of the project or for all."""

    name: ClassVar[str] = "up"
    lane: ClassVar[Lane] = "workflow"
    model: str | None = None
    archiver: Archiver = "own"

    async def run(self, context: Context) -> None:
        await up(context, context.models(self.model), self.archiver)


async def up(
    context: Context, models: dict[str, ModelSettings], archiver: Archiver = "own", *, anew: bool = False
) -> None:
    """Package, store, start, ready, keys, predict; each stage raises its own errors.

    A server that this call started and that did not become ready, for whatever reason, is stopped again, and one
    whose place it took is started again. `anew`: a new server in any case.
    """
    end_dev(context)
    served = await package(context, models, archiver)
    started = await start_server(context, served, anew=anew)
    reason = "of a bug in asteria-tui"
    try:
        failures = await _smoke_tested(context, started, served)
        reason = ""
    except (AsteriaError, asyncio.CancelledError) as error:
        reason = str(error) or "interrupted"
        raise
    finally:
        if started.is_new and reason:
            await _take_back(context, started, reason)
    if failures:
        first = failures[0][1]
        if started.before is not None and any(started.before.is_good(context.project, name) for name, _ in failures):
            await _take_back(context, started, first.title)
        raise first
    record = load_record(context.project)
    forget_dev(context, record)
    kept.forget_others(context.project, {*context.project.settings.models, *(record.models if record else ())})


async def _take_back(context: Context, started: Started, reason: str) -> None:
    await end_server(context)
    if started.before is not None:
        await start_again(context, started.before, reason)


async def _smoke_tested(
    context: Context, started: Started, models: list[ServedModel]
) -> list[tuple[str, AsteriaError]]:
    """The stages ready, keys and predict; returns what failed, and raises it when no model is ready at all."""
    failures: list[tuple[str, AsteriaError]] = []
    async with context.client(started.record) as client:
        # The log of a server that runs on tells of failures that were fixed long ago.
        watch = open_watch(context) if started.is_new else open_watch(context, look_back=0)
        server = ServerConnection(context, client, watch)
        if not started.is_new and {model.name for model in models} == context.project.settings.models.keys():
            await _unload_removed(server, started.record)
        ready: dict[str, tuple[ServedModel, Replacement | None]] = {}
        try:
            for model in models:
                try:
                    ready[model.name] = (model, await _ready(server, model, is_new=started.is_new))
                except AsteriaError as error:
                    failures.append((model.name, error))
            if not ready and failures:
                raise failures[0][1]
            async with stage(context.emit, "keys") as report:
                report.summary = await show_keys(context, client)
            context.emit(ModelsChanged(models=tuple(await client.models())))
            for name in tuple(ready):
                model, replacement = ready.pop(name)
                try:
                    await _predict(server, model, replacement)
                except AsteriaError as error:
                    failures.append((name, error))
        except (AsteriaError, asyncio.CancelledError):
            await uninterrupted(_reject([replacement for _, replacement in ready.values() if replacement]))
            raise
    return failures


async def _reject(replacements: list[Replacement]) -> None:
    for replacement in replacements:
        await replacement.reject()


async def _predict(server: ServerConnection, model: ServedModel, replacement: Replacement | None) -> None:
    if replacement is None:
        await smoke_test(server, model.name, model.settings)
        await keep(server.context, model)
    else:
        await replacement.smoke_test()
        await replacement.accept()


async def _ready(server: ServerConnection, model: ServedModel, *, is_new: bool) -> Replacement | None:
    async with stage(server.context.emit, "ready", model.name) as report:
        record = await server.context.target.find()
        if record is None:
            raise ServerError("the server ended", detail=server.context.target.describe_end())
        replacement = None
        if is_new:
            found: Model | None = await _first_ready(server, model, record.started_at)
        else:
            found = await _served(server, record, model)
            report.unchanged = found is not None
            if found is None:
                replacement = await load(server, model)
                found = replacement.found
        report.summary = workers(found.ready_workers, found.min_workers) if found else ""
        return replacement


async def _first_ready(server: ServerConnection, model: ServedModel, begun: float) -> Model:
    """Of a server that has just been started with it."""
    try:
        return await wait_ready(server, model.name, model.version, begun, model.settings.startup_timeout)
    except ServerError as error:
        # TorchServe would start a broken worker again for five minutes (docs/torchserve.md section 6).
        await end_retries(server, model)
        explained = await with_oom_reason(server, error, begun)
        if explained is error:
            raise
        raise explained from error


async def _served(server: ServerConnection, record: ServerRecord, model: ServedModel) -> Model | None:
    """The model, if the very archive is loaded, served as wanted, and ready."""
    if record.models.get(model.name) != LoadedModel.of(model):
        return None
    found = await versions_of(server, model.name)
    return next((one for one in found if one.is_ready and one.version == model.version), None)


async def _unload_removed(server: ServerConnection, record: ServerRecord) -> None:
    """What was loaded for a model that is no longer in the project goes."""
    for name in record.models.keys() - server.context.project.settings.models.keys():
        await unload(server, name)
        remember(server.context, name, None)
