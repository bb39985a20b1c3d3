"""The lines of a log that a filter shows, found piece by piece, those at the end first."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import compress
from operator import and_

from asteria_tui.logs.filter import Filter, is_hiding
from asteria_tui.logs.index import EVERY, Chunk, LineIndex
from asteria_tui.logs.parse import ORIGIN, Parser


class Hits:
    """The numbers of the lines of `index` that `filter_` shows.

    `step` looks at one more piece towards the beginning, `refresh` at what was appended; both are bounded in time,
    so that a screen shows the first hits at once and the others as they are found. All lines of a record are hits.
    """

    def __init__(self, index: LineIndex, filter_: Filter) -> None:
        self.index = index
        self.filter = filter_
        self._parser = Parser()
        self._origins: dict[tuple[bytes, bytes], bool] = {}
        self._chunks = 0
        self._end = 0
        # Numbers of lines from the opening of the file on, and those before it, which fall.
        self._after = array("q")
        self._before = array("q")
        self.refresh()

    def __len__(self) -> int:
        return len(self._before) + len(self._after)

    def __iter__(self) -> Iterator[int]:
        yield from reversed(self._before)
        yield from self._after

    def __getitem__(self, position: int) -> int:
        """The line at that place among those found so far, counted from the first; raises IndexError."""
        before = len(self._before)
        return self._before[before - 1 - position] if position < before else self._after[position - before]

    def newest(self) -> Iterator[int]:
        """The lines found so far, the last one first; goes on looking as long as it is asked."""
        yield from reversed(self._after)
        position = 0
        while position < len(self._before) or self.step():
            while position < len(self._before):
                yield self._before[position]
                position += 1

    def step(self) -> bool:
        """Look at one more piece towards the beginning; False when there is none."""
        chunk = self.index.earlier(self._chunks)
        if chunk is None:
            return False
        self._chunks += 1
        self.index.earlier(self._chunks)  # so that it is known which record the first lines continue
        found = array("q", (line for line in self._in(chunk, chunk.first) if line < 0))
        found.reverse()
        self._before.extend(found)
        return True

    def refresh(self) -> None:
        """Look at the lines that the index has got since."""
        end = self.index.end
        if end == self._end:
            return
        # The last record may have become longer, so it is looked at again.
        first = max(0, self.index.bounds(self._end)[0])
        while self._after and self._after[-1] >= first:
            self._after.pop()
        for chunk in list(self.index.later(first)):
            found = self._in(chunk, max(first, chunk.first))
            self._after.extend(line for line in found if not self._after or line > self._after[-1])
        self._end = end

    def _in(self, chunk: Chunk, first: int) -> Iterable[int]:
        """The lines to show of the records that start in `chunk`, at line `first` or later."""
        shown = chunk.levels.translate(self.filter.levels)
        if not shown.count(1, first - chunk.first):
            return ()
        after = chunk.first + len(chunk.levels)
        if self.filter.is_by_level_only:
            return compress(range(first, after), shown[first - chunk.first :])
        if self.filter.is_by_origin_only:
            passing = self._of_origins(first, after)
            if passing is not None:
                levels = shown[first - chunk.first :]
                return compress(range(first, after), map(and_, levels, passing))
        _, end = self.index.bounds(after - 1)
        lines: Iterable[int] = range(first, end)
        needle = self.filter.needle
        if needle:
            data = self.index.read(chunk)
            if end > after:
                data += b"\n".join(self.index.lines(after, end - after))
            if not is_hiding(data):
                lines = _holding(data, needle, chunk)
        return self._exact(lines, first)

    def _of_origins(self, first: int, after: int) -> Iterable[bool] | None:
        """For each line whether its thread and logger are to be shown; None unless all are JSON lines of ours."""
        origins = ORIGIN.findall(b"\n".join(self.index.lines(first, after - first)))
        if len(origins) != after - first:
            return None
        for origin in set(origins).difference(self._origins):
            self._origins[origin] = self.filter.shows_origin(*origin)
        return map(self._origins.__getitem__, origins)

    def _exact(self, candidates: Iterable[int], first: int) -> Iterator[int]:
        """The lines of those records of `candidates` that are to be shown and start at `first` or later."""
        done = first
        for line in candidates:
            if line < done:
                continue
            start, end = self.index.bounds(line)
            # A record that began before the file was opened goes on at line 0.
            is_mine = start >= first or first == 0
            if is_mine and self.filter.matches(self.index.record(line, self._parser)):
                yield from range(max(start, first), end)
            done = end


def _holding(data: bytes, needle: bytes, chunk: Chunk) -> Iterator[int]:
    """The numbers of the lines of `data`, the bytes of `chunk` and what follows, that hold `needle`."""
    line, counted = 0, 0
    found = data.find(needle)
    while found >= 0:
        mark = bisect_right(chunk.marks, chunk.start + found) - 1
        if mark * EVERY > line:
            line, counted = mark * EVERY, chunk.marks[mark] - chunk.start
        line += data.count(b"\n", counted, found)
        counted = found
        yield chunk.first + line
        after = data.find(b"\n", found)
        if after < 0:
            return
        found = data.find(needle, after)
