"""Our end of the sockets of the workers that `dev` has a server run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from asteria_tui.dev.messages import MAX_LINE, AnyMessage, Hello, Refused, decode, encode

PAUSE = 0.02
"""Seconds between two reads of what nobody waits for: a worker tells of each request twice, also of those of others."""
_SOCKET = re.compile(r"dev-(\d{1,10})\.sock")
"""As `dev/loader/worker.py` names it."""


class Workers:
    """One connection to each worker that listens in the server's temporary folder; `hear` gets what they say.

    `first` is what each is told after hello.
    """

    def __init__(
        self, folder: Path, hear: Callable[[int, AnyMessage], None], role: str = "dev", first: bytes = b""
    ) -> None:
        self.folder = folder
        self.models: dict[int, str] = {}
        """Of each worker that has said hello, by its pid."""
        self._hear = hear
        self._hello = encode("hello", role=role) + first
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._is_awaited = asyncio.Event()

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """While somebody waits for what they say, it is read at once."""
        self._is_awaited.set()
        try:
            yield
        finally:
            self._is_awaited.clear()

    async def connect(self) -> None:
        """To whoever listens by now and is not connected yet; a worker says hello with its next request."""
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 a few names, at once
        except OSError:
            return
        for name in names:
            found = _SOCKET.fullmatch(name)
            if found is not None and int(found[1]) not in self._reading:
                self._connect(int(found[1]), self.folder / name)

    def _connect(self, pid: int, file: Path) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(str(file))
            connection.send(self._hello)
        except OSError:  # what a worker left that was killed
            connection.close()
            _remove(file)
            return
        self._reading[pid] = asyncio.ensure_future(self._read(pid, connection))

    async def _read(self, pid: int, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        unread = b""
        with connection:
            try:
                while data := await loop.sock_recv(connection, 1 << 16):
                    *lines, unread = (unread + data).split(b"\n")
                    for line in lines:
                        self._take(pid, decode(line))
                    if len(unread) > MAX_LINE:
                        break
                    await self._pause()
            except _RefusedError:
                return  # and is not asked again
            except (OSError, ValueError):  # gone, or it says what is no message
                pass
            finally:
                self.models.pop(pid, None)
        self._reading.pop(pid, None)

    def _take(self, pid: int, message: AnyMessage) -> None:
        if isinstance(message, Hello):
            self.models[pid] = message.model
        self._hear(pid, message)
        if isinstance(message, Refused):
            raise _RefusedError

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await self._is_awaited.wait()

    async def close(self) -> None:
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reading.clear()


class _RefusedError(Exception):
    """Somebody else listens to that worker."""


def _remove(file: Path) -> None:
    """With what lies beside it."""
    for left in (file, file.with_name(f"{file.name}.stack")):
        with contextlib.suppress(OSError):
            left.unlink()
