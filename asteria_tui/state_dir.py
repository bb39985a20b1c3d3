"""Everything of ours below `.asteria` is opened, created, replaced and deleted through here.

A cloned folder may bring an `.asteria` of its own, so no name in it is believed: each folder on the way is opened as a
folder of ours and no link (openat(2) with O_NOFOLLOW), and everything is named relative to the one opened before.
`root` is `.asteria` itself; names are relative to it. All functions raise OSError, whose `strerror` is a sentence.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import IO

from asteria_tui.bounds import as_regular, read_at_most
from asteria_tui.errors import ConfigError
from asteria_tui.files import PARTIAL, write_atomically

DIRECTORY = 0o700
FILE = 0o600
STORE = "model_store"
"""Of ready-made archives, which never get into the project's own."""
MAX_BYTES = 8 << 20
"""Of a file that is read whole."""
_AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a FIFO would wait for its writer.
_AS_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make_dir(root: Path, name: str = "") -> Path:
    """That folder and those above it up to `root`, made where they are missing, private in any case."""
    with contextlib.suppress(FileExistsError):
        root.mkdir(DIRECTORY)
    with _opened(root, PurePath(name).parts, is_made=True):
        return root / name


def write_file(root: Path, name: str, data: bytes) -> None:
    """Whole or not at all; a link of that name is replaced."""
    with _parent(root, name) as folder:
        write_atomically(Path(PurePath(name).name), data, FILE, dir_fd=folder)


def read_file(root: Path, name: str, max_bytes: int = MAX_BYTES) -> bytes:
    with _parent(root, name) as folder, _no_link(root / name):
        descriptor = os.open(PurePath(name).name, os.O_RDONLY | _AS_FILE, dir_fd=folder)
    with as_regular(descriptor, root / name) as file:
        return read_at_most(file, max_bytes, root / name)


def open_file(root: Path, name: str, *, is_appended: bool = False) -> IO[bytes]:
    """To be read and written in place; what has that name and is no plain file makes way, unless it is a folder."""
    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if is_appended else 0) | _AS_FILE
    with _parent(root, name) as folder:
        plain = PurePath(name).name
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(plain, dir_fd=folder)
            # Another name of the same file may lie anywhere.
            if not stat.S_ISDIR(status.st_mode) and (not stat.S_ISREG(status.st_mode) or status.st_nlink > 1):
                os.unlink(plain, dir_fd=folder)
        with _no_link(root / name):
            descriptor = os.open(plain, flags, FILE, dir_fd=folder)
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, FILE)
    return os.fdopen(descriptor, "rb+", buffering=0)


def make_link(root: Path, name: str, target: str) -> None:
    """A link for people, in place of whatever has that name."""
    with _parent(root, name) as folder:
        partial = f".{PurePath(name).name}.{os.urandom(4).hex()}{PARTIAL}"
        if _is_folder(PurePath(name).name, folder):
            remove(root, name)
        os.symlink(target, partial, dir_fd=folder)
        os.replace(partial, PurePath(name).name, src_dir_fd=folder, dst_dir_fd=folder)


def remove(root: Path, name: str) -> None:
    """A file, a link, or a folder with all that is in it; none of that name is as good."""
    with contextlib.suppress(FileNotFoundError), _parent(root, name) as folder:
        plain = PurePath(name).name
        if not _is_folder(plain, folder):
            os.unlink(plain, dir_fd=folder)
            return
        try:
            shutil.rmtree(plain, dir_fd=folder)
        except RecursionError as error:
            raise _refusal(root / name, "is nested too deeply to be removed") from error


def remove_partials(root: Path, name: str = "", *, older_than: float = 0.0) -> None:
    """What writers left in that folder that were killed.

    Those of less than `older_than` seconds stay: their writers may live. With 0 nobody may write there at that moment.
    """
    with _opened(root, PurePath(name).parts, is_made=False) as folder:
        for entry in os.listdir(folder):  # noqa: PTH208 no path leads to it for sure
            if not (entry.startswith(".") and entry.endswith(PARTIAL)):
                continue
            with contextlib.suppress(FileNotFoundError):
                age = time.time() - os.lstat(entry, dir_fd=folder).st_mtime
                if not older_than or age >= older_than:
                    remove(root, str(PurePath(name, entry)))


def check(root: Path) -> None:
    """Raises ConfigError where `root`, or a folder of it that everything else lies in, is not ours."""
    for name in ("", "server", "history", STORE):
        try:
            with _opened(root, PurePath(name).parts, is_made=False):
                pass
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(
                error.strerror or str(error), hint=f"look at it, then remove it: {root / name}"
            ) from error
    # What the readers of the current logs go through.
    logs = root / "server" / "logs"
    if logs.is_symlink() and logs.exists() and logs.resolve().parent != root.resolve() / "history":
        raise ConfigError(f"{logs} leads out of {root / 'history'}", hint=f"look at it, then remove it: {logs}")


@contextlib.contextmanager
def _parent(root: Path, name: str) -> Iterator[int]:
    with _opened(root, PurePath(name).parts[:-1], is_made=False) as folder:
        yield folder


@contextlib.contextmanager
def _opened(root: Path, parts: tuple[str, ...], *, is_made: bool) -> Iterator[int]:
    """The folder at the end of that way, each on it checked."""
    path, folder = root, _open_folder(root, root, is_made=is_made)
    try:
        for part in parts:
            path /= part
            if is_made:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, DIRECTORY, dir_fd=folder)
            below = _open_folder(path, part, folder, is_made=is_made)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _open_folder(path: Path, name: str | Path, dir_fd: int | None = None, *, is_made: bool) -> int:
    """A folder of ours; one that is made is made private, too."""
    with _no_link(path):
        descriptor = os.open(name, _AS_FOLDER, dir_fd=dir_fd)
    status = os.fstat(descriptor)
    if not is_ours(status):
        os.close(descriptor)
        raise _refusal(path, "belongs to another user")
    if is_made and stat.S_IMODE(status.st_mode) != DIRECTORY:
        with contextlib.suppress(OSError):  # a file system that is read-only, or has no modes
            os.fchmod(descriptor, DIRECTORY)
    return descriptor


def is_ours(status: os.stat_result) -> bool:
    """Root may do what the owner may."""
    return os.getuid() in {status.st_uid, 0}


def _is_folder(name: str, dir_fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _no_link(path: Path) -> Iterator[None]:
    """What the system calls "too many levels of symbolic links", or "not a directory", in our words."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
            raise
        why = "is a link, and no link in a state folder is followed" if path.is_symlink() else "is no folder"
        raise _refusal(path, why) from error


def _refusal(path: Path, why: str) -> OSError:
    return OSError(errno.EPERM, f"{path} {why}")
