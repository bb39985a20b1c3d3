"""The stage `start`: the running server goes on, or a new one takes its place; the old one again when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

import msgspec

from asteria_tui.archive import kept
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import ArchiveError, AsteriaError
from asteria_tui.events import ModelsChanged, ServerChanged, StageProgressed, WarningRaised
from asteria_tui.operations import drain
from asteria_tui.operations.base import Context, ServerConnection, open_watch, stage
from asteria_tui.operations.checks import Plan, require
from asteria_tui.operations.ready import wait_ready
from asteria_tui.operations.replace import lent, settings_of
from asteria_tui.operations.status import server_running, warn_of_damage
from asteria_tui.targets.record import ServerRecord, adopt_record, load_record, save_record
from asteria_tui.targets.registry import open_target
from asteria_tui.targets.server_config import ServedModel
from asteria_tui.targets.target import LostServerError, Target

ANSWER_WITHIN = 30.0
"""Seconds after which a server whose process lives is given up when it has answered nothing."""
ASK_AGAIN_AFTER = 0.5


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The server that runs after the stage."""

    record: ServerRecord
    is_new: bool
    before: Former | None = None
    """The one whose place it took."""


class Former(msgspec.Struct, frozen=True, kw_only=True):
    """A server that runs, or did until a new one took its place."""

    target: Target
    record: ServerRecord

    def is_good(self, project: Project, name: str) -> bool:
        """Whether it served an archive of that model that had passed its smoke test."""
        loaded = self.record.models.get(name)
        return loaded is not None and kept.is_kept(project, name, loaded.sha256)


async def start_server(context: Context, models: Sequence[ServedModel], *, anew: bool = False) -> Started:
    """The running server of this project, or a new one; `anew`: a new one in any case."""
    async with stage(context.emit, "start") as report:
        warn_of_damage(context)
        former = await _running(context)
        if former is not None and not anew and await _serves_on(context, former):
            report.unchanged = True
            record = former.record
            adopt_record(context.project, record)
        else:
            # What dev serves is neither checked nor unpacked.
            settings = {model.name: model.settings for model in models if not model.is_dev}
            running = former.record if former else None
            await require(Plan(context=context, models=settings, running=running), "start")
            if former is not None:
                where = f" on {former.record.target}" if former.target is not context.target else ""
                reason = "" if anew or where else " to apply changed settings"
                context.emit(StageProgressed(stage="start", text=f"stopping the server{where}{reason}"))
            record = await _replaced(context, former, models)
        report.summary = record.inference
        context.emit(server_running(record))
        return Started(record=record, is_new=not report.unchanged, before=None if report.unchanged else former)


async def start_again(context: Context, former: Former, reason: str) -> None:
    """The server of before with the settings and archives of before, unless it runs still; says which."""
    if await former.target.find() is not None:
        return
    text = f"the server is started again with its previous settings, because {reason}"
    context.emit(StageProgressed(stage="start", text=text))
    try:
        await _start_former(context, former)
    except AsteriaError as error:
        context.emit(WarningRaised(text=f"the previous server does not start again either: {error.title}"))
        return
    context.emit(WarningRaised(text=f"the previous server was started again, with its own settings: {reason}"))


async def _running(context: Context) -> Former | None:
    """The server of this project, also on another target: it has one, and choosing another target moves it."""
    record = load_record(context.project)
    if record is not None and record.target != context.project.settings.server.target:
        target = open_target(context.project, record.target)
    else:
        target = context.target
    try:
        found = await target.find()
    except LostServerError as error:  # nobody can talk to it any more
        await context.target.preflight()
        context.emit(WarningRaised(text=f"{error.title}: it is ended, and a new one started"))
        await target.stop(context.emit)
        return None
    if found is None and target is not context.target:
        await target.stop(context.emit)  # it ended by itself, and left what it leaves
    return Former(target=target, record=found) if found is not None else None


async def _serves_on(context: Context, former: Former) -> bool:
    """Whether a running server can be kept: same target, same settings, and it answers; a busy one may take a while."""
    if former.target is not context.target or former.record.fingerprint != context.target.fingerprint():
        return False
    end = time.monotonic() + ANSWER_WITHIN
    while True:
        try:
            async with context.client(former.record) as client:
                await client.models()
        except AsteriaError:
            if time.monotonic() >= end or await former.target.find() is None:
                return False
        else:
            return True
        context.emit(StageProgressed(stage="start", text="waiting for the running server to answer"))
        await asyncio.sleep(ASK_AGAIN_AFTER)


async def _replaced(context: Context, former: Former | None, models: Sequence[ServedModel]) -> ServerRecord:
    """A new server; the target stops the one of before when everything that the new one needs is there."""
    try:
        if former is not None:
            await context.target.prepare(models, former.record.ports, context.emit)
            await _drained(context, former)
        if former is not None and former.target is not context.target:
            await former.target.stop(context.emit)
        return await context.target.start(models, context.emit)
    except AsteriaError as error:
        if former is not None:
            await start_again(context, former, error.title)
        raise
    except asyncio.CancelledError:
        if former is not None:
            await start_again(context, former, "interrupted")
        raise


async def _drained(context: Context, former: Former) -> None:
    """Requests in flight are answered before the server goes, for a bounded time; an unwell one is not waited for."""
    there = msgspec.structs.replace(context, target=former.target)
    with contextlib.suppress(AsteriaError, TimeoutError):
        async with asyncio.timeout(drain.MAX_DRAIN + 1), context.client(former.record) as client:
            server = ServerConnection(there, client, open_watch(there))
            versions: dict[str, list[str]] = {}
            for model in await client.models():
                versions.setdefault(model.name, []).append(model.version)
            async with asyncio.TaskGroup() as group:
                for name, served in versions.items():
                    group.create_task(_drained_model(server, name, served))


async def _drained_model(server: ServerConnection, name: str, versions: list[str]) -> None:
    with contextlib.suppress(AsteriaError):
        await drain.drain(server, name, versions, "start", takes_new=True, hint="")


async def _start_former(context: Context, former: Former) -> None:
    """At the same addresses; raises AsteriaError. What an archive of before can't be had for is not served."""
    before = former.record
    ports = {f"{name}_port": port for name, port in before.ports.items().items()}
    settings = msgspec.structs.replace(before.settings, server=msgspec.structs.replace(before.settings.server, **ports))
    project = Project(root=context.project.root, settings=settings)
    target = open_target(project, before.target)
    begun = time.time()
    models = []
    async with contextlib.AsyncExitStack() as stack:
        for name, loaded in before.models.items():
            # A model of asteria.toml that was added while the server ran is not in the settings of its start.
            known = before.settings.models.get(name) or context.project.settings.models.get(name, ModelSettings())
            served_with = settings_of(loaded, known)
            try:
                file = await stack.enter_async_context(lent(project, name, loaded))
            except ArchiveError as error:
                context.emit(WarningRaised(text=error.title))
                continue
            models.append(
                ServedModel(name=name, version=loaded.version, file=file, sha256=loaded.sha256, settings=served_with)
            )
        try:
            record = await target.start(models, context.emit)
        except (AsteriaError, asyncio.CancelledError):
            context.emit(ServerChanged(state="stopped"))
            raise
    # Archives are read when they are registered, which is before the ports open (docs/torchserve.md section 6).
    record = msgspec.structs.replace(
        record,
        fingerprint=before.fingerprint,
        settings=before.settings,
        models={model.name: before.models[model.name] for model in models},
    )
    save_record(project, record)
    context.emit(server_running(record))
    there = msgspec.structs.replace(context, project=project, target=target)
    async with there.client(record) as client:
        server = ServerConnection(there, client, open_watch(there))
        for model in models:
            try:
                await wait_ready(server, model.name, model.version, begun, model.settings.startup_timeout)
            except AsteriaError as error:
                context.emit(WarningRaised(text=f"{model.name} of the previous server is not ready: {error.title}"))
        with contextlib.suppress(AsteriaError):
            context.emit(ModelsChanged(models=tuple(await client.models())))
