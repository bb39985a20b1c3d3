"""Find in a log: the lines that match among those that a filter shows, counted piece by piece from one place on."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import msgspec

from asteria_tui.errors import ConfigError
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.pattern import compiled
from asteria_tui.logs.rotated import RotatedLog
from asteria_tui.logs.search import Hits


def pattern_of(text: str) -> str:
    """`text` as a regular expression; as plain text where it is none."""
    try:
        compiled(text)
    except ConfigError:
        return re.escape(text)
    return text


class Find:
    """What matches `text` behind `filter_`; the search begins at `line` and goes on in both directions."""

    def __init__(
        self,
        log: RotatedLog,
        filter_: Filter,
        text: str,
        known: Iterable[tuple[str, str]] = (),
        *,
        size: int,
        line: int | None = None,
    ) -> None:
        """`known` are the (name, version) pairs of the server's models; `size` bytes are searched in one step."""
        self.text = text
        self.pattern = pattern_of(text)
        self._log = log
        start = line if line is not None and log.first <= line < log.end else None
        both = msgspec.structs.replace(filter_, find=self.pattern)
        self._hits = Hits(log, both, known, size=size, start=start)
        self._at_start = False

    def __len__(self) -> int:
        """The matches found so far."""
        return len(self._hits)

    @property
    def is_complete(self) -> bool:
        """Whether all that is there was searched."""
        return self._at_start and self._hits.searched[1] >= self._log.end

    def step(self) -> bool:
        """Search a piece more in each direction; False when there is none."""
        self._hits.forget_deleted()
        is_later, is_earlier = self._hits.refresh(), not self._at_start and self._hits.step()
        self._at_start = self._at_start or (not is_earlier and self._log.is_complete)
        return is_later or is_earlier

    def number(self, line: int) -> int:
        """The number of the match in that line, counted from 1 among those found so far; 0 where there is none."""
        place = bisect_left(self._hits, line)
        return place + 1 if place < len(self._hits) and self._hits[place] == line else 0

    def next(self, line: int, by: int) -> tuple[int, bool] | None:
        """The line of the match after `line` (`by` is 1) or before it (-1), and whether it wraps around the end.

        None if there is none, or none is known yet: see `is_complete`.
        """
        first, end = self._hits.searched
        place = bisect_right(self._hits, line) if by > 0 else bisect_left(self._hits, line) - 1
        if 0 <= place < len(self._hits) and (first <= line <= end or self.is_complete):
            return self._hits[place], False
        if not self.is_complete or not len(self._hits):
            return None
        return self._hits[0 if by > 0 else len(self._hits) - 1], True
