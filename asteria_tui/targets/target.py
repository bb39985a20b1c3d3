"""What every place where TorchServe runs can do, and what only some can."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from asteria_tui.config import Project
from asteria_tui.errors import ServerError
from asteria_tui.events import Emit
from asteria_tui.targets.record import ServerRecord
from asteria_tui.targets.server_config import Ports, ServedModel


class ProcessVitals(msgspec.Struct, frozen=True):
    memory_bytes: int
    cpu_seconds: float


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What the system says of the whole server: every process of it."""

    memory_bytes: int
    cpu_seconds: float
    available_bytes: int | None = None
    """Memory that its processes may still take; None where that is not known."""
    restarts: int | None = None
    """How often the engine started the container again; None where there is no container."""
    out_of_memory_at: float | None = None
    """When a process was last killed because the container's memory limit was reached."""
    processes: dict[int, ProcessVitals] = {}
    """By pid, as TorchServe names its workers; empty where the processes cannot be told apart."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a server ended that nobody asked to."""

    reason: str
    exit_code: int | None = None
    out_of_memory: bool = False


class LostServerError(ServerError):
    """A server of this project runs, but what is needed to talk to it is gone: its ports and its keys."""

    def __init__(self, pid: int, folder: Path) -> None:
        super().__init__(
            f"the server of this folder runs (pid {pid}), but its record and its keys are gone",
            detail=f"{folder} was removed or damaged while it ran",
            hint="`asteria-tui up` ends it and starts a new one, `asteria-tui down` ends it",
        )
        self.pid = pid


class Target(Protocol):
    """A place where TorchServe runs; what only some can do has a protocol of its own below."""

    project: Project

    async def preflight(self) -> None:
        """Raises TargetError when nothing could be started here: no Java, no engine."""
        ...

    async def claim_ports(self, own: Ports | None) -> Ports:
        """Those that a new server would have; raises TargetError naming who holds one.

        `own` are those of the server whose place it takes.
        """
        ...

    async def find(self) -> ServerRecord | None:
        """The server of this project, if it runs; raises LostServerError where it cannot be talked to any more."""
        ...

    async def prepare(self, models: Sequence[ServedModel], own: Ports | None, emit: Emit) -> None:
        """Does and checks all that can fail while the server of before still runs; raises TargetError.

        `own` are the ports of that server, on whichever target. `start` does it too.
        """
        ...

    async def start(self, models: Sequence[ServedModel], emit: Emit) -> ServerRecord:
        """Starts a server and returns when it answers; raises TargetError and leaves nothing behind.

        One that runs is stopped, but not before everything that the new one needs was found.
        """
        ...

    async def stop(self, emit: Emit) -> bool:
        """Ends the server and removes everything that it left, to the end however often it is interrupted.

        False when none ran; raises TargetError.
        """
        ...

    async def read_key_file(self) -> tuple[bytes, float] | None:
        """The key file and when it was written (seconds since the epoch); None where there is none."""
        ...

    async def vitals(self, record: ServerRecord) -> Vitals | None: ...

    def describe_end(self) -> str:
        """Why the last server ended, as far as its console tells."""
        ...

    def ended(self) -> End | None:
        """Why nothing runs, where `find` missed a server that nobody stopped."""
        ...

    def fingerprint(self) -> str:
        """Of all that only a restart can change; a server whose record has another one is started anew."""
        ...


@runtime_checkable
class EndsWorkers(Protocol):
    """A target that reaches the processes of single workers."""

    async def end_worker(self, record: ServerRecord, pid: int) -> bool:
        """Kills that process of the server; False where it has none of that pid."""
        ...


class StoredArchive(msgspec.Struct, frozen=True, kw_only=True):
    """One archive in a container's store."""

    sha256: str
    modified_at: float


class ContainerStore(msgspec.Struct, frozen=True, kw_only=True):
    """The store inside a running container."""

    container: str
    directory: str
    is_mount: bool
    """Then whoever owns the mounted directory fills it, and nothing is to be copied."""
    archives: dict[str, StoredArchive]
    """By file name."""


@runtime_checkable
class HasStore(Protocol):
    """A target whose server may read a store that is not on this machine's disk."""

    async def container_store(self) -> ContainerStore | None:
        """Of the container that serves this project, also one that was started by hand under its name."""
        ...

    async def put_archive(self, file: Path) -> ServerRecord | None:
        """Copies an archive into that store; gives where the server answers, None where no port leads to it."""
        ...
