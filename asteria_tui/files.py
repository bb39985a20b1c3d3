"""Small files, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file ends that is not written to its end, or whose writer was killed."""


def write_atomically(path: Path, data: bytes, mode: int = 0o600, dir_fd: int | None = None) -> None:
    """A reader sees the old file or the new one; where `path` is a link, the link is replaced, never followed.

    `mode` is what a new file gets before the umask. `dir_fd` is an open folder that `path` is relative to. Raises
    OSError, and leaves nothing behind then.
    """
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}{PARTIAL}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, mode, dir_fd=dir_fd)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(partial, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        os.unlink(partial, dir_fd=dir_fd)
        raise
