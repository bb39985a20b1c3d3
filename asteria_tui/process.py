"""One child process tree: started in a group of its own, known again by pid *and* start time, ended as a whole."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import psutil

Result = TypeVar("Result")
POLITE_TIMEOUT = 10.0
"""Seconds for a clean stop after SIGTERM; TorchServe takes about 2.4 (docs/torchserve.md section 8)."""
HARD_TIMEOUT = 5.0
"""Seconds for the kernel to end a tree after SIGKILL."""
SAME_START = 1.0
"""Seconds by which two readings of one process's start time may differ when the clock is adjusted."""
LOCK_POLL = 0.05
"""Seconds between two attempts to take a lock."""


class ProcessId(msgspec.Struct, frozen=True):
    """A process that can't be mistaken for a later one with the same pid."""

    pid: int
    started_at: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid=pid, started_at=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The living process, or None when it ended, is a zombie, or its pid belongs to somebody else now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < SAME_START
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    @property
    def is_alive(self) -> bool:
        return self.find() is not None


def start(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], console: Path
) -> subprocess.Popen[bytes]:
    """Starts a tree that outlives us: own session, output appended to `console`; raises OSError."""
    with console.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


async def stop_tree(root: ProcessId, polite_timeout: float = POLITE_TIMEOUT) -> bool:
    """Ends the process, its descendants and its group; True when all of them are gone.

    SIGTERM goes to the root alone, so that it can stop its children in order; whoever is left when it has ended,
    or when the time is over, gets SIGKILL. A root that has ended before may have left children: they go too.
    """
    process = root.find()
    tree = [root]
    if process is not None:
        tree += _descendants(process)
        _send(root.pid, signal.SIGTERM)
        await _wait_gone([root], polite_timeout)
    tree += _group_members(root)
    # Workers notice the end of their server by themselves; a moment for that spares them the SIGKILL.
    if not await _wait_gone(tree, 0.0 if root.is_alive else 0.5):
        for member in tree:
            if member.is_alive:
                _send(member.pid, signal.SIGKILL)
    return await _wait_gone(tree, HARD_TIMEOUT)


def _descendants(process: psutil.Process) -> list[ProcessId]:
    found = []
    try:
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            found.append(ProcessId.of(child.pid))
        except psutil.NoSuchProcess:
            continue
    return found


def _group_members(leader: ProcessId) -> list[ProcessId]:
    """Whoever is still in the group that `leader` opened.

    While one is left, the kernel gives the leader's pid to nobody else, so a stranger under that pid proves
    that the group is gone and the number means another one now.
    """
    if psutil.pid_exists(leader.pid) and leader.find() is None and not _is_zombie(leader.pid):
        return []
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader.pid:
                members.append(ProcessId.of(process.pid))
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return members


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def _wait_gone(processes: Sequence[ProcessId], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        _reap(processes)
        if not any(process.is_alive for process in processes):
            return True
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(0.02)


def _reap(processes: Sequence[ProcessId]) -> None:
    """Collects those that are children of ours, so that none stays behind as a zombie."""
    for process in processes:
        try:
            os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            continue


async def uninterrupted(work: Coroutine[Any, Any, Result]) -> Result:
    """Does `work` to its end however often we are cancelled meanwhile; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


async def lock(file: IO[str], waiting: Callable[[], object] = lambda: None) -> None:
    """Takes the lock of an open file, until it is closed; `waiting` is called once when another process has it."""
    is_reported = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not is_reported:
                waiting()
            is_reported = True
            await asyncio.sleep(LOCK_POLL)
        else:
            return


class PortOwner(msgspec.Struct, frozen=True):
    """Who listens on a port, as far as the system tells."""

    port: int
    pid: int | None = None
    program: str = ""

    def __str__(self) -> str:
        who = f"{self.program} (pid {self.pid})" if self.pid else "a process of another user"
        return f"port {self.port} is taken by {who}"


def port_owner(port: int) -> PortOwner:
    """The listener on a loopback or wildcard address."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS tells only root
        return PortOwner(port)
    for connection in connections:
        if not connection.laddr or connection.laddr.port != port or connection.pid is None:
            continue
        if connection.status != psutil.CONN_LISTEN:
            continue
        try:
            return PortOwner(port, connection.pid, psutil.Process(connection.pid).name())
        except psutil.NoSuchProcess:
            break
    return PortOwner(port)
