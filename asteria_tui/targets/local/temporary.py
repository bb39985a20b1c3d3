"""The temporary folder of a server: beside its state, or elsewhere with its mark in it; only such a one is removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from asteria_tui import state_dir
from asteria_tui.state_dir import make_dir, read_file, write_file

MAX_BYTES = 80
"""Of its path: the workers' socket is TEMP/.ts.sock.PORT, and Unix socket paths end at 107.

Seen: docs/torchserve.md section 0 item 11.
"""
INSIDE = "server/tmp"
MARK_FILE = "asteria-mark"


def place_outside(root: Path, mark: str) -> str:
    """Where it is to be made, if the path beside the state is too long for Unix sockets; else empty."""
    if len(os.fsencode(root / INSIDE)) <= MAX_BYTES:
        return ""
    # The system's own temporary directory may be long too (test runners, macOS).
    short = min((tempfile.gettempdir(), "/tmp"), key=len)  # noqa: S108 a private folder is made in it
    return str(Path(short).resolve() / _name(mark))


def make(root: Path, outside: str, mark: str) -> Path:
    """Private to this server; raises OSError."""
    if not outside:
        remove_inside(root)
        return make_dir(root, INSIDE)
    folder = Path(outside)
    folder.mkdir(mode=0o700)
    write_file(folder, MARK_FILE, mark.encode())
    return folder


def remove_inside(root: Path) -> None:
    with contextlib.suppress(OSError):
        state_dir.remove(root, INSIDE)


def remove_outside(outside: str, mark: str) -> None:
    """What can be removed of it; a record's word for where it is counts only as far as the mark in it agrees."""
    folder = Path(outside)
    if not mark or folder.name != _name(mark) or not folder.is_absolute() or folder.resolve() != folder:
        return
    with contextlib.suppress(OSError):
        if read_file(folder, MARK_FILE) == mark.encode():
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # it was made, and its maker killed before it could be marked


def _name(mark: str) -> str:
    return f"asteria-{mark[:12]}"
