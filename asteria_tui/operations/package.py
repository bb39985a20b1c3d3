"""The stages `package` and `store`: from sources to equal archives in every store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from asteria_tui import wording
from asteria_tui.archive.build import build
from asteria_tui.archive.files import remove_abandoned, sha256_of
from asteria_tui.archive.inspect import inspect
from asteria_tui.archive.official import build_official
from asteria_tui.archive.sources import collect
from asteria_tui.archive.stores import copy
from asteria_tui.config import Archiver, ModelSettings
from asteria_tui.errors import ArchiveError
from asteria_tui.events import ArchiveBuilt, Lane, WarningRaised
from asteria_tui.operations.base import Context, Operation, Progress, in_thread, stage
from asteria_tui.operations.checks import Plan, ready_archive, require
from asteria_tui.targets.server_config import ServedModel


class Package(Operation, frozen=True, kw_only=True):
    """The archives of one model or all, in the primary store and every mirror."""

    name: ClassVar[str] = "package"
    lane: ClassVar[Lane] = "workflow"
    model: str | None = None
    archiver: Archiver = "own"

    async def run(self, context: Context) -> None:
        await package(context, context.models(self.model), self.archiver)


async def package(context: Context, models: dict[str, ModelSettings], archiver: Archiver = "own") -> list[ServedModel]:
    """Builds each model's archive into the primary store and copies it to every mirror; raises ArchiveError."""
    store = context.project.primary_store
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiveError(f"cannot make the store {store}", detail=error.strerror or str(error)) from error
    clean_stores(context)
    packaged = [await _package_one(context, name, settings, archiver) for name, settings in models.items()]
    if packaged:
        await fill_mirrors(context, packaged)
    return packaged


async def _package_one(context: Context, name: str, settings: ModelSettings, archiver: Archiver) -> ServedModel:
    target = context.project.primary_store / f"{name}.mar"
    async with stage(context.emit, "package", name) as report:
        await require(Plan(context=context, models={name: settings}), "package")
        if settings.archive is not None:
            packaged = await _take_ready(context, name, settings, target)
            report.summary = f"{settings.archive}, {wording.size(target.stat().st_size)}"
            return packaged
        sources = await asyncio.to_thread(collect, context.project, name, settings)
        if archiver == "official":
            built = await in_thread(
                lambda _: build_official(context.project, name, settings, target),
                context.emit,
                "package",
                name,
                target.name,
            )
        else:
            built = await in_thread(
                lambda progress: build(sources, target, progress), context.emit, "package", name, target.name
            )
        if settings.requirements_file and not _installs_requirements(context):
            context.emit(
                WarningRaised(
                    text=f"TorchServe ignores {settings.requirements_file} of {name}",
                    hint='install_py_dep_per_model = "true" under [server.properties] makes it install them',
                )
            )
        report.unchanged = not built.changed
        report.summary = f"{name} {settings.version}, {wording.size(built.size)}"
        context.emit(
            ArchiveBuilt(
                model=name,
                path=str(target),
                sha256=built.sha256,
                size=built.size,
                members=built.members,
                changed=built.changed,
            )
        )
        return ServedModel(
            name=name, version=settings.version, file=target.name, sha256=built.sha256, settings=settings
        )


async def _take_ready(context: Context, name: str, settings: ModelSettings, target: Path) -> ServedModel:
    """A ready-made archive, copied into the store unless it is there already."""
    source = ready_archive(context.project, name, settings)
    report = await asyncio.to_thread(inspect, source)
    if report.model_name is None:
        raise ArchiveError(f"{source} holds no model", detail="; ".join(report.warnings))

    def take(progress: Progress) -> str:
        if target.exists() and (target.samefile(source) or sha256_of(target) == report.sha256):
            return report.sha256
        return copy(source, target, progress)

    sha256 = await in_thread(take, context.emit, "package", name, target.name)
    return ServedModel(name=name, version=report.version or "1.0", file=target.name, sha256=sha256, settings=settings)


async def fill_mirrors(context: Context, packaged: list[ServedModel]) -> None:
    """Copies to each mirror what is not equal there."""
    mirrors = _mirrors(context)
    async with stage(context.emit, "store") as report:
        copied = 0
        for mirror in mirrors:
            for model in packaged:
                source = context.project.primary_store / model.file
                target = mirror / model.file
                if await asyncio.to_thread(_equal, target, source.stat().st_size, model.sha256):
                    continue
                await in_thread(
                    lambda progress, source=source, target=target: copy(source, target, progress),  # type: ignore[misc]
                    context.emit,
                    "store",
                    model.name,
                    context.project.relative(target),
                )
                copied += 1
        report.unchanged = not copied
        stores = len(mirrors) + 1
        report.summary = f"{stores} of {stores} equal"


def clean_stores(context: Context) -> None:
    """Removes what writers that were killed left in the stores."""
    for directory in (context.project.primary_store, *_mirrors(context)):
        remove_abandoned(directory)


def _mirrors(context: Context) -> list[Path]:
    return [context.project.path(name) for name in context.project.settings.stores.mirrors]


def _installs_requirements(context: Context) -> bool:
    """Off by default, and silent about it (docs/torchserve.md section 3, "Requirements")."""
    return context.project.settings.server.properties.get("install_py_dep_per_model", "").lower() == "true"


def _equal(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256
