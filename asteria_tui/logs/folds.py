"""The tracebacks of a log folded to one line each, found piece by piece together with the lines to show.

A worker's line is a record of its own, and the lines of several workers are mixed, so a traceback is followed through
the lines of its thread, from its head to the line that ends it. Pieces of the log without the words of a head are
searched for these bytes only.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

import msgspec

from asteria_tui.events import LogRecord
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import ORIGIN, Parser
from asteria_tui.logs.rotated import RotatedLog
from asteria_tui.logs.search import Hits, lines_holding
from asteria_tui.logs.text import LINE_LIMIT
from asteria_tui.logs.traceback import CHAIN, GROUP_HEAD, HEAD, SILENCE, OpenTraceback

_HEAD = HEAD.encode()
_WINDOW = 1 << 14
_LINES = 5_000
_OF_GROUP = re.compile(r"  \| [^\s|+]")
"""The exception of a group, before those of its members."""
_MIXED = 64
_FAR = 1 << 20
"""Bytes without a line of its thread after which a traceback is over."""


class Fold(msgspec.Struct, gc=False, eq=False):
    """One traceback, from its head line on; thousands of them must not slow the garbage collector down."""

    head: int
    last: int
    """The line of the last exception."""
    end: int
    """The line after those that were searched."""
    lines: array[int]
    """The further lines of it, in order."""
    is_folded: bool = True
    is_closed: bool = False

    def __contains__(self, line: int) -> bool:
        place = bisect_left(self.lines, line)
        return line == self.head or (place < len(self.lines) and self.lines[place] == line)


class Folds:
    """The tracebacks in that part of `log` that was searched for `hits`, which loses the lines that are folded."""

    def __init__(self, log: RotatedLog, hits: Hits) -> None:
        self._log = log
        self._hits = hits
        self._folds: dict[int, Fold] = {}
        self._open: dict[int, _Growing] = {}
        self._parser = Parser()

    def at(self, line: int) -> Fold | None:
        """The fold that has its head there."""
        return self._folds.get(line)

    def around(self, line: int) -> Fold | None:
        """The fold that `line` lies in."""
        near = (fold for fold in self._folds.values() if fold.head <= line < fold.end)
        return next((fold for fold in near if line in fold), None)

    def text(self, fold: Fold) -> str:
        """The whole traceback."""
        lines = (self._log.record(line, self._parser).text for line in (fold.head, *fold.lines))
        return "\n".join(lines).rstrip("\n")

    def toggle(self, fold: Fold) -> None:
        fold.is_folded = not fold.is_folded
        (self._hits.hide if fold.is_folded else self._hits.show)(fold.lines)

    def forget_deleted(self) -> None:
        """Leaves out what the log has lost at its beginning."""
        first = self._log.first
        for head in [head for head in self._folds if head < first]:
            fold = self._folds.pop(head)
            self._open.pop(head, None)
            if fold.is_folded:
                self._hits.show(fold.lines[bisect_left(fold.lines, first) :])

    def take(self, first: int, after: int) -> bool:
        """Folds what stands in these lines, which were just searched; False if nothing has changed by that."""
        has_changed = False
        for head in list(self._open):
            has_changed |= self._follow(head)
        for line in self._heads(first, after):
            if not any(self._recent(line)):
                self._begin(line)
                has_changed = True
        return has_changed

    def _recent(self, line: int) -> Iterator[bool]:
        """For the folds found last whether they hold `line`: of so many at most the lines are mixed."""
        return (
            fold.head <= line < fold.end and line in fold for fold in islice(reversed(self._folds.values()), _MIXED)
        )

    def _heads(self, first: int, after: int) -> Iterator[int]:
        """The lines of worker records that begin a traceback, or an exception of one."""
        line = first
        while line < after:
            part = self._log.part(line)
            chunk = part.chunk(line)
            end = min(after, chunk.first + len(chunk.levels))
            start, data = part.read(chunk, line, end)
            texts = data.split(b"\n") if _HEAD in data else []
            for found in lines_holding(data, _HEAD, start, chunk) if texts else ():
                if line <= found < end and self._is_head(self._parsed(part, found, texts[found - start])):
                    yield found
            line = end

    def _begin(self, head: int) -> None:
        part = self._log.part(head)
        origin, record = ORIGIN.search(part.lines(head, 1)[0]), part.record(head, self._parser)
        if origin is None or head not in self._hits:
            return
        self._folds[head] = Fold(head, last=head, end=head + 1, lines=array("q"))
        self._open[head] = _Growing(OpenTraceback(record.text), origin[0], record.time or 0.0)
        self._follow(head)

    def _follow(self, head: int) -> bool:
        """Adds the lines that were searched since; whether there were any."""
        fold, growing = self._folds[head], self._open[head]
        count, searched = len(fold.lines), self._hits.searched[1]
        while not fold.is_closed and fold.end < searched:
            part = self._log.part(fold.end)
            chunk = part.chunk(fold.end)
            end = min(chunk.span_after(fold.end, _WINDOW), searched)
            start, data = part.read(chunk, fold.end, end)
            growing.unseen += len(data)
            texts = data.split(b"\n")
            for line in lines_holding(data, growing.origin, start, chunk):
                if line < fold.end:
                    continue
                if line >= end or fold.is_closed:
                    break
                fold.is_closed = not growing.take(fold, line, self._parsed(part, line, texts[line - start]))
            fold.is_closed |= growing.unseen > _FAR
            fold.end = end
        if fold.is_closed:
            fold.end = (fold.lines[-1] if fold.lines else head) + 1
            del self._open[head]
        added = fold.lines[count:]
        if fold.is_folded:
            self._hits.hide(added)
        for line in added:
            inner = self._folds.pop(line, None)
            if inner is not None:
                self._open.pop(line, None)
                self._dissolve(inner, fold)
        return len(added) > 0

    def _dissolve(self, inner: Fold, fold: Fold) -> None:
        """`inner` was found before the traceback that it is a part of; what it had too much is shown again."""
        others = array("q", (line for line in inner.lines if line not in fold))
        if inner.is_folded:
            self._hits.show(others)
        for line in others:
            if self._is_head(self._log.record(line, self._parser)) and not any(self._recent(line)):
                self._begin(line)

    def _parsed(self, part: LineIndex, line: int, text: bytes) -> LogRecord:
        record = self._parser.record(text) if len(text) <= LINE_LIMIT else None
        return record or part.record(line, self._parser)

    @staticmethod
    def _is_head(record: LogRecord) -> bool:
        return record.source == "worker" and record.text in {HEAD, GROUP_HEAD}


class _Growing:
    """What decides whether a line of the same thread belongs to a fold."""

    __slots__ = ("at", "origin", "traceback", "unseen")

    def __init__(self, traceback: OpenTraceback, origin: bytes, at: float) -> None:
        self.traceback = traceback
        self.origin = origin
        self.at = at
        self.unseen = 0

    def take(self, fold: Fold, line: int, record: LogRecord) -> bool:
        """Adds a line of the thread; False if the traceback ends before it."""
        at = self.at if record.time is None else record.time
        if at - self.at > SILENCE or len(fold.lines) >= _LINES:
            return False
        for text in record.text.split("\n"):
            if not self.traceback.feed(text):
                return False
            is_of_chain = text and not text[0].isspace() and text != HEAD and text not in CHAIN
            if is_of_chain or (fold.last == fold.head and _OF_GROUP.match(text)):
                fold.last = line
        fold.lines.append(line)
        self.at, self.unseen = at, 0
        return True
