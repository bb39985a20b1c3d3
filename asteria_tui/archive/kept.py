"""Archives that have passed their smoke test, kept by hash: what is loaded again when a successor fails."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from asteria_tui.archive.files import remove_abandoned, sha256_of
from asteria_tui.archive.stores import copy
from asteria_tui.config import Project
from asteria_tui.errors import ArchiveError
from asteria_tui.state_dir import make_dir, remove

KEPT = 3
"""Of each model. One that still lies in a store on the same disk takes no space: it is the same file."""


def keep(project: Project, name: str, file: Path, sha256: str) -> None:
    """Keeps the archive at `file`, unless it is kept already; raises ArchiveError."""
    directory = _directory(project, name)
    kept = directory / f"{sha256}.mar"
    if kept.is_file() and not kept.is_symlink():
        return
    try:
        kept.unlink(missing_ok=True)  # a link, which a copy would follow
        make_dir(project.state_dir, f"archives/{name}")
        remove_abandoned(directory)
        _link(file, kept)
        others = (other for other in directory.glob("*.mar") if other != kept)
        for old in sorted(others, key=lambda other: other.stat().st_mtime, reverse=True)[KEPT - 1 :]:
            old.unlink()
    except OSError as error:
        raise ArchiveError(f"cannot keep {file} in {directory}", detail=error.strerror or str(error)) from error


def forget_others(project: Project, names: Container[str]) -> None:
    """Removes what is kept of all models but those."""
    with contextlib.suppress(OSError):
        for name in os.listdir(project.state_dir / "archives"):  # noqa: PTH208 no path leads to it for sure
            if name not in names:
                remove(project.state_dir, f"archives/{name}")


def is_kept(project: Project, name: str, sha256: str) -> bool:
    return bool(sha256) and (_directory(project, name) / f"{sha256}.mar").is_file()


@contextmanager
def in_store(project: Project, name: str, file: str, sha256: str) -> Iterator[str]:
    """The file name by which the primary store has that archive while the block runs: TorchServe loads from there only.

    Raises:
        ArchiveError: it is kept nowhere, or was changed since.
    """
    stored = project.primary_store / file
    if stored.is_file() and sha256_of(stored) == sha256:
        yield file
        return
    kept = _directory(project, name) / f"{sha256}.mar"
    if not kept.is_file() or sha256_of(kept) != sha256:
        raise ArchiveError(f"the archive {sha256[:12]} of {name} is not kept any more")
    # Named as `files.PARTIAL` has it: what a killed run leaves is removed by the next one, under the project's lock.
    lent = stored.with_name(f".{file}.{secrets.token_hex(4)}.partial.mar")
    _link(kept, lent)
    try:
        yield lent.name
    finally:
        lent.unlink(missing_ok=True)


def _directory(project: Project, name: str) -> Path:
    """Private to us; raises ArchiveError where a link leads elsewhere."""
    archives = project.state_dir / "archives"
    for path in (archives, archives / name):
        if path.is_symlink():
            raise ArchiveError(f"{path} is a link, so no archive is kept there")
    return archives / name


def _link(source: Path, target: Path) -> None:
    """The same file under another name where one disk holds both, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)
