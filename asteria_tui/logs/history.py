"""The logs of earlier runs: `.asteria/history/<run>/`, bounded in size, the oldest gone first.

A server writes straight into the folder of its run, so nothing is copied and nothing is lost when it is killed.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from asteria_tui.errors import ConfigError
from asteria_tui.events import Source

LIMIT = 200 << 20
"""Bytes of all runs together."""

JSON_FILE = "server.jsonl"
"""What the generated log layout writes; its older parts are `server.1.jsonl` and so on."""

CONSOLE_FILE = "console.log"
"""What the server and its Java print."""


class Log(NamedTuple):
    """One file to read."""

    path: Path
    only: Source | None = None
    """Show the records of this source only, for the others stand in another file, too."""


class Run(NamedTuple):
    """The logs of one run of a server."""

    folder: Path

    @property
    def id(self) -> str:
        """Its start in UTC: `20260102T030405.678901Z`, so that names sort by time."""
        return self.folder.name

    @property
    def logs(self) -> list[Log]:
        """Its files, those that are complete first."""
        parts = sorted(self.folder.glob("server*.jsonl"), key=lambda path: path.stat().st_mtime)
        console = self.folder / CONSOLE_FILE
        if not parts:
            return [Log(console)]
        return [*map(Log, parts), Log(console, "console")]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def start_run(history: Path, limit: int = LIMIT) -> Run:
    """Make the folder of a new run under `history`, and room for it."""
    name = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    run = Run(history / name)
    run.folder.mkdir(mode=0o700, parents=True)
    prune(history, limit)
    return run


def runs(history: Path) -> list[Run]:
    """All runs that are kept, the oldest first."""
    if not history.is_dir():
        return []
    return [Run(folder) for folder in sorted(history.iterdir()) if folder.is_dir() and not folder.is_symlink()]


def run_of(history: Path, number: int = 0) -> Run:
    """The latest run (0), the one before it (-1), and so on, or the first one (1); raises ConfigError."""
    known = runs(history)
    position = number - 1 if number > 0 else len(known) - 1 + number
    if not 0 <= position < len(known):
        kept = f"{len(known)} kept, the latest is 0, the one before it -1" if known else "none is kept yet"
        raise ConfigError(f"There is no run {number}", kept)
    return known[position]


def prune(history: Path, limit: int = LIMIT) -> None:
    """Remove the oldest runs until all take at most `limit` bytes, then the oldest parts of the latest one.

    The console of the latest run is emptied, not removed: its server appends to it.
    """
    known = runs(history)
    sizes = [run.size for run in known]
    for run in known[:-1]:
        if sum(sizes) <= limit:
            return
        shutil.rmtree(run.folder, ignore_errors=True)
        sizes.pop(0)
    if not known or sizes[-1] <= limit:
        return
    latest = known[-1]
    for log in latest.logs:
        if latest.size <= limit:
            return
        if log.path.name == CONSOLE_FILE and log.path.exists():
            os.truncate(log.path, 0)
        elif log.path.name != JSON_FILE:
            log.path.unlink(missing_ok=True)
