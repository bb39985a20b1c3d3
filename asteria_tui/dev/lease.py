"""Which `dev` owns the server of a project: a file with its pid and start time; one of the dead counts for nothing."""

from __future__ import annotations

import contextlib
import os
import secrets

import msgspec

from asteria_tui.config import Project
from asteria_tui.process import ProcessId
from asteria_tui.state_dir import read_file, remove, write_file
from asteria_tui.targets.record import make_state_dir

FILE = "dev.json"
MAX_BYTES = 4096


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Of one run of `dev`."""

    owner: ProcessId
    mark: str
    """Random: one process may run `dev` again."""
    models: tuple[str, ...] = ()
    hold_for: int = 0
    """Seconds that a request which fails may be held; 0 where none is."""


def current(project: Project) -> Lease | None:
    """That of a living process, if there is one."""
    try:
        found = msgspec.json.decode(read_file(project.state_dir, FILE, MAX_BYTES), type=Lease)
    except (OSError, ValueError, RecursionError):
        return None
    return found if found.owner.is_alive else None


def take(project: Project, models: tuple[str, ...], hold_for: int = 0) -> Lease:
    """Makes it ours, whoever had it; raises OSError."""
    make_state_dir(project)
    lease = Lease(owner=ProcessId.of(os.getpid()), mark=secrets.token_hex(8), models=models, hold_for=hold_for)
    write_file(project.state_dir, FILE, msgspec.json.encode(lease))
    return lease


def end(project: Project, lease: Lease | None = None) -> None:
    """Whoever holds it hears so and ends; with `lease` only where it is that one."""
    if lease is None or current(project) == lease:
        with contextlib.suppress(OSError):
            remove(project.state_dir, FILE)
