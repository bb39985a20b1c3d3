"""Directories of archives: copy one over, and see by SHA-256 whether they hold the same."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from asteria_tui.archive.build import hash_of
from asteria_tui.archive.crc import crc32_of
from asteria_tui.archive.files import Progress, blocks, reading, replacement, sha256_of, write_all
from asteria_tui.archive.sources import MANIFEST_NAME, Sources, collect
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import ArchiveError
from asteria_tui.events import ChainLink, Place


class StoreLink(msgspec.Struct, frozen=True, kw_only=True):
    """One archive in one store."""

    path: Path
    exists: bool
    sha256: str | None = None
    size: int | None = None
    """Bytes."""
    modified_at: float | None = None
    """Seconds since the epoch."""


PlaceFound = tuple[Place, str, StoreLink]
"""A place, its name as the user knows it, and what lies there."""


def chain(model: str, places: Iterable[PlaceFound], *, copies_in: bool = False) -> tuple[ChainLink, ...]:
    """The links of one model, each compared with the one that it is filled from, and how to fix a broken one.

    Source and primary come first; mirrors and the container are filled from the primary, the server loads from the
    container's store where there is one. `copies_in`: that store is no mount, so `--sync` fills it.
    """
    links: list[ChainLink] = []
    held: dict[Place, str | None] = {}
    fixes = _FIXES | ({"container": SYNC} if copies_in else {})
    for place, name, found in places:
        before = next((held[origin] for origin in _ORIGINS[place] if origin in held), found.sha256)
        matches = found.sha256 is not None and found.sha256 == before
        links.append(
            ChainLink(
                model=model,
                place=place,
                name=name,
                sha256=found.sha256,
                modified_at=found.modified_at,
                matches=matches,
                fix="" if matches else fixes[place],
            )
        )
        held[place] = found.sha256
    return tuple(links)


SYNC = "asteria-tui stores --sync"
_FIXES: dict[Place, str] = {
    "source": "asteria-tui package",
    "primary": "asteria-tui package",
    "mirror": SYNC,
    "container": "asteria-tui restart",
    "server": "asteria-tui up",
}
_ORIGINS: dict[Place, tuple[Place, ...]] = {
    "source": (),
    "primary": ("source",),
    "mirror": ("primary",),
    "container": ("primary",),
    "server": ("container", "primary"),
}


def copy(source: Path, target: Path, progress: Progress | None = None) -> str:
    """Copies `source` to `target`, whole or not at all; gives the SHA-256 of what was written.

    Raises:
        ArchiveError: one cannot be read or the other not be written; `target` is then as it was.
    """
    with reading(source):
        total = source.stat().st_size
    digest = hashlib.sha256()
    done = 0
    with replacement(target) as descriptor:
        for block in blocks(source):
            write_all(descriptor, block)
            digest.update(block)
            done += len(block)
            if progress:
                progress(done, total)
    return digest.hexdigest()


def compare(paths: Iterable[Path]) -> tuple[StoreLink, ...]:
    """What lies at each path; raises ArchiveError where one is there and cannot be read."""
    return tuple(_look(path) for path in paths)


def source_link(project: Project, name: str, settings: ModelSettings, primary: StoreLink) -> tuple[str, StoreLink]:
    """What the sources of a model would make, with the name that the user knows them by; raises ArchiveError.

    Where the archive in the primary store holds these very files, written by another archiver, it is that one.
    """
    if settings.archive is not None:
        [found] = compare([project.path(settings.archive)])
        return settings.archive, found
    sources = collect(project, name, settings)
    newest = max((path.stat().st_mtime for _, path in sources.members), default=None)
    sha256 = hash_of(sources)
    if primary.sha256 is not None and sha256 != primary.sha256 and _holds(primary.path, sources):
        sha256 = primary.sha256
    shown = settings.handler or name
    return shown, StoreLink(path=project.path(shown), exists=True, sha256=sha256, modified_at=newest)


def _holds(archive: Path, sources: Sources) -> bool:
    """Whether an archive has these very members, by name, size and CRC."""
    try:
        with zipfile.ZipFile(archive) as file:
            theirs = {
                member.filename: (member.file_size, member.CRC)
                for member in file.infolist()
                if not member.is_dir() and not member.filename.startswith(MANIFEST_NAME.partition("/")[0])
            }
    except (OSError, zipfile.BadZipFile):
        return False
    sizes = [path.stat().st_size for _, path in sources.members]
    checksums = crc32_of([path for _, path in sources.members], sizes, lambda *_: None)
    names = [name for name, _ in sources.members]
    return theirs == {name: (size, crc) for name, size, crc in zip(names, sizes, checksums, strict=True)}


def unpacked_size(archive: Path) -> int:
    """Bytes that its members take once they are unpacked; raises ArchiveError where it cannot be read."""
    try:
        with reading(archive), zipfile.ZipFile(archive) as file:
            return sum(member.file_size for member in file.infolist())
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{archive} is not an archive", detail=str(error)) from error


def _look(path: Path) -> StoreLink:
    with reading(path):
        if not path.exists():
            return StoreLink(path=path, exists=False)
        stat = path.stat()
    return StoreLink(path=path, exists=True, sha256=sha256_of(path), size=stat.st_size, modified_at=stat.st_mtime)
