"""TorchServe as a process tree on this machine: Java started directly, in a group and directory of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import psutil

from asteria_tui.config import Project
from asteria_tui.errors import TargetError
from asteria_tui.events import CommandRan, Emit, ServerChanged
from asteria_tui.files import write_atomically
from asteria_tui.logs.history import CONSOLE_FILE, start_run
from asteria_tui.process import ProcessId, start, stop_tree, uninterrupted
from asteria_tui.targets.console import console_tail, until_started
from asteria_tui.targets.local.runtime import Runtime, find_runtime
from asteria_tui.targets.ports import claim_ports
from asteria_tui.targets.record import (
    ServerRecord,
    fingerprint,
    forget_record,
    load_record,
    make_state_dir,
    new_record,
    save_record,
    server_dir,
)
from asteria_tui.targets.server_config import (
    JAVA_OPTIONS,
    KEY_FILE,
    LOG_LAYOUT_FILE,
    PROPERTIES_FILE,
    LogDestination,
    Ports,
    ServedModel,
    environment,
    java_command,
    log_layout,
    properties,
)
from asteria_tui.targets.target import End, Vitals

MAX_TEMPORARY = 80
"""Bytes: the workers' socket is TEMP/.ts.sock.PORT, and Unix socket paths end at 107.

Seen: docs/torchserve.md section 0 item 11.
"""


class LocalTarget:
    """The server is found again through `.asteria/server/state.json`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.directory = server_dir(project)

    async def preflight(self) -> None:
        await asyncio.to_thread(find_runtime, self.project)

    async def find(self) -> ServerRecord | None:
        record = load_record(self.project)
        if record is None or record.process is None:
            return None
        return record if record.process.is_alive else None

    async def start(self, models: Sequence[ServedModel], emit: Emit) -> ServerRecord:
        runtime = await asyncio.to_thread(find_runtime, self.project)
        wanted = Ports.wanted(self.project.settings.server)
        running = await self.find()
        if running is not None:
            claim_ports(wanted, own=running.ports)
            await self.stop(emit)
        ports = claim_ports(wanted)
        # Whatever an earlier one left.
        await self.stop(emit)
        make_state_dir(self.project)
        record = new_record(self.project, ports, models, self.fingerprint())
        process = None
        try:
            start_run(self.project.history_dir, self.project.logs_dir)
            record = msgspec.structs.replace(record, temporary=str(self._make_temporary()))
            command = self._write_config(runtime, record, models)
            emit(CommandRan(command=" ".join(command)))
            emit(ServerChanged(state="starting", target="local"))
            seen = environment(os.environ, record.temporary)
            process = start(command, cwd=self.directory, env=seen, console=self._console)
            record = msgspec.structs.replace(record, process=ProcessId.of(process.pid))
            save_record(self.project, record)
            await until_started(self._console, partial(_exit_status, process), emit)
        except BaseException as error:
            # Also when interrupted: whoever started it and can't hand it over ends it.
            await uninterrupted(self._end(record))
            if isinstance(error, OSError):
                raise TargetError("the server could not be started", detail=str(error)) from error
            raise
        return record

    async def stop(self, emit: Emit) -> bool:
        """Ends the tree, whatever is left of it, and removes what TorchServe leaves behind.

        What that is: docs/torchserve.md section 8.
        """
        record = load_record(self.project)
        if record is None or record.process is None:
            return False
        was_alive = record.process.is_alive
        if was_alive:
            emit(ServerChanged(state="stopping", target="local", pid=record.process.pid))
        await uninterrupted(self._end(record))
        return was_alive

    async def _end(self, record: ServerRecord) -> None:
        if record.process is not None and not await stop_tree(record.process):
            raise TargetError(
                f"the server (pid {record.process.pid}) did not end",
                hint="see what holds it: a process in uninterruptible sleep outlives even SIGKILL",
            )
        if record.temporary:
            shutil.rmtree(record.temporary, ignore_errors=True)
        for name in (KEY_FILE, PROPERTIES_FILE, LOG_LAYOUT_FILE):
            (self.directory / name).unlink(missing_ok=True)
        forget_record(self.project)

    async def read_key_file(self) -> tuple[bytes, float] | None:
        file = self.directory / KEY_FILE
        try:
            return file.read_bytes(), file.stat().st_mtime
        except OSError:
            return None

    async def vitals(self, record: ServerRecord) -> Vitals | None:
        process = record.process.find() if record.process else None
        if process is None:
            return None
        memory, cpu = 0, 0.0
        try:
            for member in (process, *process.children(recursive=True)):
                memory += member.memory_info().rss
                times = member.cpu_times()
                cpu += times.user + times.system
        except psutil.NoSuchProcess:
            return None
        return Vitals(memory_bytes=memory, cpu_seconds=cpu, available_bytes=psutil.virtual_memory().available)

    def describe_end(self) -> str:
        return console_tail(self._console)

    def ended(self) -> End | None:
        return End(reason="the server ended by itself or was killed") if load_record(self.project) else None

    def fingerprint(self) -> str:
        return fingerprint(self.project)

    @property
    def _console(self) -> Path:
        return self.project.logs_dir / CONSOLE_FILE

    def _make_temporary(self) -> Path:
        """Private to this server; beside its state where the path is short enough for Unix sockets."""
        temporary = self.directory / "tmp"
        if len(os.fsencode(temporary)) <= MAX_TEMPORARY:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(mode=0o700)
            return temporary
        # The system's own temporary directory may be long too (test runners, macOS).
        short = min((tempfile.gettempdir(), "/tmp"), key=len)  # noqa: S108 mkdtemp makes a private directory in it
        return Path(tempfile.mkdtemp(prefix="asteria-", dir=short))

    def _write_config(self, runtime: Runtime, record: ServerRecord, models: Sequence[ServedModel]) -> list[str]:
        settings = self.project.settings.server
        store = self.project.primary_store
        config = properties(settings, record.ports, models, store=store, bind="127.0.0.1")
        write_atomically(self.directory / PROPERTIES_FILE, config.encode())
        layout = log_layout(self.project.logs_dir, LogDestination.FILES)
        write_atomically(self.directory / LOG_LAYOUT_FILE, layout.encode())
        return java_command(
            runtime.java,
            runtime.site_packages,
            runtime.python,
            directory=self.directory,
            temporary=record.temporary,
            store=store,
            options=(*JAVA_OPTIONS, *settings.java_options),
        )


def _exit_status(process: subprocess.Popen[bytes]) -> str:
    return "" if process.poll() is None else f"exit status {process.returncode}"
