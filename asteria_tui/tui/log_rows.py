"""The log as the screen shows it: rows of one file behind one filter, found piece by piece, parsed when looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from asteria_tui.errors import TargetError
from asteria_tui.events import LogRecord
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.search import Hits

BUDGET = 0.008
"""Seconds that one look at the log may take: keys come first."""
RECORDS_KEPT = 2_000


class Change(msgspec.Struct, frozen=True):
    """What a look at the log brought."""

    before: int = 0
    """Rows that were found in front of the first."""
    after: int = 0
    """Rows that came at the end."""
    is_new: bool = False
    """The file is another one: nothing that was known of rows holds."""

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.is_new)


class LogRows:
    """Rows are numbered from 0; those found in front shift all numbers by `Change.before`."""

    def __init__(self, path: Path, filter_: Filter, known: Iterable[tuple[str, str]] = ()) -> None:
        """`known` are the (name, version) pairs of the server's models."""
        self.path = path
        self.filter = filter_
        self._known = tuple(known)
        self._index: LineIndex | None = None
        self._hits: Hits | None = None
        self._at_start = False
        self._record = lru_cache(maxsize=RECORDS_KEPT)(self._parse)

    def __len__(self) -> int:
        return len(self._hits) if self._hits is not None else 0

    @property
    def is_complete(self) -> bool:
        """Whether the file was looked at to its beginning."""
        return self._at_start

    @property
    def lines(self) -> int:
        """Lines of the file that are indexed, shown or not."""
        return self._index.end - self._index.first if self._index is not None else 0

    def record(self, row: int) -> LogRecord:
        return self._record(self._line(row))

    def key(self, row: int) -> int:
        """A number for the row that never changes as long as the file is the same."""
        return self._line(row)

    def look(self) -> Change:
        """Takes in what was appended and, as far as the time allows, more of what lies before."""
        until = time.monotonic() + BUDGET
        if self._index is None or self._hits is None:
            return Change(is_new=self._open())
        if not self._index.refresh():
            self._forget()
            return Change(is_new=True)
        before, after = len(self._hits), 0
        self._hits.refresh()
        after = len(self._hits) - before
        while not self._at_start and time.monotonic() < until:
            self._at_start = not self._hits.step()
        return Change(before=len(self._hits) - before - after, after=after)

    def set_filter(self, filter_: Filter) -> None:
        self.filter = filter_
        self._at_start = False
        self._record.cache_clear()
        if self._index is not None:
            self._hits = Hits(self._index, filter_)

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

    def _open(self) -> bool:
        if not self.path.exists():
            return False
        try:
            self._index = LineIndex(self.path)
        except TargetError:
            return False  # being replaced at this very moment: the next look finds it
        self._forget()
        return True

    def _forget(self) -> None:
        self._at_start = False
        self._record.cache_clear()
        if self._index is not None:
            self._hits = Hits(self._index, self.filter)
            self._hits.step()

    def _line(self, row: int) -> int:
        if self._hits is None:
            raise IndexError(row)
        return self._hits[row]

    def _parse(self, line: int) -> LogRecord:
        if self._index is None:
            raise IndexError(line)
        return self._index.record(line, Parser(self._known))
