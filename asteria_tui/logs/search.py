"""The lines of a log that a filter shows, found piece by piece, those at the end first."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import compress, dropwhile
from operator import and_

from asteria_tui.logs.filter import Filter, is_hiding
from asteria_tui.logs.index import CHUNK, EVERY, PIECE, Chunk, LineIndex
from asteria_tui.logs.parse import ORIGIN, Parser
from asteria_tui.logs.rotated import RotatedLog
from asteria_tui.logs.text import LINE_LIMIT

_ORIGINS = 4096


class Hits:
    """The numbers of the lines of `index` that `filter_` shows, in order.

    It begins at the line `start`, usually the end: `step` searches one more piece towards the beginning, `refresh`
    one more towards the end, each of about `size` bytes, so that a screen shows the first hits at once and the others
    as they are found. All lines of a record are hits. `known` are the (name, version) pairs of the server's models.
    """

    def __init__(
        self,
        index: LineIndex | RotatedLog,
        filter_: Filter,
        known: Iterable[tuple[str, str]] = (),
        *,
        size: int = CHUNK,
        start: int | None = None,
        left_out: Callable[[int, bytes], set[int]] | None = None,
    ) -> None:
        """`left_out` gives the lines that are not shown though they pass, of a first line and the bytes from it on."""
        self.index = index
        self.filter = filter_
        self._size = size
        self._left_out = left_out
        self._parser = Parser(known)
        self._origins: dict[bytes, bool] = {}
        self._start = index.end if start is None else index.bounds(start)[0]
        self._first = self._end = self._start
        # The numbers of lines from the start on, and those before it, which fall.
        self._after = array("q")
        self._before = array("q")

    def __len__(self) -> int:
        return len(self._before) + len(self._after)

    def __iter__(self) -> Iterator[int]:
        yield from reversed(self._before)
        yield from self._after

    def __getitem__(self, position: int) -> int:
        """The line at that place among those found so far, counted from the first; raises IndexError."""
        before = len(self._before)
        return self._before[before - 1 - position] if position < before else self._after[position - before]

    def __contains__(self, line: int) -> bool:
        place = bisect_left(self, line)
        return place < len(self) and self[place] == line

    @property
    def searched(self) -> tuple[int, int]:
        """The first line that was searched, and the one after the last."""
        return self._first, self._end

    def step(self) -> bool:
        """Index or search one more piece towards the beginning; False when there is none."""
        if self._first <= self.index.first:
            return self.index.step_back(max(PIECE, self._size))
        part = self.index.part(self._first - 1)
        chunk = part.chunk(self._first - 1)
        first = chunk.span_before(self._first, self._size)
        if first == part.first and part.step_back(max(PIECE, self._size)):
            return True  # now it is known which record the first lines continue
        found = array("q", (line for line in self._in(part, chunk, first, self._first) if line < self._start))
        found.reverse()
        self._before.extend(found)
        self._first = first
        return True

    def refresh(self) -> bool:
        """Search one more piece of the lines that the index has got since; False when there is none."""
        if self._end >= self.index.end:
            return False
        part = self.index.part(self._end)
        chunk = part.chunk(self._end)
        after = chunk.span_after(self._end, self._size)
        # The last record may have become longer, so it is searched again.
        first = max(self._start, part.bounds(self._end)[0])
        while self._after and self._after[-1] >= first:
            self._after.pop()
        if first < chunk.first:
            self._extend(self._in(part, part.chunk(first), first, chunk.first))
        self._extend(self._in(part, chunk, max(first, chunk.first), after))
        self._end = after
        return True

    def forget_deleted(self) -> None:
        """Leaves out the lines that the index has lost at its beginning."""
        first = self.index.first
        if first <= self._first:
            return
        count = bisect_left(self, first)
        kept = max(0, len(self._before) - count)
        del self._after[: max(0, count - len(self._before))]
        del self._before[kept:]
        self._first = first
        self._start, self._end = max(self._start, first), max(self._end, first)

    def hide(self, lines: array[int]) -> None:
        """Leaves out some lines, given in order, that lie near one another."""
        self._edit(lines, lambda shown: shown.difference(lines))

    def show(self, lines: array[int]) -> None:
        """Takes in some lines again."""
        self._edit(lines, lambda shown: shown.union(lines))

    def _edit(self, lines: array[int], change: Callable[[set[int]], set[int]]) -> None:
        """Replaces the hits from the first of `lines` to the last."""
        if not lines:
            return
        low, high = bisect_left(self, lines[0]), bisect_right(self, lines[-1])
        kept = sorted(change({self[place] for place in range(low, high)}))
        before = len(self._before)
        early = [line for line in kept if line < self._start]
        if low < before:
            self._before[before - min(high, before) : before - low] = array("q", reversed(early))
        elif early:  # only where all before the start was hidden
            self._before[:0] = array("q", reversed(early))
        late = array("q", kept[len(early) :])
        self._after[max(0, low - before) : max(0, high - before)] = late

    def _extend(self, found: Iterable[int]) -> None:
        self._after.extend(dropwhile(self._after[-1].__ge__, found) if self._after else found)

    def _in(self, part: LineIndex, chunk: Chunk, first: int, after: int) -> Iterable[int]:
        """What `_matching` finds, without what is left out."""
        found = self._matching(part, chunk, first, after)
        if self._left_out is None or not found:
            return found
        left_out = self._left_out(*part.read(chunk, first, after))
        return (line for line in found if line not in left_out) if left_out else found

    def _matching(self, part: LineIndex, chunk: Chunk, first: int, after: int) -> Iterable[int]:
        """The lines to show of the records that start in `chunk`, at line `first` or later, before line `after`."""
        shown = chunk.levels[first - chunk.first : after - chunk.first].translate(self.filter.levels)
        if not shown.count(1):
            return ()
        if self.filter.is_by_level_only:
            return compress(range(first, after), shown)
        start, data = part.read(chunk, first, after)
        if self.filter.is_by_origin_only:
            passing = self._of_origins(data, after - start)
            if passing is not None:
                return compress(range(first, after), map(and_, shown, passing[first - start :]))
        end = part.bounds(after - 1)[1]
        data += b"".join(line + b"\n" for line in part.lines(after, end - after))
        lines: Iterable[int] = range(first, end)
        needle = self.filter.needle
        if needle and not is_hiding(data):
            lines = lines_holding(data, needle, start, chunk)
        return self._exact(part, lines, first, start, data)

    def _of_origins(self, data: bytes, number: int) -> list[bool] | None:
        """For each of the lines whether its origin is to be shown; None unless all are JSON lines of ours."""
        origins = ORIGIN.findall(data)
        if len(origins) != number:
            return None
        if len(self._origins) > _ORIGINS:
            self._origins.clear()  # names of threads without end must not fill the memory
        try:
            for origin in set(origins).difference(self._origins):
                self._origins[origin] = self.filter.shows_origin(self._parser.origin(origin))
        except ValueError:
            return None
        return list(map(self._origins.__getitem__, origins))

    def _exact(self, part: LineIndex, candidates: Iterable[int], first: int, number: int, data: bytes) -> Iterator[int]:
        """The lines of those records of `candidates` that are to be shown and start at `first` or later.

        `data` is what stands there, from line `number` on.
        """
        done = first
        texts: list[bytes] = []
        for line in candidates:
            if line < done:
                continue
            start, end = part.bounds(line)
            # A record that began before the start goes on there.
            if start >= first or first == self._start:
                texts = texts or data.split(b"\n")
                text = texts[line - number] if line - number < len(texts) else b""
                # One line is mostly one record; others are put together, and giant ones cut.
                is_whole = text.startswith(b'{"t":') and line == start and len(text) <= LINE_LIMIT
                record = self._parser.record(text) if is_whole else None
                if self.filter.matches(record or part.record(line, self._parser)):
                    yield from range(max(start, first), end)
            done = end


def lines_holding(data: bytes, needle: bytes, start: int, chunk: Chunk) -> Iterator[int]:
    """The numbers of the lines of `data` that hold `needle`; it begins with the line `start` of `chunk`."""
    offset = chunk.marks[(start - chunk.first) // EVERY]
    line, counted = start, 0
    found = data.find(needle)
    while found >= 0:
        mark = bisect_right(chunk.marks, offset + found) - 1
        if chunk.first + mark * EVERY > line:
            line, counted = chunk.first + mark * EVERY, chunk.marks[mark] - offset
        line += data.count(b"\n", counted, found)
        counted = found
        yield line
        after = data.find(b"\n", found)
        if after < 0:
            return
        found = data.find(needle, after)
