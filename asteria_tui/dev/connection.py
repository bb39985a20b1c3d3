"""Our end of the sockets of the workers that `dev` has a server run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from asteria_tui.dev.messages import MAX_LINE, AnyMessage, Hello, Refused, decode, encode

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

    async def connect(self) -> None:
        """To whoever listens by now and is not connected yet; a worker says hello with its next request."""
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 a few names, at once
        except OSError:
            return
        for name in names:
            found = _SOCKET.fullmatch(name)
            if found is not None and int(found[1]) not in self._reading:
                await self._connect(int(found[1]), self.folder / name)

    async def _connect(self, pid: int, file: Path) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(file, limit=MAX_LINE)
        except OSError:  # what a worker left that was killed
            _remove(file)
            return
        writer.write(self._hello)
        self._reading[pid] = asyncio.ensure_future(self._read(pid, reader, writer))

    async def _read(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                message = decode(line)
                if isinstance(message, Hello):
                    self.models[pid] = message.model
                self._hear(pid, message)
                if isinstance(message, Refused):
                    return  # and is not asked again
        except (OSError, ValueError):  # no message, or one without an end
            pass
        finally:
            self.models.pop(pid, None)
            writer.close()
        self._reading.pop(pid, None)

    async def close(self) -> None:
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reading.clear()


def _remove(file: Path) -> None:
    """With what lies beside it."""
    for left in (file, file.with_name(f"{file.name}.stack")):
        with contextlib.suppress(OSError):
            left.unlink()
