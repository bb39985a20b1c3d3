"""One child process tree: started with a mark, known again by pid *and* start time, ended as a whole."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

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
MARK = "ASTERIA_MARK"
"""The environment variable whose random value all processes of one tree inherit, also those that leave its session."""
MAX_PID = 2**31 - 1


class ProcessId(msgspec.Struct, frozen=True):
    """A process that can't be mistaken for a later one with the same pid."""

    pid: Annotated[int, msgspec.Meta(ge=1, le=MAX_PID)]
    """Of one process: 0 and below would mean groups of them."""
    started_at: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid=pid, started_at=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The living process, or None when it ended, is a zombie, or its pid belongs to somebody else now."""
        process = self._find()
        return process if process is not None and not _is_zombie(process) else None

    @property
    def is_alive(self) -> bool:
        return self.find() is not None

    @property
    def is_gone(self) -> bool:
        """Nothing of it is left: a zombie whose threads are still ending holds its ports."""
        process = self._find()
        try:
            return process is None or (_is_zombie(process) and process.num_threads() <= 1)
        except psutil.Error:
            return True

    def _find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.started_at) < SAME_START else None
        except psutil.Error:
            return None


def start(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], console: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Starts a tree that outlives us: own session, output to the open file `console`; raises OSError."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


async def stop_tree(
    root: ProcessId | None, others: Callable[[], Sequence[ProcessId]], polite_timeout: float = POLITE_TIMEOUT
) -> bool:
    """Ends the process, its descendants and `others`, such as those with its mark; True when all of them are gone.

    SIGTERM goes to the root alone, so that it can stop its children in order; whoever is left when it has ended,
    or when the time is over, gets SIGKILL. A root that has ended before may have left children: they go too.
    """
    tree = [root] if root is not None else []
    process = root.find() if root is not None else None
    if root is not None and process is not None:
        tree += _descendants(process)
        _send(root.pid, signal.SIGTERM)
        # Workers notice the end of their server by themselves; a moment for that spares them the SIGKILL.
        await wait_gone([root], polite_timeout)
    await wait_gone(tree, 0.5)
    end = time.monotonic() + HARD_TIMEOUT
    while True:
        # Whoever is left may have started more of them meanwhile.
        left = [member for member in {*tree, *others()} if not member.is_gone]
        if not left:
            return True
        if time.monotonic() > end:
            return False
        for member in left:
            if member.is_alive:
                _send(member.pid, signal.SIGKILL)
        await wait_gone(left, 0.5)


def marked(mark: str) -> list[ProcessId]:
    """Every process of this user that inherited the mark, but ourselves."""
    found = []
    for process in psutil.process_iter() if mark else ():
        try:
            if process.pid != os.getpid() and mark_of(process) == mark:
                found.append(ProcessId.of(process.pid))
        except psutil.Error:
            continue
    return found


def mark_of(process: psutil.Process) -> str:
    """Empty where it has none, or does not let us see."""
    try:
        return str(process.environ().get(MARK, ""))
    except (psutil.Error, OSError):
        return ""


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


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.ZombieProcess:
        return True
    except psutil.Error:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def wait_gone(processes: Sequence[ProcessId], seconds: float) -> bool:
    """Whether all of them are, at the latest after that time."""
    end = time.monotonic() + seconds
    while True:
        _reap(processes)
        if all(process.is_gone for process in processes):
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
    """Does `work` to its end however often we are cancelled meanwhile; the cancellation is raised after it.

    What the work itself raised is then the cause of the cancellation.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def lock(file: IO[Any], waiting: Callable[[], object] = lambda: None) -> None:
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


def listening_ports(process: ProcessId) -> frozenset[int]:
    """Empty where it has ended, or the system does not tell."""
    found = process.find()
    try:
        connections = found.net_connections(kind="tcp") if found is not None else []
    except psutil.Error:
        return frozenset()
    return frozenset(one.laddr.port for one in connections if one.laddr and one.status == psutil.CONN_LISTEN)


class PortOwner(msgspec.Struct, frozen=True):
    """Who listens on a port, as far as the system tells."""

    port: int
    pid: int | None = None
    program: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return f"port {self.port} is taken, the system does not report by whom"
        return f"port {self.port} is taken by {self.program} (pid {self.pid})"


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
