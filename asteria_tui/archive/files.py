"""Files in blocks: read, hash, and put in place whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from asteria_tui.bounds import open_regular
from asteria_tui.errors import ArchiveError

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all, from the thread of the caller; what it raises ends the work."""

# Stays in the cache of one core: SHA-256 of 1 GiB took 0.8 s with 64 or 128 KiB, 1.1 s with 256 KiB and more.
BLOCK = 128 * 1024


def blocks(path: Path, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
    """The content, or `length` bytes of it from `start`, in views of one buffer that is used again.

    Raises:
        ArchiveError: the file cannot be read.
    """
    buffer = memoryview(bytearray(BLOCK))
    with reading(path), open_regular(path) as file:
        unbuffered = cast("io.RawIOBase", file.raw)
        unbuffered.seek(start)
        left = length
        while count := unbuffered.readinto(buffer if left is None or left > BLOCK else buffer[:left]):
            yield buffer[:count]
            if left is not None:
                left -= count


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """What `sha256sum` prints; raises ArchiveError where the file cannot be read."""
    digest = hashlib.sha256()
    with reading(path):
        total = path.stat().st_size
    done = 0
    for block in blocks(path):
        digest.update(block)
        done += len(block)
        if progress:
            progress(done, total)
    return digest.hexdigest()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the operating system says about reading `path`, or a file below it, into an ArchiveError."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"cannot read {error.filename or path}", detail=error.strerror or str(error)) from error


@contextmanager
def replacement(target: Path) -> Iterator[int]:
    """The descriptor of a new file that takes the place of `target` when the block ends well, and else vanishes.

    The new file lies beside `target` under a hidden name that does not end in `.mar`, so no TorchServe loads it.
    File and directory are synchronised, so after a power cut there is the old file or the new one.

    Raises:
        ArchiveError: the directory cannot be written, or the disk is full; `target` is as it was.
    """
    # A link stays a link: what it points to is replaced.
    target = Path(os.path.realpath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial, descriptor = _open_partial(target)
        try:
            try:
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _synchronise(target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error


PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.partial(\.mar)?")


def _open_partial(target: Path) -> tuple[Path, int]:
    """A new file beside `target`, locked for as long as we write: by that `remove_abandoned` knows the living."""
    while True:
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        # Not tempfile: that makes mode 0600, and the server in a container is another user.
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):  # where the file system knows no locks, nothing is removed either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return partial, descriptor
        os.close(descriptor)  # removed in the moment before it was locked


def remove_abandoned(directory: Path) -> None:
    """Removes what writers that were killed left there, and nothing that is being written."""
    for partial in directory.glob(".*.partial*"):
        if PARTIAL.fullmatch(partial.name):
            with contextlib.suppress(OSError), partial.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """`os.write` may write less than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _synchronise(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot synchronise a directory; the file itself is safe.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


_HINTS = {
    errno.ENOSPC: "its disk is full: free some space there, or name a directory on another disk instead of it",
    errno.EDQUOT: "your quota there is used up: free some space, or name a directory on another disk instead of it",
    errno.EFBIG: "this file system or a limit (`ulimit -f`) forbids files of this size",
    errno.EROFS: "the file system is read-only: set `primary` of [stores] to a directory that can be written",
    errno.EACCES: "check owner and mode of the directory",
    errno.EPERM: "check owner, mode and attributes (`lsattr`) of the directory and the file",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EISDIR: "a directory lies where the archive goes: move it away",
}


def _unwritable(target: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"cannot write {target}",
        detail=error.strerror or str(error),
        hint=_HINTS.get(error.errno or 0, ""),
    )
