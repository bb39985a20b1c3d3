"""`stores`: the chain from the sources to what the server has loaded, and the copies that fix it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from asteria_tui.archive.stores import PlaceFound, StoreLink, chain, compare, source_link
from asteria_tui.config import ModelSettings
from asteria_tui.errors import ArchiveError, AsteriaError, ExitCode
from asteria_tui.events import ChainLink, Lane, StageProgressed, StoresCompared
from asteria_tui.operations.base import Context, Operation, ServerConnection, open_watch, stage
from asteria_tui.operations.package import clean_stores, fill_mirrors
from asteria_tui.operations.replace import replace_model
from asteria_tui.targets.record import ServerRecord
from asteria_tui.targets.server_config import ServedModel
from asteria_tui.targets.target import ContainerStore, HasStore, StoredArchive


class Stores(Operation, frozen=True, kw_only=True):
    """The chain of one model or all, compared."""

    name: ClassVar[str] = "stores"
    model: str | None = None

    async def run(self, context: Context) -> ExitCode:
        return await compare_stores(context, context.models(self.model))


class SyncStores(Operation, frozen=True, kw_only=True):
    """The same, with the primary store's archives copied to wherever they differ."""

    name: ClassVar[str] = "stores --sync"
    lane: ClassVar[Lane] = "workflow"
    model: str | None = None

    async def run(self, context: Context) -> ExitCode:
        return await sync_stores(context, context.models(self.model))


async def compare_stores(context: Context, models: dict[str, ModelSettings]) -> ExitCode:
    """Emits the chain of each model; FAILED when a link is broken, as `cmp` says it."""
    record = await context.target.find()
    target = context.target
    inside = await target.container_store() if isinstance(target, HasStore) else None
    links: list[ChainLink] = []
    for name, settings in models.items():
        places = await asyncio.to_thread(_places, context, name, settings)
        if inside is not None:
            found = inside.archives.get(f"{name}.mar")
            places.append(("container", f"{inside.container}:{inside.directory}/{name}.mar", _link(found)))
        # What dev serves is the source itself.
        if record is not None and not (name in record.models and record.models[name].is_dev):
            places.append(("server", record.inference, await _loaded(context, record, name)))
        links += chain(name, places, copies_in=inside is not None and not inside.is_mount)
    compared = StoresCompared(links=tuple(links))
    context.emit(compared)
    return ExitCode.FAILED if compared.first_broken else ExitCode.DONE


def _places(context: Context, name: str, settings: ModelSettings) -> list[PlaceFound]:
    """On this machine's disk: hashing, so in a thread."""
    project = context.project
    primary = project.primary_store / f"{name}.mar"
    mirrors = [project.path(mirror) / primary.name for mirror in project.settings.stores.mirrors]
    in_primary, *in_mirrors = compare([primary, *mirrors])
    return [
        ("source", *source_link(project, name, settings, in_primary)),
        ("primary", project.relative(primary), in_primary),
        *(("mirror", project.relative(link.path), link) for link in in_mirrors),
    ]


def _link(found: StoredArchive | None) -> StoreLink:
    if found is None:
        return StoreLink(path=Path(), exists=False)
    return StoreLink(path=Path(), exists=True, sha256=found.sha256, modified_at=found.modified_at)


async def _loaded(context: Context, record: ServerRecord, name: str) -> StoreLink:
    """What the server has under that name; only what we had it load has a hash that we know."""
    loaded = record.models.get(name)
    async with context.client(record) as client:
        try:
            found = await client.describe(name)
        except AsteriaError:
            found = []
    is_there = loaded is not None and any(model.version == loaded.version for model in found)
    return StoreLink(path=Path(), exists=bool(found), sha256=loaded.sha256 if loaded and is_there else None)


async def sync_stores(context: Context, models: dict[str, ModelSettings]) -> ExitCode:
    """Copies the primary store's archives to wherever they differ and has a hand-filled container load them."""
    clean_stores(context)
    served = [await asyncio.to_thread(_stored, context, name, settings) for name, settings in models.items()]
    await fill_mirrors(context, served)
    if isinstance(context.target, HasStore):
        await _fill_container(context, context.target, served)
    return await compare_stores(context, models)


def _stored(context: Context, name: str, settings: ModelSettings) -> ServedModel:
    [found] = compare([context.project.primary_store / f"{name}.mar"])
    if found.sha256 is None:
        raise ArchiveError(f"no archive at {found.path}", hint="`asteria-tui package` builds it")
    return ServedModel(
        name=name, version=settings.version, file=found.path.name, sha256=found.sha256, settings=settings
    )


async def _fill_container(context: Context, target: HasStore, models: Sequence[ServedModel]) -> None:
    """Whoever owns a mounted directory fills it, so only a store of the container's own gets copies."""
    inside = await target.container_store()
    if inside is not None and not inside.is_mount:
        for model in models:
            await _put(context, target, inside, model)


async def _put(context: Context, target: HasStore, inside: ContainerStore, model: ServedModel) -> None:
    found = inside.archives.get(model.file)
    async with stage(context.emit, "store", model.name) as report:
        report.summary = f"{inside.container}:{inside.directory}/{model.file}"
        if found is not None and found.sha256 == model.sha256:
            report.unchanged = True
            return
        context.emit(StageProgressed(stage="store", model=model.name, text=report.summary))
        record = await target.put_archive(context.project.primary_store / model.file)
        if record is None:
            report.summary += ", not registered: its ports are not published"
            return
    keys = await context.target.read_key_file()
    async with context.client(record) if keys else context.client_without_keys(record) as client:
        # Whoever started it by hand has neither our record nor our log.
        server = ServerConnection(context, client, open_watch(context, look_back=0))
        await replace_model(server, model, is_recorded=False)
