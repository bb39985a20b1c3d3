"""Waiting for a change in some folders at no cost: inotify(7) on Linux, a short sleep where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path

POLL = 0.08
"""Seconds between two checks where the system reports no changes."""

CHECK = 1.0
"""Seconds after which one checks anyway: a folder may have been replaced, and a network share reports nothing."""

# IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF of <sys/inotify.h>.
_EVENT = struct.Struct("iIII")
_CHANGES = 0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800


class Changes:
    """Call `forget` before reading the files, and `wait` when nothing was found."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = [os.fsencode(folder) for folder in folders]
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            self._descriptor = -1
        self._watches: list[int] = []
        self.is_out_of_watches = self._descriptor < 0 and ctypes.get_errno() in {errno.EMFILE, errno.ENFILE}
        """The system has no more of them to give, so one looks every `POLL` seconds."""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def forget(self) -> set[Path] | None:
        """The changes up to now are known: what was touched, or None where the system does not tell all of it."""
        if self._descriptor < 0 or self.is_out_of_watches:
            return None
        touched: set[Path] | None = set()
        with contextlib.suppress(BlockingIOError):
            while read := os.read(self._descriptor, 1 << 16):
                names = self._names(read)
                touched = None if touched is None or names is None else touched | names
        return touched

    def _names(self, events: bytes) -> set[Path] | None:
        """Of `struct inotify_event`s; None where some were dropped."""
        folders = dict(zip(self._watches, self._folders, strict=False))
        found, at = set(), 0
        while at < len(events):
            number, _, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if number not in folders:
                return None
            name = events[at - length : at].rstrip(b"\0")
            found.add(Path(os.fsdecode(folders[number]), os.fsdecode(name)))
        return found

    def watch(self, folders: Iterable[Path]) -> None:
        """Those from now on."""
        self._folders = [os.fsencode(folder) for folder in folders]

    async def wait(self) -> None:
        """Return when something has changed since `forget`, or may have."""
        if self._descriptor < 0:
            await asyncio.sleep(POLL)
            return
        if not self._watch():
            return
        if self.is_out_of_watches:
            await asyncio.sleep(POLL)
            return
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        loop.add_reader(self._descriptor, changed.set)
        try:
            async with asyncio.timeout(CHECK):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._descriptor)

    def _watch(self) -> bool:
        """Whether the same folders are watched as before: what happened to others in between was not reported.

        A folder that is not there, or on a system without such reports, is checked every `CHECK` seconds.
        """
        # Adding a folder again gives the same number, unless another folder has its name by now.
        self.is_out_of_watches = False
        watches = [self._add(folder) for folder in self._folders]
        before, self._watches = self._watches, watches
        for left in {*before} - {*watches}:
            self._libc.inotify_rm_watch(self._descriptor, left)
        return watches == before

    def _add(self, folder: bytes) -> int:
        number = int(self._libc.inotify_add_watch(self._descriptor, folder, _CHANGES))
        self.is_out_of_watches |= number < 0 and ctypes.get_errno() == errno.ENOSPC
        return number
