"""What one archive may cost to be looked into, all its members and the archives in it together."""

from __future__ import annotations

import time
from typing import IO, Any, NoReturn

from asteria_tui.bounds import MIB
from asteria_tui.errors import ArchiveError

MAX_MEMBERS = 100_000
"""A whole `site-packages` has 50,000."""
MAX_DIRECTORY = 32 * MIB
"""Bytes of the list of members at the end of a zip file; `zipfile` reads it in one go and keeps ten times as much."""
SECONDS = 20.0
OPCODES = 2_000_000
"""About 100 bytes and 2 µs each, for picklescan keeps those of one pickle."""
OPCODE_BYTES = 256 * MIB
"""Of all pickles; a state_dict has some 40 opcodes for each tensor."""
WALKS = 50_000_000
"""For each import by name, picklescan may walk back through every opcode before it."""
UNPACKED = 16
"""Times the size of the archive; weights shrink to a half at best."""
UNPACKED_ANYWAY = 64 * MIB
_ENTRY = b"PK\x01\x02"


class BudgetError(Exception):
    """Something of it is used up: the rest of the archive is not looked at."""


class Budget:
    """`spend` and `check_time` raise BudgetError when too much was spent, and at each call after that."""

    def __init__(self, archive_size: int) -> None:
        self._left = {
            "members": MAX_MEMBERS,
            "opcodes": OPCODES,
            "bytes of pickles": OPCODE_BYTES,
            "imports behind so many opcodes": WALKS,
            "bytes when unpacked": UNPACKED * archive_size + UNPACKED_ANYWAY,
        }
        self._ends_at = time.monotonic() + SECONDS
        self.error: BudgetError | None = None

    def spend(self, kind: str, amount: int) -> None:
        self._left[kind] -= amount
        if self._left[kind] < 0:
            self._end(f"more {kind} than any weights have")

    def check_time(self) -> None:
        if time.monotonic() > self._ends_at:
            self._end(f"it took longer than {SECONDS:.0f} s")
        if self.error is not None:
            raise self.error

    def _end(self, reason: str) -> NoReturn:
        self.error = self.error or BudgetError(reason)
        raise self.error


class DirectoryGuard:
    """A zip file for `zipfile`, which would read a list of a million members before anybody could count them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise ArchiveError(f"its list of members is larger than {MAX_DIRECTORY // MIB} MiB")
        data = self._file.read(size)
        if len(data) >= MAX_MEMBERS and data.count(_ENTRY) > MAX_MEMBERS:
            raise ArchiveError(f"it holds more than {MAX_MEMBERS:,} members")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
