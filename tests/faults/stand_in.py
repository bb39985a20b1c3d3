"""A Java that starts in milliseconds: the command line, files, ports and console of TorchServe, and no models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from asteria_tui.config import Project
from asteria_tui.events import Event, WarningRaised
from asteria_tui.operations.base import Operation
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from asteria_tui.state import State
from asteria_tui.targets.local.runtime import Runtime
from asteria_tui.targets.local.target import LocalTarget

PORTS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
JAVA = """
import json, os, pathlib, signal, socket, subprocess, sys

behaviour = pathlib.Path(__file__).with_name("behaviour")
says = behaviour.read_text().split() if behaviour.exists() else []
if "bind" in says:
    print("java.io.IOException: Failed to bind to address: http://127.0.0.1:" + says[1], flush=True)
    sys.exit(0)
if "grandchild" in says:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    pathlib.Path(__file__).with_name("grandchild").write_text(str(child.pid))
config = dict(line.split("=", 1) for line in open(sys.argv[sys.argv.index("-f") + 1]).read().splitlines())
held = []
for name in ("inference_address", "management_address", "metrics_address"):
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", int(config[name].rpartition(":")[2])))
    holder.listen()
    held.append(holder)
with open("key_file.json", "w") as file:
    json.dump({"management": {"key": "SECRETXX"}, "inference": {"key": "SECRETXX"}, "API": {"key": "SECRETXX"}}, file)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("Model server started.", flush=True)
while True:
    signal.pause()
"""


class StandIn:
    """Projects whose server is the stand-in; it needs neither torch nor a Java."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.java = home / "java"
        home.mkdir()
        self.java.write_text(f"#!{sys.executable}\n{JAVA}")
        self.java.chmod(0o755)
        runtime = Runtime(java=self.java, python=Path(sys.executable), site_packages=home)
        monkeypatch.setattr("asteria_tui.targets.local.target.find_runtime", lambda project: runtime)
        self.targets: list[LocalTarget] = []

    def behave(self, *words: object) -> None:
        self.java.with_name("behaviour").write_text(" ".join(map(str, words)))

    @property
    def grandchild(self) -> int:
        return int(self.java.with_name("grandchild").read_text())

    def project(self, path: Path) -> Project:
        path.mkdir(exist_ok=True)
        free = "".join(f"{name}_port = 0\n" for name in PORTS)
        (path / "asteria.toml").write_text(f'[models.echo]\nhandler = "handler.py"\n[server]\n{free}')
        return open_project(path)

    def target(self, path: Path) -> LocalTarget:
        target = LocalTarget(self.project(path))
        self.targets.append(target)
        return target

    async def close(self) -> None:
        for target in self.targets:
            await target.stop(ignore)


def ignore(event: Event) -> None:
    pass


class Ran(NamedTuple):
    """An operation that ended."""

    code: int
    state: State
    warnings: list[str]


async def run(project: Project, operation: Operation) -> Ran:
    """In a session of its own, as a command is."""
    session = Session(project)
    events = session.events()
    code = await session.run(operation)
    await session.close()
    warnings = [event.text async for event in events if isinstance(event, WarningRaised)]
    return Ran(code, session.state, warnings)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
