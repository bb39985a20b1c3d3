"""The growing end of one file, followed by its name through rotation, truncation and deletion."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from asteria_tui.errors import TargetError
from asteria_tui.logs.parts import HELD, NOTHING, Identity, Lost, Parts, count_lines, identity_of, is_deleted

LINE_MAXIMUM = 16 << 20
"""Bytes of a line that are kept in memory before its end has come; what is longer is cut there."""

WINDOW = 256 << 10
"""Bytes that one read takes at most, so that it ends in well under a millisecond."""

_HEAD = 64


class Tail:
    """Reads what is appended to the file `path`, from byte `position` on (-1: from its end).

    The file need not exist yet. If the name has another inode, the file was rotated: the rest of the old one is
    read first, then the parts that came between, though they are deleted by then. A file that is shorter than before,
    or begins otherwise, was truncated.
    """

    def __init__(self, path: Path, position: int = 0, *, is_followed: bool = True) -> None:
        """`is_followed`: go on with the file that has the name later; else only the one is read that has it now."""
        self._descriptor = -1
        self.path = path
        self.position = 0
        self.is_at_end = False
        """Whether the last read took everything that was there."""
        self._parts = Parts(path)
        self._waiting: deque[tuple[int, Lost]] = deque()
        """The parts that are read after the one that is, in their order, each with what was lost before it."""
        self._lost = NOTHING
        self._head = b""
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._is_followed = True
        self._open_newer(self._status())
        self._is_followed = is_followed
        if self._descriptor >= 0 and position:
            size = os.fstat(self._descriptor).st_size
            self.position = size if position < 0 else min(position, size)

    def read(self, limit: int = WINDOW) -> bytes:
        """The whole lines that are new, at most about `limit` bytes of them; empty when there are none."""
        status = self._status()
        is_newest = status is not None and not self._waiting and identity_of(status) == self._parts.newest
        if status is not None and is_newest and status.st_size == self.position:
            self.is_at_end = True
            return b""
        if not is_newest:
            self._open_newer(status)
        if self._descriptor < 0:
            self.is_at_end = True
            return b""
        data = self._take(limit)
        self.is_at_end = len(data) < limit and not self._waiting
        if data:
            return self._whole(data)
        if self._waiting:
            last = self._last_line()
            self._begin(*self._waiting.popleft())
            return last
        return self._last_line() if is_deleted(self._descriptor) else b""

    def take_lost(self) -> Lost:
        """What was lost right before the bytes that the last read gave; nothing when it is asked for again."""
        lost, self._lost = self._lost, NOTHING
        return lost

    def open_again(self) -> int:
        """A descriptor of the file that is read, for somebody else who closes it; -1 where there is none."""
        return os.dup(self._descriptor) if self._descriptor >= 0 else -1

    @property
    def identity(self) -> Identity | None:
        """Which file is read, whatever its name is by now."""
        return identity_of(os.fstat(self._descriptor)) if self._descriptor >= 0 else None

    def close(self) -> None:
        for descriptor in [self._descriptor, *(waiting for waiting, _ in self._waiting)]:
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = -1
        self._waiting.clear()
        self._parts.close()

    def __del__(self) -> None:
        self.close()

    def _open_newer(self, status: os.stat_result | None) -> None:
        newer = self._parts.newer(identity_of(status)) if self._is_followed and status is not None else None
        if newer is None:
            return
        losses = [newer.lost, *[NOTHING] * (len(newer.descriptors) - 1)]
        self._waiting.extend(zip(newer.descriptors, losses, strict=True))
        if self._descriptor < 0:
            self._begin(*self._waiting.popleft())
        while len(self._waiting) > HELD and is_deleted(self._descriptor):
            rest = Lost(count_lines(self._descriptor, self.position))
            self._partial, self._partial_size = [], 0
            descriptor, lost = self._waiting.popleft()
            self._begin(descriptor, rest + lost)

    def _begin(self, descriptor: int, lost: Lost) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self.position, self._head = 0, b""
        self._lost += lost

    def _status(self) -> os.stat_result | None:
        try:
            return self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TargetError(f"The log {self.path} cannot be read", str(error)) from error

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
