"""The store as it is inside a running container, ours or one that was started by hand. Blocking."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from asteria_tui.errors import TargetError
from asteria_tui.targets.docker.spec import OFFICIAL_STORE, STORE
from asteria_tui.targets.target import ContainerStore, StoredArchive

if TYPE_CHECKING:
    from docker.models.containers import Container

CHUNK = 4 * 2**20
# Whichever of the two layouts the image has: its directory first, then time, hash and name of each archive.
LIST = """
for store in "$@"; do if [ -d "$store" ]; then
    echo "$store"; cd "$store"
    for file in *.mar; do if [ -f "$file" ]; then stat -c %Y "$file"; sha256sum "$file"; fi; done
    exit 0
fi; done
exit 1
"""


def look(container: Container) -> ContainerStore | None:
    """None where it holds no store in a place that we know."""
    code, output = container.exec_run(["sh", "-c", LIST, "sh", str(STORE), str(OFFICIAL_STORE)])
    if code != 0:
        return None
    directory, *lines = cast(bytes, output).decode(errors="replace").splitlines()
    archives = {}
    for written_at, line in zip(lines[::2], lines[1::2], strict=True):
        sha256, name = line.split(maxsplit=1)
        archives[name] = StoredArchive(sha256=sha256, modified_at=float(written_at))
    mounted = {mount["Destination"] for mount in container.attrs["Mounts"]}
    return ContainerStore(
        container=str(container.name),
        directory=directory,
        is_mount=directory in mounted,
        archives=archives,
    )


def put(container: Container, directory: str, file: Path) -> None:
    """Copies an archive in, whole or not at all; raises TargetError."""
    partial = f".{file.name}.partial"
    container.put_archive(directory, _tar_of(file, partial))
    command = ["mv", f"{directory}/{partial}", f"{directory}/{file.name}"]
    code, output = container.exec_run(command, user="0")
    if code != 0:
        raise TargetError(
            f"cannot put {file.name} into {directory} of the container {container.name}",
            detail=cast(bytes, output).decode(errors="replace").strip(),
        )


def _tar_of(file: Path, name: str) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    stat = file.stat()
    member.size, member.mtime, member.mode = stat.st_size, int(stat.st_mtime), 0o644
    yield member.tobuf(tarfile.GNU_FORMAT)
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            yield chunk
    yield b"\0" * (-member.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
