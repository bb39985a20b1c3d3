"""The loader's end of the socket that `dev` and debuggers talk to a worker by: lines of JSON, no thread.

A client connects at any time, which the system does without us; it is attended to around each request. Whoever does
not read what is sent is let go: a worker never waits for a client.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any

VERSION = 1
MAX_LINE = 1 << 20
"""Bytes of one message of a client."""
MAX_CLIENTS = 8
MAX_PATH = 107
"""Bytes of the path of a Unix socket."""


class Client:
    """One connection; it says its role in its first message."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.role = ""
        self._unread = b""
        self.is_closed = False

    def receive(self) -> list[dict[str, Any]]:
        """The messages that are there."""
        while not self.is_closed:
            try:
                read = self.connection.recv(65536)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                read = b""
            if not read or len(self._unread) > MAX_LINE:
                self.close()
            self._unread += read
        *lines, self._unread = self._unread.split(b"\n")
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                message = json.loads(line.decode())
                if isinstance(message, dict):
                    found.append(message)
        return found

    def send(self, line: bytes) -> None:
        try:
            if self.connection.send(line) < len(line):
                self.close()
        except OSError:
            self.close()

    def close(self) -> None:
        self.is_closed = True
        self.connection.close()


class Link:
    """Listens; `greeting` gives what a new client is told first, `commands` is what clients may ask for."""

    def __init__(self, path: str, greeting: Callable[[], list[dict[str, Any]]]) -> None:
        self.path = path
        self.commands: dict[str, Callable[[Client, dict[str, Any]], None]] = {}
        self._greeting = greeting
        self._clients: list[Client] = []
        self._listener = _listen(path)

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    def attend(self) -> None:
        """Takes in who has connected, and does what clients ask for."""
        while self._listener is not None and len(self._clients) < MAX_CLIENTS:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            if _is_same_user(connection):
                self._clients.append(Client(connection))
            else:
                connection.close()
        for client in list(self._clients):
            for message in client.receive():
                self._do(client, message)
        self._clients = [client for client in self._clients if not client.is_closed]

    def client(self, role: str) -> bool:
        """Whether somebody in that role listens."""
        return any(client.role == role and not client.is_closed for client in self._clients)

    def send(self, kind: str, **values: Any) -> None:
        """To all clients that have said who they are."""
        clients = [client for client in self._clients if client.role and not client.is_closed]
        if clients:
            line = encoded(kind, values)
            for client in clients:
                client.send(line)

    def _do(self, client: Client, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if client.role:
            command = self.commands.get(str(kind))
            if command is not None:
                command(client, message)
        elif kind == "hello" and message.get("version") == VERSION:
            role = str(message.get("role", ""))
            if self.client(role):
                client.send(encoded("refused", {"reason": "another one is connected"}))
                client.close()
                return
            client.role = role
            for greeting in self._greeting():
                client.send(encoded(greeting.pop("type"), greeting))
        else:
            client.send(encoded("refused", {"reason": f"this loader speaks version {VERSION}"}))
            client.close()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self._listener is not None:
            self._listener.close()
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def encoded(kind: str, values: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "version": VERSION, **values}, default=str).encode() + b"\n"


def _listen(path: str) -> socket.socket | None:
    """None where no private socket can be made: the worker serves all the same."""
    folder = os.path.dirname(path)
    try:
        status = os.stat(folder)
        is_private = status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
        if not is_private or len(os.fsencode(path)) > MAX_PATH:
            return None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(MAX_CLIENTS)
        listener.setblocking(False)
    except OSError:
        return None
    return listener


def _is_same_user(connection: socket.socket) -> bool:
    """The folder is private anyway; where the system tells the peer's user, that is believed instead."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())
