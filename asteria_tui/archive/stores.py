"""Directories of archives: copy one over, and see by SHA-256 whether they hold the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from asteria_tui.archive.files import Progress, blocks, reading, replacement, sha256_of, write_all


class StoreLink(msgspec.Struct, frozen=True, kw_only=True):
    """One archive in one store."""

    path: Path
    exists: bool
    sha256: str | None = None
    size: int | None = None
    """Bytes."""
    modified_at: float | None = None
    """Seconds since the epoch."""


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


def _look(path: Path) -> StoreLink:
    with reading(path):
        if not path.exists():
            return StoreLink(path=path, exists=False)
        stat = path.stat()
    return StoreLink(path=path, exists=True, sha256=sha256_of(path), size=stat.st_size, modified_at=stat.st_mtime)
