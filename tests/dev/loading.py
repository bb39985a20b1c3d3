"""A model's folder as a dev archive has it, and the loader in it as a plain module, without TorchServe."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from asteria_tui.dev.loader import SETTINGS_FILE, SOURCES_HEADER, Worker


class Context:
    """What the loader and a handler see of TorchServe's (`ts/context.py`)."""

    def __init__(self, folder: Path) -> None:
        self.manifest: Any = None
        self.model_yaml_config: Any = {}
        self.system_properties = {"model_dir": str(folder)}
        self.request_ids: dict[int, str] = {}
        self.headers: dict[int, dict[str, str]] = {}

    def set_response_header(self, index: int, name: str, value: str) -> None:
        self.headers.setdefault(index, {})[name] = value


class Loaded:
    """A project of files that are linked into a model's folder, served by one worker in this process."""

    def __init__(self, root: Path) -> None:
        self.project, self.folder = root / "project", root / "model"
        self.project.mkdir()
        self.folder.mkdir()
        self.temporary = root / "t"
        self.temporary.mkdir(mode=0o700)
        self.handler = "handler.py"
        self.manifest: dict[str, Any] = {"model": {}}
        self.members: dict[str, str] = {}
        self.worker: Worker | None = None
        self.peers: list[Peer] = []
        self.is_live = True
        self.requests = 0

    def write(self, name: str, text: str | bytes, *, at: int | None = None) -> Path:
        """Whole, by a rename, as most editors do; `at` is its time in nanoseconds."""
        file = self.project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.new")
        partial.write_bytes(text if isinstance(text, bytes) else text.encode())
        if at is not None:
            os.utime(partial, ns=(at, at))
        partial.replace(file)
        return file

    def link(self, *names: str) -> None:
        """Files of the project under their own names in the model's folder."""
        for name in names:
            self.members[name] = str(self.project / name)
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).symlink_to(self.project / name)
        self.save_settings()

    def save_settings(self) -> None:
        settings = {
            "version": 1,
            "model": "m",
            "handler": self.handler,
            "is_built_in": False,
            "is_live": self.is_live,
            "manifest": self.manifest,
            "members": self.members,
            "roots": [str(self.project)],
        }
        partial = self.folder / f".{SETTINGS_FILE}"
        partial.write_text(json.dumps(settings))
        partial.replace(self.folder / SETTINGS_FILE)

    def start(self) -> None:
        os.environ["TEMP"] = str(self.temporary)
        sys.path.insert(0, str(self.folder))
        self.context = Context(self.folder)
        self.worker = Worker(str(self.folder))
        assert self.worker.handle(None, self.context) is None

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        if self.worker is None:
            return
        self.worker.close()
        self.worker.modules.take_out()
        self.worker.modules.remove()
        sys.path.remove(str(self.folder))

    def ask(self, *bodies: Any) -> Any:
        """The answer to one request, or those of a batch."""
        self.requests += 1
        self.context.request_ids = {index: f"r{self.requests}-{index}" for index in range(len(bodies) or 1)}
        answers = self.worker.handle([{"body": body} for body in bodies or (None,)], self.context)
        return answers if len(bodies) > 1 else answers[0]

    @property
    def sources(self) -> str:
        """What the last answer said of its sources."""
        return self.context.headers[0][SOURCES_HEADER]

    def connect(self, role: str = "dev", version: int = 1) -> Peer:
        [file] = self.temporary.glob("*.sock")
        self.peers.append(Peer(file, role, version))
        return self.peers[-1]


class Peer:
    """The other end of the socket."""

    def __init__(self, file: Path, role: str, version: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(file))
        self.socket.setblocking(False)
        self._unread = b""
        self.say("hello", role=role, version=version)

    def say(self, kind: str, **values: Any) -> None:
        self.socket.sendall(json.dumps({"type": kind, **values}).encode() + b"\n")

    def messages(self) -> list[dict[str, Any]]:
        """What was said since it was asked last."""
        try:
            while read := self.socket.recv(65536):
                self._unread += read
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages()]

    def close(self) -> None:
        self.socket.close()
