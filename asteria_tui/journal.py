"""What each process does to a project, told to the sessions of others: a screen shows what a command beside it did.

`.asteria/journal.jsonl` holds events, one a line, and begins anew when it grows. It is a hint only: whoever reads it
begins at its end, no token is ever in it, and what matters (server, keys, models) is asked for all the same.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

import msgspec

from asteria_tui import events
from asteria_tui.bounds import check_depth
from asteria_tui.events import AnyEvent, Event, OperationFailed, OperationFinished, OperationStarted, Predicted
from asteria_tui.inference.answers import LARGEST_BODY
from asteria_tui.state import State
from asteria_tui.state_dir import open_file, write_file

FILE = "journal.jsonl"
MAX_BYTES = 1 << 20
"""The file begins anew when it grows beyond this."""
MAX_LINE = 1 << 18
BLOCK = 1 << 20
"""Bytes that one look reads at most."""
OPERATIONS = frozenset({"predict", "dev"})
"""Those that are told beside the workflows."""
TOLD = (
    OperationFinished,
    OperationFailed,
    events.StageStarted,
    events.StageFinished,
    events.StageFailed,
    events.ArchiveBuilt,
    events.ServerChanged,
    events.ModelsChanged,
    events.StoresCompared,
    Predicted,
    events.Reloaded,
)
"""None of these holds a token."""


class _Entry(msgspec.Struct, frozen=True):
    process: str
    """The pid and something random: one process may have several sessions, and a pid comes again."""
    event: AnyEvent


class Journal:
    """What this session writes, and what it reads of the others."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._begun: dict[str, OperationStarted] = {}
        """Operations of ours that have done nothing yet: one that waits for its turn is not told."""
        self._others: dict[str, int] = {}
        """The operations of others that run, and the pid of each."""
        self._file: IO[bytes] | None = None

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[_Entry]:
        return msgspec.json.Decoder(_Entry)

    # -- ours ---------------------------------------------------------------------------------------------------

    def keep(self, before: State, event: Event) -> None:
        """Writes down what others want to know; a place that can't be written to keeps it to itself.

        `before` is the state that the event met.
        """
        if isinstance(event, OperationStarted):
            if event.lane == "workflow" or event.name in OPERATIONS:
                self._begun[event.operation] = event
            return
        running = next((one for one in before.operations if one.id == event.operation), None)
        if running is None or not (running.lane == "workflow" or running.name in OPERATIONS):
            return
        if isinstance(event, TOLD) and self._state_dir.is_dir():
            begun = self._begun.pop(event.operation, None)
            with contextlib.suppress(OSError):
                self._write(*([begun] if begun else []), event)
        if isinstance(event, OperationFinished | OperationFailed):
            self._begun.pop(event.operation, None)

    def _write(self, *told: Event) -> None:
        lines = b""
        for event in told:
            is_large = isinstance(event, Predicted) and event.size > LARGEST_BODY
            kept = msgspec.structs.replace(event, body=None, content=b"") if is_large else event
            line = events.encode({"process": self._process, "event": kept})
            lines += line + b"\n" if len(line) < MAX_LINE else b""
        with open_file(self._state_dir, FILE, is_appended=True) as file:
            file.write(lines)
            size = file.tell()
        if size > MAX_BYTES:
            write_file(self._state_dir, FILE, b"")  # another file: who reads the one before comes to its end first

    # -- theirs -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """What is told from now on is news."""
        with contextlib.suppress(OSError):
            self._file = self._opened()
            if self._file is not None:
                self._file.seek(0, os.SEEK_END)

    def news(self) -> Iterator[Event]:
        """What other processes have done since the last call, and the end of those that ended without a word."""
        for line in self._lines():
            try:
                check_depth(line.decode())
                entry = self._decoder.decode(line)
            except ValueError:
                continue
            pid = entry.process.partition("-")[0]
            if entry.process != self._process and pid.isdecimal():
                yield from self._taken(entry.event, int(pid))
        for operation, process in list(self._others.items()):
            if not _is_alive(process):
                del self._others[operation]
                name = operation.rpartition("-")[0]
                yield OperationFailed(operation=operation, name=name, title="its process ended without a word")

    @property
    def is_waiting(self) -> bool:
        """Whether an operation of another process runs."""
        return bool(self._others)

    def _taken(self, event: Event, pid: int) -> Iterator[Event]:
        if isinstance(event, OperationStarted):
            self._others[event.operation] = pid
            yield msgspec.structs.replace(event, origin="command line")
        elif event.operation in self._others:  # else it began before we looked
            if isinstance(event, OperationFinished | OperationFailed):
                del self._others[event.operation]
            yield event

    def _lines(self) -> Iterator[bytes]:
        """Whole lines that are new, of the file that was read and of the one that took its place."""
        for _ in range(2):
            if self._file is None:
                with contextlib.suppress(OSError):
                    self._file = self._opened()
            if self._file is None:
                return
            start = self._file.tell()
            read = self._file.read(BLOCK)
            whole = read[: read.rfind(b"\n") + 1]
            self._file.seek(start + (len(whole) if whole or len(read) < MAX_LINE else len(read)))
            yield from whole.splitlines()
            if self._is_current(self._file):
                return
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes] | None:
        """Only where there is one: looking makes none."""
        if not (self._state_dir / FILE).is_file():
            return None
        return open_file(self._state_dir, FILE)

    def _is_current(self, file: IO[bytes]) -> bool:
        try:
            now = (self._state_dir / FILE).stat()
        except OSError:
            return False
        return os.path.samestat(now, os.fstat(file.fileno())) and now.st_size >= file.tell()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
