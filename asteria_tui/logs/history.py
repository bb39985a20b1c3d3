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

RECORDS_FILE = "records.jsonl"
"""Every record of a server of ours, once, as JSON lines; its older parts are `records.jsonl.1` and so on."""

CONSOLE_FILE = "console.log"
"""The console of the server and its Java, as people know it."""


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
        return logs_in(self.folder)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def logs_in(folder: Path) -> list[Log]:
    """The logs of a server of ours, the oldest first; from the console only what Java prints outside of them."""
    parts = sorted(folder.glob(f"{RECORDS_FILE}.*"), key=_part, reverse=True)
    current = folder / RECORDS_FILE
    if not parts and not current.exists():
        return [Log(folder / CONSOLE_FILE)]
    return [*map(Log, parts), Log(current), Log(folder / CONSOLE_FILE, "console")]


def shown_log(folder: Path) -> Path:
    """The log to show: the records, or the console of a server that ended before its first one."""
    records, console = folder / RECORDS_FILE, folder / CONSOLE_FILE
    has_records = _size(records) or records.with_name(f"{RECORDS_FILE}.1").exists()
    return records if has_records or not _size(console) else console


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _part(path: Path) -> int:
    """The number of a part; the one with the highest is the oldest."""
    number = path.suffix.removeprefix(".")
    return int(number) if number.isdecimal() else 0


def start_run(history: Path, current: Path, limit: int = LIMIT) -> Run:
    """Make the folder of a new run under `history`, and room for it; `current` becomes a link to it."""
    run = Run(history / dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ"))
    run.folder.mkdir(mode=0o700, parents=True)
    if current.is_dir() and not current.is_symlink():
        shutil.rmtree(current)
    current.unlink(missing_ok=True)
    current.symlink_to(run.folder.resolve())
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
        elif log.path.name != RECORDS_FILE:
            log.path.unlink(missing_ok=True)
