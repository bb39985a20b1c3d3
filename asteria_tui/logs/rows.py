"""The log as the screen shows it: its rows behind one filter, found piece by piece, parsed when shown."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec

from asteria_tui.events import LogRecord
from asteria_tui.logs.filter import DEFAULT, Filter
from asteria_tui.logs.find import Find
from asteria_tui.logs.folds import Fold, Folds
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.parts import Lost
from asteria_tui.logs.requests import RequestFold, RequestFolds, answered, is_good, quiet_lines
from asteria_tui.logs.rotated import RotatedLog
from asteria_tui.logs.search import Hits

BUDGET = 0.006
"""Seconds after which a refresh begins nothing more, so that it takes 8 ms at most: keys come first."""
PAUSE = 0.02
"""Seconds between two refreshes, though more is there: keys and other work come in between."""
STEP = 1 << 15
"""Bytes that are searched in one go, which takes a millisecond or two where each record has to be parsed."""
RECORDS_KEPT = 2_000


class Change(msgspec.Struct, frozen=True):
    """What a refresh brought."""

    before: int = 0
    """Rows that were found in front of the first; less than 0 where a part of the log was deleted."""
    after: int = 0
    """Rows that came at the end."""
    is_folded: bool = False
    """A traceback that is shown has become longer."""
    is_new: bool = False
    """The log is another one: nothing that was known of rows holds."""

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.is_folded or self.is_new)


class LogRows:
    """Rows are numbered from 0; those found in front shift all numbers by `Change.before`."""

    def __init__(self, path: Path, filter_: Filter, known: Iterable[tuple[str, str]] = ()) -> None:
        """`known` are the (name, version) pairs of the server's models."""
        self.path = path
        self._known = tuple(known)
        self._record = lru_cache(maxsize=RECORDS_KEPT)(self._parse)
        self._at_start = self._is_behind = self._has_folded = False
        self.found: Find | None = None
        """What is searched among the rows."""
        self._log = RotatedLog(path)
        self.set_filter(filter_)

    def __len__(self) -> int:
        return len(self._hits)

    @property
    def is_complete(self) -> bool:
        """Whether the log was searched from its beginning to its end."""
        is_found = self.found is None or self.found.is_complete
        return self._at_start and not self._is_behind and is_found

    @property
    def lines(self) -> int:
        """Lines of the log that are indexed, shown or not."""
        return self._log.end - self._log.first

    @property
    def lost(self) -> Lost:
        """Lines that were deleted before they were indexed."""
        return self._log.lost

    def record(self, row: int) -> LogRecord:
        """What the row shows: its line of the record, or of a traceback that is folded its last exception."""
        line = self._hits[row]
        fold = self._fold_at(line)
        if fold is None or not fold.is_folded:
            return self._record(line)
        return msgspec.structs.replace(self._record(line), text=self._record(fold.last).text.lstrip(" |"))

    def full_record(self, row: int) -> LogRecord:
        """The record, or the whole traceback that is folded there."""
        line = self._hits[row]
        fold = self._fold_at(line)
        if fold is None or not fold.is_folded:
            return self._log.record(line, Parser(self._known))
        return msgspec.structs.replace(self._record(line), text=self._text(fold))

    def fold(self, row: int) -> Fold | None:
        """The traceback that has its head in that row, or the request that the row stands for."""
        return self._fold_at(self._hits[row])

    def fold_around(self, row: int) -> Fold | None:
        """The traceback or the unfolded request that the row lies in."""
        return self._around(self._hits[row])

    def traceback(self, row: int) -> str:
        """The text that holds the traceback which the row lies in, or the failed request; empty where there is none."""
        fold = self.fold_around(row)
        if fold is None or (isinstance(fold, RequestFold) and not self._is_failed(fold)):
            return ""
        return self._text(fold)

    def toggle(self, row: int) -> int | None:
        """Folds what the row lies in, or unfolds it; gives the row of its head, None if there is nothing."""
        fold = self.fold_around(row)
        if fold is None:
            return None
        self._toggle(fold)
        return self.row_of(fold.head)

    def uncover(self, line: int) -> int | None:
        """The row of a line, unfolded if need be; None if it is not shown, or not found yet."""
        fold = self._folds.around(line) if self._folds is not None and self.row_of(line) is None else None
        if fold is not None and fold.is_folded:
            self._toggle(fold)
        elif self._requests is not None and self.row_of(line) is None:
            self._hits.show(array("q", [line]))
        return self.row_of(line)

    def key(self, row: int) -> int:
        """A number for the row that never changes as long as the log is the same."""
        return self._hits[row]

    def refresh(self) -> Change:
        """Takes in what was appended and, as far as the time allows, more of what lies before."""
        until = time.monotonic() + BUDGET
        count, gone, is_new = len(self), 0, False
        self._is_behind, self._has_folded = True, False
        while self._is_behind and time.monotonic() < until:
            if self._search_appended():
                continue
            if not self._log.refresh():
                self.set_filter(self.filter)
                count, gone, is_new = 0, 0, True
            gone += self._forget_deleted()
            self._is_behind = self._log.is_behind or self._search_appended()
        after = len(self) - (count - gone)
        if gone:
            return Change(before=-gone, after=after, is_folded=self._has_folded, is_new=is_new)
        while time.monotonic() < until and self._step():
            pass
        before = len(self) - count - after
        return Change(before=before, after=after, is_folded=self._has_folded, is_new=is_new)

    def reaches(self, at: float) -> bool:
        """Whether the part that was searched begins before that time."""
        return bool(len(self)) and (self.record(0).time or at) < at

    def row_at(self, at: float) -> int:
        """The first row at or after a time, in seconds since the epoch."""
        return min(bisect_left(range(len(self)), at, key=lambda row: self.record(row).time or 0.0), len(self) - 1)

    def row_of(self, line: int) -> int | None:
        """The row that has this key; None if it is not shown, or not found yet."""
        row = bisect_left(self._hits, line)
        return row if row < len(self._hits) and self._hits[row] == line else None

    def find(self, text: str, line: int | None = None) -> None:
        """Searches for a text or regular expression among the rows, from the one with that key on; nothing if empty."""
        self.found = Find(self._log, self.filter, text, self._known, size=STEP, line=line) if text else None

    def set_filter(self, filter_: Filter) -> None:
        self.filter = filter_
        # A filter by text shows what matches inside of tracebacks and requests, too.
        is_quiet = filter_.sources == DEFAULT.sources and not filter_.is_by_text
        self._hits = Hits(self._log, filter_, self._known, size=STEP, left_out=quiet_lines if is_quiet else None)
        self._folds = None if filter_.is_by_text else Folds(self._log, self._hits)
        self._requests = RequestFolds(self._log, self._hits, self._record) if is_quiet else None
        self._at_start = self._is_behind = False
        self._record.cache_clear()
        if self.found is not None:
            self.find(self.found.text)

    def close(self) -> None:
        self._log.close()

    def _step(self) -> bool:
        """Searches one piece more for rows and matches; False when there is none for now."""
        end = self._hits.searched[0]
        is_more = not self._at_start and self._hits.step()
        self._fold(self._hits.searched[0], end)
        self._at_start = self._at_start or (not is_more and self._log.is_complete)
        return (self.found is not None and self.found.step()) or is_more

    def _search_appended(self) -> bool:
        """Searches one piece more of what was appended; False when there is none."""
        first = self._hits.searched[1]
        is_more = self._hits.refresh()
        self._fold(first, self._hits.searched[1])
        return is_more

    def _fold(self, first: int, after: int) -> None:
        if self._folds is not None and first < after:
            self._has_folded |= self._folds.take(first, after)

    def _fold_at(self, line: int) -> Fold | None:
        fold = self._folds.at(line) if self._folds is not None else None
        return fold or (self._requests.at(line) if self._requests is not None else None)

    def _around(self, line: int) -> Fold | None:
        fold = self._folds.around(line) if self._folds is not None else None
        return fold or (self._requests.around(line) if self._requests is not None else None)

    def _text(self, fold: Fold) -> str:
        if isinstance(fold, RequestFold):
            return self._requests.text(fold) if self._requests is not None else ""
        return self._folds.text(fold) if self._folds is not None else ""

    def _toggle(self, fold: Fold) -> None:
        if isinstance(fold, RequestFold):
            if self._requests is not None:
                self._requests.toggle(fold)
        elif self._folds is not None:
            self._folds.toggle(fold)

    def _is_failed(self, fold: Fold) -> bool:
        shown = answered(self._record(fold.head))
        return shown is not None and not is_good(shown[1])

    def _forget_deleted(self) -> int:
        """The number of rows that are gone from the beginning."""
        if self._log.first <= self._hits.searched[0]:
            return 0
        count = len(self)
        self._hits.forget_deleted()
        if self._folds is not None:
            self._folds.forget_deleted()
        if self._requests is not None:
            self._requests.forget_deleted()
        return count - len(self)

    def _parse(self, line: int) -> LogRecord:
        record = self._log.record(line, Parser(self._known))
        start, end = self._log.bounds(line)
        if end == start + 1:
            return record
        texts = record.text.split("\n")
        own = max(1, len(texts) - (end - start - 1))  # JSON may hold several lines in one
        shown = texts[:own] if line == start else texts[own + line - start - 1 :][:1]
        return msgspec.structs.replace(record, text="\n".join(shown))
