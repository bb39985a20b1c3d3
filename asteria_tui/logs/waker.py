"""One waker for all that read the logs of the current run: they wait at no cost, and are woken together."""

from __future__ import annotations

import asyncio
import os
import weakref
from pathlib import Path

PERIOD = 0.05
"""Seconds between two wake-ups while something is written: a fast feed is read in bulk, no line waits longer."""

Signature = tuple[object, ...]


class Reader:
    """What one reader waits for; its reads go on from an offset of its own."""

    def __init__(self) -> None:
        self._wakes = asyncio.Event()

    def wake(self) -> None:
        self._wakes.set()

    async def wait(self, timeout: float | None = None) -> bool:
        """Whether it was woken since the last call returned; False after `timeout` seconds without that."""
        try:
            async with asyncio.timeout(timeout):
                await self._wakes.wait()
        except TimeoutError:
            return False
        self._wakes.clear()
        return True


class Waker:
    """Wakes its readers when a file of `folder` changes, or when `folder`, a link, leads to the logs of another run.

    `watch` runs as one task for as long as somebody reads. Each reader is a loop of its own that reads what is new,
    in bulk, and then waits. A wake-up ends a pause, it lifts no limit: whoever must not read as often as `PERIOD`
    pauses before it waits, and loses nothing, for what is written meanwhile makes the next `wait` return at once.

        reader = waker.reader()
        while True:
            await ask_the_server()
            await asyncio.sleep(LEAST)  # however much is written
            await reader.wait(MOST)  # as soon as something is written, or anyway
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()

    def reader(self) -> Reader:
        reader = Reader()
        self._readers.add(reader)
        return reader

    def wake(self) -> None:
        """All readers, though nothing was written."""
        for reader in list(self._readers):
            reader.wake()

    async def watch(self) -> None:
        """Never ends by itself. Where the system reports no change, as on a network share, it checks once a second."""
        from asteria_tui.logs.notify import Changes  # needs ctypes, for which no first paint waits

        # The folder of the link reports a new run.
        changes = Changes([self.folder, self.folder.parent])
        before: Signature | None = None
        try:
            while True:
                changes.forget()
                now = _signature(self.folder)
                if now == before:
                    await changes.wait()
                    continue
                before = now
                self.wake()
                await asyncio.sleep(PERIOD)
        finally:
            changes.close()


def _signature(folder: Path) -> Signature:
    """Differs whenever a log was written, rotated, cut or removed, or the folder is another one."""
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            files = sorted((entry.name, *_state(entry.stat(follow_symlinks=False))) for entry in entries)
    except OSError:  # no run yet, or a file that goes at this very moment: its going is a change of its own
        return ()
    return (status.st_dev, status.st_ino, *files)


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
