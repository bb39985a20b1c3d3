"""A log of any size as numbered lines: a sparse index, one level byte a line, and bounded reads.

The end comes first; what lies before it is indexed backwards, piece by piece, whenever there is time. No line is
ever kept as an object: ten million lines cost about 12 MB. Lines are numbered from the end as it was when the file
was opened: those before it are negative, those appended count from 0, so no number changes while the index grows.
A part of a rotated log counts from another number instead, so that no two parts share one.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

from asteria_tui.errors import TargetError
from asteria_tui.events import LogRecord
from asteria_tui.logs.filter import CONTINUED, level_codes
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.parts import count_lines, identity_of, is_deleted
from asteria_tui.logs.text import LINE_LIMIT

EVERY = 64
"""Of so many lines one has its offset in the index."""

CHUNK = 1 << 20
"""Bytes that are indexed in one go, which takes about 5 ms."""

PIECE = CHUNK // 4
"""Bytes that one refresh indexes at most."""

_LEVEL_COLUMN = 32
_RECORD_LINES = 1_000
"""Lines that one record has at most, so that the search for its ends is bounded."""

_CONTINUED_RUN = re.compile(rb"([\x01-\x0f])(\x00+)")


class Chunk:
    """A piece of the file that ends with a line end: where its lines are, and their levels."""

    __slots__ = ("end", "first", "levels", "marks", "start")

    def __init__(self, start: int, first: int = 0) -> None:
        self.start = self.end = start
        self.first = first
        """The number of its first line."""
        self.marks = array("Q")
        """The offset in the file of every 64th line."""
        self.levels = bytearray()
        """The level code of each line, with `CONTINUED` where it belongs to the record before."""

    def append(self, data: bytes, before: int = 0) -> None:
        """Add whole lines; `before` is the code of the line before them."""
        lines = data.split(b"\n")
        lines.pop()
        count, number = len(self.levels), len(lines)
        skipped = -count % EVERY
        lengths = accumulate(map(len, lines), initial=self.end)
        marked = islice(lengths, skipped, number, EVERY)
        self.marks.extend(map(int.__add__, marked, range(skipped, number, EVERY)))
        self.levels += level_codes(lines)
        self.end += len(data)
        self.settle(before, count)

    def append_line(self, head: bytes, end: int, before: int = 0) -> None:
        """Add one line by its beginning; it ends at `end`."""
        count = len(self.levels)
        if count % EVERY == 0:
            self.marks.append(self.end)
        self.levels += level_codes([head])
        self.end = end
        self.settle(before, count)

    def span_before(self, line: int, size: int) -> int:
        """The first of the lines that end before `line` and take at most about `size` bytes."""
        last = (line - 1 - self.first) // EVERY
        end = self.marks[last + 1] if last + 1 < len(self.marks) else self.end
        return self.first + EVERY * bisect_left(self.marks, end - size, 0, last)

    def span_after(self, line: int, size: int) -> int:
        """The line after those that begin with `line` and take at least about `size` bytes, if there are so many."""
        mark = (line - self.first) // EVERY
        mark = bisect_left(self.marks, self.marks[mark] + size, mark + 1)
        return self.first + min(EVERY * mark, len(self.levels))

    def settle(self, before: int, start: int = 0) -> None:
        """Give the lines from `start` on that begin no record the level of the one that they belong to."""
        if self.levels.find(0, start) < 0:
            return
        head = bytes((before,)) if before else b""
        codes = _CONTINUED_RUN.sub(
            lambda run: run[1] + bytes((run[1][0] | CONTINUED,)) * len(run[2]), head + self.levels[start:]
        )
        self.levels[start:] = codes[len(head) :]


class LineIndex:
    """The lines of one growing file. One thread may index backwards while another one reads."""

    def __init__(
        self, path: Path, number: int = 0, *, is_from_start: bool = False, descriptor: int | None = None
    ) -> None:
        """`number` is that of the line after the last one, or of the first one if the file is read from its start.

        `descriptor` is of the file, where it is open already; it is closed with the index.
        """
        self.path = path
        self._descriptor = -1 if descriptor is None else descriptor
        self._scanned = 0
        self.is_behind = False
        """Whether the last `grow` left something for the next one."""
        try:
            if descriptor is None:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self._descriptor)
            self._start = 0 if is_from_start else self._line_start(status.st_size)
        except OSError as error:  # a directory shows itself only when it is read
            self.close()
            raise TargetError(f"The log {path} cannot be read", str(error)) from error
        self.identity = identity_of(status)
        """Which file is open, whatever its name is by now."""
        self._before: list[Chunk] = []
        self._after = [Chunk(self._start, number)]
        self.step_back()

    @property
    def first(self) -> int:
        """The number of the first line that is indexed."""
        return (self._before[-1] if self._before else self._after[0]).first

    @property
    def end(self) -> int:
        """The number after the last line."""
        return self._after[-1].first + len(self._after[-1].levels)

    @property
    def end_offset(self) -> int:
        """Where in the file the last whole line ends."""
        return self._after[-1].end

    @property
    def is_complete(self) -> bool:
        """Whether every line before the end is indexed."""
        return self._start == 0

    def earlier(self, number: int) -> Chunk | None:
        """The chunk `number` before the end as it was when the file was opened, indexed now if need be."""
        while number >= len(self._before):
            if not self.step_back():
                return None
        return self._before[number]

    def part(self, line: int) -> LineIndex:  # noqa: ARG002 a rotated log has several
        """The index that knows `line`."""
        return self

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        self.close()

    def step_back(self, size: int = 0) -> bool:
        """Index about `size` bytes more (`CHUNK` if 0) before what is indexed; False when there are none."""
        end = self._start
        if not end:
            return False
        near = max(0, end - (size or CHUNK))
        data = self._pread(near, end)
        # Without a line end but the last one, all of `data` is the end of one giant line.
        inside = data.find(b"\n", 0, len(data) - 1) + 1 if near else 0
        start = near + inside if inside or not near else self._line_start(near)
        chunk = Chunk(start)
        if start < near:
            chunk.append_line(self._pread(start, start + _LEVEL_COLUMN), end)
        else:
            chunk.append(data[inside:])
        chunk.first = self.first - len(chunk.levels)
        self._settle_after(chunk)
        self._before.append(chunk)
        self._start = start
        return True

    def grow(self) -> bool:
        """Index what was appended to the file that is open, whatever its name is now, at most `PIECE` bytes of it.

        See `is_behind`; False if the file was truncated.
        """
        size = os.fstat(self._descriptor).st_size
        if size < self.end_offset:
            return False
        has_grown = self.end_offset < size and self._append(size)
        self.is_behind = has_grown and self.end_offset < size
        return True

    @property
    def is_deleted(self) -> bool:
        """Whether the file has no name any more: closing it gives its space back."""
        return is_deleted(self._descriptor)

    def begin_at(self, number: int) -> None:
        """Give the first line that number, before any is indexed."""
        self._after[0].first = number

    def count_rest(self) -> int:
        """The lines that are not indexed yet."""
        return count_lines(self._descriptor, self.end_offset)

    def starts_record(self, line: int) -> bool:
        chunk = self.chunk(line)
        return not chunk.levels[line - chunk.first] & CONTINUED

    def lines(self, first: int, count: int) -> list[bytes]:
        """The lines from `first` on, without their ends, each cut behind `LINE_LIMIT`: one byte shows that it was."""
        found: list[bytes] = []
        line, last = max(first, self.first), min(first + count, self.end)
        while line < last:
            chunk = self.chunk(line)
            mark, skipped = divmod(line - chunk.first, EVERY)
            end = chunk.marks[mark + 1] if mark + 1 < len(chunk.marks) else chunk.end
            block = islice(self._scan(chunk.marks[mark], end), skipped, skipped + last - line)
            before = len(found)
            found += block
            if len(found) == before:
                break  # the file was truncated under our hands
            line += len(found) - before
        return found

    def bounds(self, line: int) -> tuple[int, int]:
        """The first line of the record that `line` belongs to, and the one after its last."""
        start, end = line, line + 1
        while start > self.first and not self.starts_record(start) and line - start < _RECORD_LINES:
            start -= 1
        while end < self.end and not self.starts_record(end) and end - line < _RECORD_LINES:
            end += 1
        return start, end

    def record(self, line: int, parser: Parser) -> LogRecord:
        """The whole record that `line` belongs to."""
        start, end = self.bounds(line)
        return next(iter([*parser.feed(self.lines(start, end - start)), *parser.flush()]), LogRecord(time=None))

    def read(self, chunk: Chunk, first: int, after: int) -> tuple[int, bytes]:
        """The bytes of the lines of `chunk` from `first` on, before `after`; of giant ones only the beginning.

        They begin at the last line before that has its offset in the index, whose number is given, too.
        """
        mark, end = (first - chunk.first) // EVERY, -(-(after - chunk.first) // EVERY)
        start = chunk.marks[mark]
        stop = chunk.marks[end] if end < len(chunk.marks) else chunk.end
        return chunk.first + mark * EVERY, self._pread(start, min(stop, start + 2 * CHUNK))

    def chunk(self, line: int) -> Chunk:
        """The chunk that holds a line that is indexed."""
        if line >= self._after[0].first:
            return self._after[bisect_right(self._after, line, key=lambda chunk: chunk.first) - 1]
        # These stand in falling order, so that the one before all others is appended.
        return self._before[bisect_left(self._before, -line, key=lambda chunk: -chunk.first)]

    def _append(self, size: int) -> bool:
        """Index the next lines of a file of `size` bytes; False when the rest has no line end yet."""
        last = self._after[-1]
        before = last.levels[-1] if last.levels else (self._before[0].levels[-1] if self._before else 0)
        if last.end - last.start >= CHUNK:
            last = Chunk(last.end, self.end)
            self._after.append(last)
        data = self._pread(last.end, min(size, last.end + PIECE))
        whole = data.rfind(b"\n") + 1
        if whole:
            last.append(data[:whole], before)
            return True
        found = b""
        position = max(last.end, self._scanned)
        while position < size and b"\n" not in found:
            found = self._pread(position, min(size, position + CHUNK))
            position += len(found) or size
        self._scanned = position
        if b"\n" not in found:
            return False
        last.append_line(data[:_LEVEL_COLUMN], position - len(found) + found.index(b"\n") + 1, before)
        return True

    def _settle_after(self, chunk: Chunk) -> None:
        """Now that what stands before them is known, settle the lines that continue it."""
        before = chunk.levels[-1]
        for following in [*reversed(self._before), *self._after]:
            if not before or not following.levels or following.levels[0]:
                return
            following.settle(before)
            before = following.levels[-1]

    def _pread(self, start: int, end: int) -> bytes:
        return os.pread(self._descriptor, end - start, start)

    def _line_start(self, near: int) -> int:
        """The start of the line that `near` lies in, or `near` where one ends there."""
        while near > 0:
            start = max(0, near - CHUNK)
            found = self._pread(start, near).rfind(b"\n") + 1
            if found:
                return start + found
            near = start
        return 0

    def _scan(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two offsets, as `lines` gives them."""
        kept, limit = b"", LINE_LIMIT + 1
        while start < end:
            data = self._pread(start, min(end, start + CHUNK))
            if not data:
                return
            start += len(data)
            *lines, rest = data.split(b"\n")
            for line in lines:
                yield (kept + line)[:limit]
                kept = b""
            kept = (kept + rest)[:limit]
