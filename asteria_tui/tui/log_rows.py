"""The log as the screen shows it: its rows behind one filter, found piece by piece, parsed when looked at."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from asteria_tui.events import LogRecord
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.find import Find
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.rolled import RolledLog
from asteria_tui.logs.search import Hits

BUDGET = 0.006
"""Seconds after which one look at the log begins nothing more, so that it takes 8 ms at most: keys come first."""
STEP = 1 << 16
"""Bytes that are searched in one go, which takes a millisecond or two where each record has to be parsed."""
RECORDS_KEPT = 2_000


class Change(msgspec.Struct, frozen=True):
    """What a look at the log brought."""

    before: int = 0
    """Rows that were found in front of the first; less than 0 where a part of the log was deleted."""
    after: int = 0
    """Rows that came at the end."""
    is_new: bool = False
    """The log is another one: nothing that was known of rows holds."""

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.is_new)


class LogRows:
    """Rows are numbered from 0; those found in front shift all numbers by `Change.before`."""

    def __init__(self, path: Path, filter_: Filter, known: Iterable[tuple[str, str]] = ()) -> None:
        """`known` are the (name, version) pairs of the server's models."""
        self.path = path
        self._known = tuple(known)
        self._record = lru_cache(maxsize=RECORDS_KEPT)(self._parse)
        self._at_start = self._is_behind = False
        self.found: Find | None = None
        """What is looked for among the rows."""
        self._log = RolledLog(path)
        self.set_filter(filter_)

    def __len__(self) -> int:
        return len(self._hits)

    @property
    def is_complete(self) -> bool:
        """Whether the log was looked at from its beginning to its end."""
        is_found = self.found is None or self.found.is_complete
        return self._at_start and not self._is_behind and is_found

    @property
    def lines(self) -> int:
        """Lines of the log that are indexed, shown or not."""
        return self._log.end - self._log.first

    def record(self, row: int) -> LogRecord:
        return self._record(self._hits[row])

    def key(self, row: int) -> int:
        """A number for the row that never changes as long as the log is the same."""
        return self._hits[row]

    def look(self) -> Change:
        """Takes in what was appended and, as far as the time allows, more of what lies before."""
        until = time.monotonic() + BUDGET
        count, gone, is_new = len(self), 0, False
        self._is_behind = True
        while self._is_behind and time.monotonic() < until:
            if self._hits.refresh():
                continue
            if not self._log.refresh():
                self.set_filter(self.filter)
                count, gone, is_new = 0, 0, True
            gone += self._hits.forget_deleted()
            self._is_behind = self._log.is_behind or self._hits.refresh()
        after = len(self) - (count - gone)
        if gone:
            return Change(before=-gone, after=after, is_new=is_new)
        while time.monotonic() < until and self._step():
            pass
        return Change(before=len(self) - count - after, after=after, is_new=is_new)

    def row_at(self, at: float) -> int:
        """The first row at or after a time, in seconds since the epoch."""
        return min(bisect_left(range(len(self)), at, key=lambda row: self.record(row).time or 0.0), len(self) - 1)

    def row_of(self, line: int) -> int | None:
        """The row that has this key; None if it is not shown, or not found yet."""
        row = bisect_left(self._hits, line)
        return row if row < len(self._hits) and self._hits[row] == line else None

    def find(self, text: str, line: int | None = None) -> None:
        """Looks for a text or regular expression among the rows, from the one with that key on; nothing if empty."""
        self.found = Find(self._log, self.filter, text, self._known, size=STEP, line=line) if text else None

    def set_filter(self, filter_: Filter) -> None:
        self.filter = filter_
        self._hits = Hits(self._log, filter_, self._known, size=STEP)
        self._at_start = self._is_behind = False
        self._record.cache_clear()
        if self.found is not None:
            self.find(self.found.text)

    def close(self) -> None:
        self._log.close()

    def _step(self) -> bool:
        """Looks for rows and matches in one piece more; False when there is none for now."""
        is_more = not self._at_start and self._hits.step()
        self._at_start = self._at_start or (not is_more and self._log.is_complete)
        return (self.found is not None and self.found.step()) or is_more

    def _parse(self, line: int) -> LogRecord:
        return self._log.record(line, Parser(self._known))
