"""The parts of a log that its writer rotates: `records.jsonl`, before it `records.jsonl.1`, before that `.2` and so on.

An open part can be read though it has another name by now, or none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from asteria_tui.errors import TargetError

Identity = tuple[int, int]
"""Which file it is, whatever its name: device and inode."""

HELD = 8
"""Parts that a reader who is slower than the writer holds open; the space of a deleted one is given back when it is
closed. Of our server these are 256 MiB."""

_PIECE = 1 << 20
_DIGITS = 4


class Lost(msgspec.Struct, frozen=True):
    """What was written to a log, and deleted before it was read."""

    lines: int = 0
    is_exact: bool = True
    """Whether there are no more: of a part that was never open nothing is known."""

    def __bool__(self) -> bool:
        return bool(self.lines) or not self.is_exact

    def __add__(self, other: Lost) -> Lost:
        return Lost(self.lines + other.lines, self.is_exact and other.is_exact)


NOTHING = Lost()


class Newer(NamedTuple):
    """The parts that were opened, the oldest first; who asked closes them."""

    descriptors: list[int]
    continues: bool
    """Whether the first of them follows the last of those before, without a part between them."""
    lost: Lost = NOTHING
    """Between those before and the first of them."""


class Parts:
    """Opens the parts of a log from the current one on, each once, in the order in which they were written.

    Whoever asks while the writer has rotated less often than it keeps parts misses none, and knows it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.newest: Identity | None = None
        """The part that was opened last; while it is held no other file can have its inode."""
        self._held = -1
        self._folder: Identity | None = None

    def newer(self, current: Identity) -> Newer | None:
        """The parts after the last one; None where there is none. `current` is the one that has the path now."""
        if current == self.newest:
            return None
        folder = identity(self.path.parent)
        if self.newest is None:
            return self._newer([], folder, continues=False)
        before = os.fstat(self._held)
        opened, is_met = self._walk(before.st_mtime_ns)
        if is_met or (len(opened) > 1 and is_deleted(self._held) and folder == self._folder):
            return self._newer(opened, folder, continues=is_met, lost=Lost(is_exact=is_met))
        for descriptor in opened:
            os.close(descriptor)
        return self._newer([], folder, continues=False)  # another log: of another run, or begun anew

    def close(self) -> None:
        if self._held >= 0:
            os.close(self._held)
        self._held, self.newest = -1, None

    def __del__(self) -> None:
        self.close()

    def _newer(
        self, opened: list[int], folder: Identity | None, *, continues: bool, lost: Lost = NOTHING
    ) -> Newer | None:
        if not opened:
            current = self._open(self.path)
            if current is None:
                return None
            opened = [current]
        self.close()
        self._held, self._folder = os.dup(opened[-1]), folder
        self.newest = identity_of(os.fstat(opened[-1]))
        return Newer(opened, continues, lost)

    def _walk(self, since: int) -> tuple[list[int], bool]:
        """The parts that were written after the last one, the oldest first, and whether that one was met.

        Rotating only raises the number of a part, so that none slips past who goes upwards; some are met twice.
        """
        opened: dict[Identity, int] = {}
        for number in (0, *numbers(self.path)):
            descriptor = self._open(named(self.path, number))
            if descriptor is None:
                continue
            status = os.fstat(descriptor)
            found = identity_of(status)
            if found == self.newest or found in opened or status.st_mtime_ns < since:
                os.close(descriptor)
            else:
                opened[found] = descriptor
            if found == self.newest:
                return [*opened.values()][::-1], True
        return [*opened.values()][::-1], False

    def _open(self, path: Path) -> int | None:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TargetError(f"The log {path} cannot be read", str(error)) from error


def identity(path: Path) -> Identity | None:
    """None for what is not there."""
    try:
        return identity_of(path.stat())
    except OSError:
        return None


def identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def is_deleted(descriptor: int) -> bool:
    """Whether the open file has no name any more: closing it gives its space back."""
    return os.fstat(descriptor).st_nlink == 0


def named(path: Path, number: int) -> Path:
    """A part; 0 is the one that is written to."""
    return path.with_name(f"{path.name}.{number}") if number else path


def numbers(path: Path) -> list[int]:
    """The numbers that older parts have, or will have when they are rotated now."""
    with contextlib.suppress(OSError):
        names = [other.name for other in path.parent.iterdir()]
        suffixes = [name.removeprefix(f"{path.name}.") for name in names if name.startswith(f"{path.name}.")]
        found = {int(suffix) for suffix in suffixes if suffix.isdecimal() and len(suffix) <= _DIGITS}
        return sorted(found | {number + 1 for number in (0, *found)})
    return []


def count_lines(descriptor: int, position: int) -> int:
    """The lines of an open file that end after `position`, the last one though it has no end."""
    count, last = 0, b"\n"
    while data := os.pread(descriptor, _PIECE, position):
        count += data.count(b"\n")
        position += len(data)
        last = data[-1:]
    return count + (last != b"\n")
