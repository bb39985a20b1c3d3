"""The sources of the models as they are on disk, each time one of their files changes.

Only the parent folders of files that archives are built from are watched, never `.asteria`, `.git` or a virtual
environment. watchfiles is for sources only: on a log it costs 29 % of a core (docs/performance.md section F).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path

import msgspec

from asteria_tui.archive.sources import collect
from asteria_tui.archive.stores import compare, source_link
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import AsteriaError
from asteria_tui.events import SourceState

DEBOUNCE, STEP = 100, 50
"""Milliseconds: how long changes are gathered, and the pause that ends it; looking each 20 costs 0.25 % of a core."""
LOOK_EVERY = 5_000
"""Milliseconds after which one looks anyway: what changed before the watch began, a network share that is silent."""
UNWATCHED_EVERY = 1.0
"""Seconds between two looks where no folder of the sources is there, or can be watched."""
IGNORED = frozenset({".asteria", ".git", ".hg", "site-packages", "node_modules", "__pycache__"})

Stats = tuple[tuple[str, int, int, int], ...]
"""Path, size, time and inode of each file, and of the archive in the store: where none differs, no hash does."""


class _Known(msgspec.Struct, frozen=True):
    files: tuple[Path, ...]
    stats: Stats
    state: SourceState


async def source_changes(project: Project) -> AsyncIterator[tuple[SourceState, ...]]:
    """The state of each model's sources: at once, and whenever it is another one. Never ends by itself."""
    known: dict[str, _Known] = {}
    reported: tuple[SourceState, ...] | None = None
    while True:
        folders = _folders(known)
        async with contextlib.aclosing(_changes(folders)) as changes:
            async for _ in changes:
                known = await asyncio.to_thread(_look, project, known)
                states = tuple(model.state for model in known.values())
                if states != reported:
                    reported = states
                    yield states
                if _folders(known) != folders:
                    break


async def _changes(folders: frozenset[Path]) -> AsyncGenerator[None]:
    """Once, then whenever something in the folders may have changed, as long as they can be watched."""
    yield
    if folders:
        from watchfiles import awatch

        # Where the system has no watches left, one looks: its own polling misses a second edit within a second.
        with contextlib.suppress(OSError, RuntimeError):
            async for _ in awatch(
                *folders,
                debounce=DEBOUNCE,
                step=STEP,
                rust_timeout=LOOK_EVERY,
                yield_on_timeout=True,
                recursive=False,
            ):
                yield
    await asyncio.sleep(UNWATCHED_EVERY)


def _look(project: Project, known: dict[str, _Known]) -> dict[str, _Known]:
    return {
        name: _look_at(project, name, settings, known.get(name)) for name, settings in project.settings.models.items()
    }


def _look_at(project: Project, name: str, settings: ModelSettings, before: _Known | None) -> _Known:
    """Hashes only where a stat differs."""
    try:
        files, error = _files(project, name, settings), ""
    except AsteriaError as wrong:
        files, error = before.files if before else _named(project, settings), wrong.title
    of_files = _stats(files)
    stats = of_files + _stats([project.primary_store / f"{name}.mar"])
    if before is not None and before.stats == stats and before.state.error == error:
        return before
    newest = max(of_files, key=lambda stat: stat[2], default=None)
    sources, store = _hashes(project, name, settings, has_sources=not error)
    state = SourceState(
        model=name,
        sha256=sources,
        store_sha256=store,
        error=error,
        changed_at=newest[2] / 1e9 if newest else None,
        newest=project.relative(newest[0]) if newest else "",
    )
    return _Known(files=files, stats=stats, state=state)


def _files(project: Project, name: str, settings: ModelSettings) -> tuple[Path, ...]:
    if settings.archive is not None:
        return (project.path(settings.archive),)
    return tuple(path for _, path in collect(project, name, settings).members)


def _named(project: Project, settings: ModelSettings) -> tuple[Path, ...]:
    """What to watch while the sources make no archive."""
    handler = (settings.handler or "").partition(":")[0]
    named = (handler, settings.model_file, settings.serialized_file, settings.config_file, settings.requirements_file)
    return tuple(path for path in map(project.path, filter(None, named)) if path.suffix)


def _hashes(project: Project, name: str, settings: ModelSettings, *, has_sources: bool) -> tuple[str, str]:
    """Of the archive that the sources make, and of the one in the primary store."""
    store = ""
    try:
        [primary] = compare([project.primary_store / f"{name}.mar"])
        store = primary.sha256 or ""
        return (source_link(project, name, settings, primary)[1].sha256 or "") if has_sources else "", store
    except (AsteriaError, OSError):
        return "", store  # it is being changed at this moment: the next look finds it


def _stats(files: Iterable[Path]) -> Stats:
    found = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append((str(file), stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return tuple(found)


def _folders(known: dict[str, _Known]) -> frozenset[Path]:
    parents = {file.parent for model in known.values() for file in model.files}
    return frozenset(folder for folder in parents if folder.is_dir() and not _is_ignored(folder))


def _is_ignored(folder: Path) -> bool:
    return bool(IGNORED & set(folder.parts)) or any(
        (above / "pyvenv.cfg").exists() for above in (folder, *folder.parents)
    )
