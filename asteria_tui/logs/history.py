"""The logs of earlier runs: `.asteria/history/<run>/`, bounded in size, the oldest gone first.

A server writes straight into the folder of its run, so nothing is copied and nothing is lost when it is killed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import stat
from pathlib import Path
from typing import NamedTuple

from asteria_tui.errors import ConfigError
from asteria_tui.events import Source
from asteria_tui.state_dir import is_ours, make_dir, make_link, open_file, remove

LIMIT = 200 << 20
"""Bytes of all runs together."""
HISTORY = "history"
RUN = r"\A[0-9]{8}T[0-9]{6}\.[0-9]{6}Z\Z"
"""The pattern of a run's id."""

RECORDS_FILE = "records.jsonl"
"""Every record of a server of ours, once, as JSON lines; its older parts are `records.jsonl.1` and so on."""

CONSOLE_FILE = "console.log"
"""The console of the server and its Java, as people know it."""


class Log(NamedTuple):
    """One file to read."""

    path: Path
    only: Source | None = None
    """Show the records of this source only, for the others stand in another file, too."""
    is_older: bool = False
    """Whether it is an older part of a log: it gets another name, and nothing more is written to it."""


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
        return sum(path.lstat().st_size for path in self.folder.iterdir())


def logs_in(folder: Path) -> list[Log]:
    """The logs of a server of ours, the oldest first; from the console only what Java prints outside of them."""
    parts = sorted(folder.glob(f"{RECORDS_FILE}.*"), key=_part, reverse=True)
    current = folder / RECORDS_FILE
    if not parts and not current.exists():
        return [Log(folder / CONSOLE_FILE)]
    return [*(Log(part, is_older=True) for part in parts), Log(current), Log(folder / CONSOLE_FILE, "console")]


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


def start_run(state_dir: Path, limit: int = LIMIT) -> Run:
    """Make the folder of a new run in `history/` of a state folder, and room for it; raises OSError.

    `server/logs` becomes a link to it, for people and for those who read the current logs. Who writes uses the folder.
    """
    id_ = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    make_dir(state_dir, "server")
    run = Run(make_dir(state_dir, f"{HISTORY}/{id_}"))
    make_link(state_dir, "server/logs", f"../{HISTORY}/{id_}")
    prune(state_dir, run, limit)
    return run


def name_in_run(run: str, file: str) -> str:
    """A file of a run, by its name in the state folder."""
    return f"{HISTORY}/{run}/{file}"


def runs(history: Path) -> list[Run]:
    """All runs that are kept, the oldest first: real folders of ours, named as runs are."""
    if not history.is_dir() or history.is_symlink():
        return []
    return [Run(folder) for folder in sorted(history.iterdir()) if _is_run(folder)]


def _is_run(folder: Path) -> bool:
    if not re.match(RUN, folder.name):
        return False
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and is_ours(status)


def run_of(history: Path, number: int = 0) -> Run:
    """The latest run (0), the one before it (-1), and so on, or the first one (1); raises ConfigError."""
    known = runs(history)
    position = number - 1 if number > 0 else len(known) - 1 + number
    if not 0 <= position < len(known):
        kept = f"{len(known)} kept, the latest is 0, the one before it -1" if known else "none is kept yet"
        raise ConfigError(f"There is no run {number}", kept)
    return known[position]


def prune(state_dir: Path, current: Run, limit: int = LIMIT) -> None:
    """Remove the oldest runs until all take at most `limit` bytes, then the oldest parts of the current one.

    The console of the current run is emptied, not removed: its server appends to it.
    """
    known = runs(state_dir / HISTORY)
    sizes = {run: run.size for run in known}
    for run in known:
        if sum(sizes.values()) <= limit:
            return
        if run != current:
            with contextlib.suppress(OSError):
                remove(state_dir, f"{HISTORY}/{run.id}")
            del sizes[run]
    for log in current.logs:
        name = f"{HISTORY}/{current.id}/{log.path.name}"
        if current.size <= limit:
            return
        if log.path.name == CONSOLE_FILE:
            with open_file(state_dir, name) as console:
                console.truncate(0)
        elif log.path.name != RECORDS_FILE:
            remove(state_dir, name)
