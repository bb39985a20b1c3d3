"""A target that runs a FakeServer: a record on disk as every target writes it, the rest in memory."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from asteria_tui.archive.files import sha256_of
from asteria_tui.config import Project
from asteria_tui.errors import AsteriaError
from asteria_tui.events import Emit, ServerChanged
from asteria_tui.process import uninterrupted
from asteria_tui.targets.record import ServerRecord, fingerprint, forget_record, load_record, new_record, save_record
from asteria_tui.targets.server_config import Ports, ServedModel
from asteria_tui.targets.target import ContainerStore, End, StoredArchive, Vitals
from tests.fake_server import PORTS, FakeServer


class FakeTarget:
    """What a test scripts: `fails` raises by the name of the method, `may_stop` holds a clean-up."""

    def __init__(self, project: Project, server: FakeServer) -> None:
        self.project = project
        self.server = server
        self.calls: list[str] = []
        self.fails: dict[str, AsteriaError] = {}
        self.begun = asyncio.Event()
        """Set when a start or a stop is under way."""
        self.may_start = asyncio.Event()
        self.may_stop = asyncio.Event()
        self.may_start.set()
        self.may_stop.set()
        self.is_missing_keys = False
        self.now = Vitals(memory_bytes=200, cpu_seconds=1.0)
        self.end: End | None = None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    async def preflight(self) -> None:
        self._called("preflight")

    async def claim_ports(self, own: Ports | None) -> Ports:
        return PORTS

    async def find(self) -> ServerRecord | None:
        return load_record(self.project) if self.server.is_running else None

    async def prepare(self, models: Sequence[ServedModel], own: Ports | None, emit: Emit) -> None:
        self._called("prepare")

    async def start(self, models: Sequence[ServedModel], emit: Emit) -> ServerRecord:
        self._called("start")
        if self.server.is_running:
            emit(ServerChanged(state="stopping", target="local"))
            await uninterrupted(self._stop())
        emit(ServerChanged(state="starting", target="local"))
        self.begun.set()
        await self.may_start.wait()
        record = new_record(self.project, PORTS, models, self.fingerprint())
        save_record(self.project, record)
        self.server.start(list(models))
        return record

    async def stop(self, emit: Emit) -> bool:
        self._called("stop")
        if not self.server.is_running:
            return False
        emit(ServerChanged(state="stopping", target="local"))
        await uninterrupted(self._stop())
        return True

    async def _stop(self) -> None:
        self.begun.set()
        await self.may_stop.wait()
        self.server.stop()
        forget_record(self.project)

    async def read_key_file(self) -> tuple[bytes, float] | None:
        return None if self.is_missing_keys else (self.server.key_file(), self.server.tokens_written_at)

    async def vitals(self, record: ServerRecord) -> Vitals | None:
        return self.now

    def describe_end(self) -> str:
        return "the console's last words"

    def ended(self) -> End | None:
        return self.end

    def fingerprint(self) -> str:
        return fingerprint(self.project)


class FakeContainerTarget(FakeTarget):
    """One whose server reads a store of its own."""

    def __init__(self, project: Project, server: FakeServer, store: Path) -> None:
        super().__init__(project, server)
        self.store = store
        store.mkdir()
        self.is_mount = False
        self.is_published = True
        """Whether a port leads to the server."""

    async def container_store(self) -> ContainerStore:
        archives = {
            file.name: StoredArchive(sha256=sha256_of(file), modified_at=file.stat().st_mtime)
            for file in self.store.iterdir()
        }
        return ContainerStore(container="box", directory="/store", is_mount=self.is_mount, archives=archives)

    async def put_archive(self, file: Path) -> ServerRecord | None:
        self._called(f"put {file.name}")
        shutil.copy(file, self.store)
        return await self.find() if self.is_published else None
