"""TorchServe as a process tree on this machine: Java started directly, in a group and directory of its own."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import psutil

from asteria_tui.config import Project
from asteria_tui.errors import TargetError, TokenError
from asteria_tui.events import CommandRan, Emit, ServerChanged
from asteria_tui.logs.history import CONSOLE_FILE, name_in_run, start_run
from asteria_tui.process import (
    HARD_TIMEOUT,
    ProcessId,
    listening_ports,
    mark_of,
    port_owner,
    start,
    stop_tree,
    uninterrupted,
    wait_gone,
)
from asteria_tui.state_dir import open_file, read_file, remove, write_file
from asteria_tui.targets.console import console_tail, until_started
from asteria_tui.targets.local import temporary
from asteria_tui.targets.local.processes import Trace, find_server, find_servers, is_server, leftovers, trace_of
from asteria_tui.targets.local.runtime import Runtime, find_runtime
from asteria_tui.targets.ports import claim_ports
from asteria_tui.targets.record import (
    ServerRecord,
    damage,
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
from asteria_tui.targets.target import End, LostServerError, ProcessVitals, Vitals

MAX_KEY_FILE = 64 << 10


class LocalTarget:
    """The server is found again by its record; where that is lost, by looking at every process."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.directory = server_dir(project)
        self._found: ProcessId | None = None
        """What such a look found, so that the next `find` need not look again."""

    async def preflight(self) -> None:
        await asyncio.to_thread(find_runtime, self.project)

    async def claim_ports(self, own: Ports | None) -> Ports:
        # A server whose record is lost gives its ports back too.
        lost = await asyncio.to_thread(listening_ports, self._found) if own is None and self._found else frozenset()
        return claim_ports(Ports.wanted(self.project.settings.server), own, lost)

    async def find(self) -> ServerRecord | None:
        record = self._record()
        mark = record.mark if record is not None else ""
        if record is not None and record.process is not None and is_server(record.process, self.directory, mark):
            return record
        if self._found is None or not is_server(self._found, self.directory, mark):
            self._found = await asyncio.to_thread(find_server, self.directory, mark)
        if self._found is None:
            return None
        process = self._found.find()
        if process is None:
            return None
        if record is None or mark_of(process) != mark:
            raise LostServerError(process.pid, self.project.state_dir)
        # Whoever started it was killed before it could write the pid down.
        return msgspec.structs.replace(record, process=self._found)

    async def prepare(self, models: Sequence[ServedModel], own: Ports | None, emit: Emit) -> None:  # noqa: ARG002 nothing is built
        await self.preflight()
        await self.claim_ports(own)

    async def start(self, models: Sequence[ServedModel], emit: Emit) -> ServerRecord:
        runtime = await asyncio.to_thread(find_runtime, self.project)
        running = await self.find()
        if running is not None:
            await self.claim_ports(running.ports)  # what can't be started again is not stopped
        # Also what is left of one that has ended, and may hold its ports yet.
        await self.stop(emit)
        ports = await self.claim_ports(None)
        make_state_dir(self.project)
        record = new_record(self.project, ports, models, self.fingerprint())
        try:
            run = start_run(self.project.state_dir)
            record = msgspec.structs.replace(record, mark=secrets.token_hex(16), run=run.id)
            record = msgspec.structs.replace(
                record, temporary=temporary.place_outside(self.project.state_dir, record.mark)
            )
            # Before anything is started or made: whatever happens to us, the server and its folders are found again.
            save_record(self.project, record)
            record = await self._started(runtime, record, models, emit)
        except BaseException as error:
            # Also when interrupted: whoever started it and can't hand it over ends it.
            await uninterrupted(self._end())
            emit(ServerChanged(state="stopped", target="local"))
            if isinstance(error, OSError):
                raise TargetError("the server could not be started", detail=error.strerror or str(error)) from error
            raise
        return record

    async def _started(
        self, runtime: Runtime, record: ServerRecord, models: Sequence[ServedModel], emit: Emit
    ) -> ServerRecord:
        """With all ports open."""
        run = self.project.history_dir / record.run
        here = temporary.make(self.project.state_dir, record.temporary, record.mark)
        command = self._write_config(runtime, record, models, here, run)
        emit(CommandRan(command=" ".join(command)))
        emit(ServerChanged(state="starting", target="local"))
        seen = environment(os.environ, temporary=here, logs=run, mark=record.mark)
        with open_file(self.project.state_dir, name_in_run(run.name, CONSOLE_FILE), is_appended=True) as console:
            process = start(command, cwd=self.directory, env=seen, console=console)
        record = msgspec.structs.replace(record, process=ProcessId.of(process.pid))
        save_record(self.project, record)
        try:
            await until_started(run / CONSOLE_FILE, partial(_exit_status, process), emit)
        except TargetError as error:
            raise _with_owner(error) from error
        record = msgspec.structs.replace(record, was_open=True)
        save_record(self.project, record)
        return record

    async def stop(self, emit: Emit) -> bool:
        """Ends the tree, whatever is left of it, and removes what TorchServe leaves behind.

        What that is: docs/torchserve.md section 8.
        """
        return await uninterrupted(self._end(emit))

    async def _end(self, emit: Emit = lambda _: None) -> bool:
        """Whether a server was running."""
        record = self._record()
        servers = await asyncio.to_thread(find_servers, self.directory, record.mark if record is not None else "")
        for server in servers:
            emit(ServerChanged(state="stopping", target="local", pid=server.pid))
        traces = [trace_of(server) for server in servers]
        for server, trace in zip(servers, traces, strict=True):
            await self._stop_tree(server, trace.mark)
        if record is not None:
            traces.append(Trace(record.mark, record.temporary))
            await self._stop_tree(None, record.mark)
        if record is not None and record.process is not None and not record.process.is_alive:
            # One that was killed by others may hold its ports for a moment yet.
            await wait_gone([record.process], HARD_TIMEOUT)
        try:
            temporary.remove_inside(self.project.state_dir)
            for trace in traces:
                temporary.remove_outside(trace.temporary, trace.mark)
            for name in (KEY_FILE, PROPERTIES_FILE, LOG_LAYOUT_FILE):
                remove(self.project.state_dir, f"server/{name}")
            if record is not None:
                forget_record(self.project)
        except OSError as error:
            raise TargetError("what the server left could not be removed", detail=error.strerror or "") from error
        return bool(servers)

    async def _stop_tree(self, server: ProcessId | None, mark: str) -> None:
        if not await stop_tree(server, partial(leftovers, self.directory, mark)):
            raise TargetError(
                "what the server left did not end" if server is None else f"the server (pid {server.pid}) did not end",
                hint="see what holds it: a process in uninterruptible sleep outlives even SIGKILL",
            )

    async def read_key_file(self) -> tuple[bytes, float] | None:
        file = self.directory / KEY_FILE
        try:
            return read_file(self.project.state_dir, f"server/{KEY_FILE}", MAX_KEY_FILE), file.stat().st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenError(
                "the server's key_file.json cannot be read",
                detail=error.strerror or str(error),
                hint="`asteria-tui restart` writes a new one",
            ) from error

    async def vitals(self, record: ServerRecord) -> Vitals | None:
        process = record.process.find() if record.process else None
        if process is None:
            return None
        processes = {}
        try:
            for member in (process, *process.children(recursive=True)):
                times = member.cpu_times()
                processes[member.pid] = ProcessVitals(member.memory_info().rss, times.user + times.system)
        except psutil.NoSuchProcess:
            return None
        return Vitals(
            memory_bytes=sum(one.memory_bytes for one in processes.values()),
            cpu_seconds=sum(one.cpu_seconds for one in processes.values()),
            available_bytes=psutil.virtual_memory().available,
            processes=processes,
        )

    async def end_worker(self, record: ServerRecord, pid: int) -> bool:
        process = record.process.find() if record.process else None
        try:
            mine = process.children(recursive=True) if process is not None else []
            worker = next((one for one in mine if one.pid == pid), None)
            if worker is not None:
                worker.kill()  # psutil looks at its start time before
        except psutil.NoSuchProcess:
            return False
        return worker is not None

    def describe_end(self) -> str:
        return console_tail(self.project.logs_dir / CONSOLE_FILE)

    def ended(self) -> End | None:
        record = self._record()
        if record is None:
            why = damage(self.project)
            return End(reason=f"{why}; `asteria-tui down` removes it") if why else None
        if record.process is None:
            return End(reason="its start was cut short")
        return End(reason="the server ended by itself or was killed")

    def fingerprint(self) -> str:
        return fingerprint(self.project)

    def _record(self) -> ServerRecord | None:
        record = load_record(self.project)
        return record if record is not None and record.target == "local" else None

    def _write_config(
        self, runtime: Runtime, record: ServerRecord, models: Sequence[ServedModel], temporary: Path, run: Path
    ) -> list[str]:
        settings = self.project.settings.server
        store = self.project.primary_store
        config = properties(settings, record.ports, models, store=store, bind="127.0.0.1")
        files = {PROPERTIES_FILE: config, LOG_LAYOUT_FILE: log_layout(run, LogDestination.FILES)}
        for name, text in files.items():
            write_file(self.project.state_dir, f"server/{name}", text.encode())
        # TorchServe writes its keys into whatever has that name.
        remove(self.project.state_dir, f"server/{KEY_FILE}")
        return java_command(
            runtime.java,
            runtime.site_packages,
            runtime.python,
            directory=self.directory,
            temporary=temporary,
            store=store,
            options=(*JAVA_OPTIONS, *settings.java_options),
        )


def _exit_status(process: subprocess.Popen[bytes]) -> str:
    return "" if process.poll() is None else f"exit status {process.returncode}"


def _with_owner(error: TargetError) -> TargetError:
    """A port that somebody took between our look and Java's: the console has the number only."""
    taken = re.search(r"Failed to bind to address:? \S*:(\d+)", error.detail)
    if taken is None:
        return error
    return TargetError(error.title, detail=f"{error.detail}\n{port_owner(int(taken[1]))}", hint=error.hint)
