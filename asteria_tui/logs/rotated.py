"""A log that its writer rotates, as one: `records.jsonl`, before it `records.jsonl.1`, before that `.2` and so on."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import deque
from pathlib import Path

from asteria_tui.errors import TargetError
from asteria_tui.events import LogRecord
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.parts import NOTHING, Lost, Newer, Parts, identity, named, numbers


class RotatedLog:
    """What `LineIndex` is for one file, with the lines of all parts numbered through.

    A part stays the same open file when it gets another name, so rotating changes no number. The older parts are
    opened when the newer ones are indexed. Deleted parts go, the oldest first. A log that is not there yet is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = NOTHING
        """What was deleted before it was indexed."""
        self._files = Parts(path)
        self._parts = [LineIndex(Path(os.devnull))]
        """The oldest first."""
        self._waiting: deque[LineIndex] = deque()
        """What was written after them, to be indexed when they are: open, so that it can't be missed."""
        self._has_oldest = False
        self.is_behind = False
        """Whether the last refresh left something for the next one."""
        self._begin_anew()

    @property
    def first(self) -> int:
        """The number of the first line that is indexed."""
        return self._parts[0].first

    @property
    def end(self) -> int:
        """The number after the last line."""
        return self._parts[-1].end

    @property
    def is_complete(self) -> bool:
        """Whether every line of every part is indexed."""
        return self._has_oldest and self._parts[0].is_complete

    def part(self, line: int) -> LineIndex:
        """The index of the part that `line` stands in."""
        return self._parts[max(0, bisect_right(self._parts, line, key=lambda part: part.first) - 1)]

    def bounds(self, line: int) -> tuple[int, int]:
        """The first line of the record that `line` belongs to, and the one after its last."""
        return self.part(line).bounds(line)

    def record(self, line: int, parser: Parser) -> LogRecord:
        """The whole record that `line` belongs to."""
        return self.part(line).record(line, parser)

    def step_back(self, size: int = 0) -> bool:
        """Index about `size` bytes more before what is indexed; False when there are none for now."""
        return self._parts[0].step_back(size) or self._open_older()

    def refresh(self) -> bool:
        """Index what was appended, a piece at most. False if the log is another one, so that all begins anew."""
        if not self._open_newer():
            return False
        while self._waiting and self._parts[-1].is_deleted:
            self.lost += Lost(self._parts[-1].count_rest())
            self._go_on()
        while len(self._parts) > 1 and self._parts[0].is_deleted:
            self._parts.pop(0).close()
            self._has_oldest = True
        # A part that others wait for has lost its name: after the next read nothing more is written to it.
        if not self._parts[-1].grow():
            return self._begin_anew()
        self.is_behind = self._parts[-1].is_behind or bool(self._waiting)
        if self._waiting and not self._parts[-1].is_behind:
            self._go_on()
        return True

    def close(self) -> None:
        for part in (*self._parts, *self._waiting):
            part.close()
        self._files.close()

    def _open_newer(self) -> bool:
        """Open the parts that came; False where they do not follow those before, so that all begins anew."""
        newer = _newer(self._files)
        if newer is None:
            return True
        if newer.continues:
            self._waiting.extend(
                LineIndex(self.path, is_from_start=True, descriptor=descriptor) for descriptor in newer.descriptors
            )
            return True
        return self._begin(self._files, newer)

    def _go_on(self) -> None:
        """Go on with the part that was written next."""
        following = self._waiting.popleft()
        following.begin_at(self._parts[-1].end)
        self._parts.append(following)

    def _open_older(self) -> bool:
        """Open the part before the oldest that is open; False when there is none, or none can be named now."""
        oldest = self._parts[0]
        number = None if self._has_oldest else self._number_of(oldest)
        if number is None:
            self._has_oldest = True
            return False
        older = next(
            (other for other in numbers(self.path) if other > number and named(self.path, other).exists()), None
        )
        part = None if older is None else self._open(older, oldest.first)
        if self._number_of(oldest) != number or (part is None and older is not None):
            if part is not None:
                part.close()
            return False  # rotated at this very moment: the numbers are others now
        if part is None:
            self._has_oldest = True
            return False
        self._parts.insert(0, part)
        return True

    def _begin_anew(self) -> bool:
        files = Parts(self.path)
        newer = _newer(files)
        return True if newer is None else self._begin(files, newer)  # if it is being replaced right now, the next time

    def _begin(self, files: Parts, newer: Newer) -> bool:
        """Forget all parts but the newest; those before it are opened when it is indexed. False if it was done."""
        *older, newest = newer.descriptors
        for descriptor in older:
            os.close(descriptor)
        try:
            current = LineIndex(self.path, descriptor=newest)
        except TargetError:
            return True
        for part in (*self._parts, *self._waiting):
            part.close()
        if files is not self._files:
            self._files.close()
        self._files, self._parts, self._has_oldest = files, [current], False
        self._waiting.clear()
        self.lost = self.lost + newer.lost if newer.lost else NOTHING
        return False

    def _open(self, number: int, line: int) -> LineIndex | None:
        try:
            return LineIndex(named(self.path, number), line)
        except TargetError:
            return None

    def _number_of(self, part: LineIndex) -> int | None:
        """The number in the name of a part, 0 for the newest; rotating only raises it, so the search goes upwards."""
        candidates = (0, *numbers(self.path))
        return next((number for number in candidates if identity(named(self.path, number)) == part.identity), None)


def _newer(files: Parts) -> Newer | None:
    current = identity(files.path)
    try:
        return files.newer(current) if current is not None else None
    except TargetError:
        return None
