"""The growing end of one file, followed by its name through rotation, truncation and deletion."""

from __future__ import annotations

import os
from pathlib import Path

from asteria_tui.errors import TargetError

LINE_MAXIMUM = 16 << 20
"""Bytes of a line that are kept in memory before its end has come; what is longer is cut there."""

WINDOW = 256 << 10
"""Bytes that one read takes at most, so that it ends in well under a millisecond."""

_HEAD = 64


class Tail:
    """Reads what is appended to the file `path`, from byte `position` on (-1: from its end).

    The file need not exist yet. If the name has another inode, the file was rotated: the rest of the old one is
    read first. A file that is shorter than before, or begins otherwise, was truncated.
    """

    def __init__(self, path: Path, position: int = 0) -> None:
        self._descriptor = -1
        self.path = path
        self.position = 0
        self.is_at_end = False
        """Whether the last read took everything that was there."""
        self._inode = -1
        self._head = b""
        self._partial: list[bytes] = []
        self._partial_size = 0
        if self._open() and position:
            size = os.fstat(self._descriptor).st_size
            self.position = size if position < 0 else min(position, size)

    def read(self, limit: int = WINDOW) -> bytes:
        """The whole lines that are new, at most about `limit` bytes of them; empty when there are none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            status = None
        if status is not None and status.st_ino == self._inode and status.st_size == self.position:
            self.is_at_end = True
            return b""
        if self._descriptor < 0 and not self._open():
            self.is_at_end = True
            return b""
        data = self._take(limit)
        self.is_at_end = len(data) < limit
        if not data and (status is None or status.st_ino != self._inode):
            self.close()
            self.is_at_end = status is None
            return self._last_line()
        return self._whole(data)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = self._inode = -1

    def __del__(self) -> None:
        self.close()

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TargetError(f"The log {self.path} cannot be read", str(error)) from error
        self._inode = os.fstat(self._descriptor).st_ino
        self.position, self._head = 0, b""
        return True

    def _take(self, limit: int) -> bytes:
        """The next bytes of the open file; from its start if it was truncated."""
        head = os.pread(self._descriptor, _HEAD, 0)
        if os.fstat(self._descriptor).st_size < self.position or not head.startswith(self._head):
            self.position = 0
            self._partial, self._partial_size = [], 0
        self._head = head
        data = os.pread(self._descriptor, limit, self.position)
        self.position += len(data)
        return data

    def _whole(self, data: bytes) -> bytes:
        """`data` up to its last line end, after what was left over before; the rest is left over."""
        end = data.rfind(b"\n") + 1
        if not end:
            if self._partial_size < LINE_MAXIMUM:
                self._partial.append(data)
            self._partial_size += len(data)
            return b""
        whole = b"".join((*self._partial, data[:end])) if self._partial else data[:end]
        left = data[end:]
        self._partial, self._partial_size = ([left] if left else []), len(left)
        return whole

    def _last_line(self) -> bytes:
        """The last line of a file that is gone, though it has no line end."""
        line = b"".join(self._partial)
        self._partial, self._partial_size = [], 0
        return line + b"\n" if line else b""
