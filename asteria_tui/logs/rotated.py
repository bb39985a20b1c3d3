"""A log that its writer rotates, as one: `records.jsonl`, before it `records.jsonl.1`, before that `.2` and so on."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

from asteria_tui.errors import TargetError
from asteria_tui.events import LogRecord
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser


class RotatedLog:
    """What `LineIndex` is for one file, with the lines of all parts numbered through.

    A part stays the same open file when it gets another name, so rotating changes no number. The older parts are
    opened when the newer ones are indexed. Deleted parts go, the oldest first. A log that is not there yet is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = [self._open(0) or LineIndex(Path(os.devnull))]
        """The oldest first."""
        self._has_oldest = False
        self.is_behind = False
        """Whether the last refresh left something for the next one."""

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
        while len(self._parts) > 1 and self._parts[0].is_deleted:
            self._parts.pop(0).close()
            self._has_oldest = True
        newest = self._parts[-1]
        named = _identity(self.path)  # before the last read: a file that has lost its name is written to no more
        if not newest.grow():
            return self._begin_anew()
        self.is_behind = newest.is_behind
        if named in {None, newest.identity} or newest.is_behind:
            return True
        number = self._number_of(newest)
        if number is None:
            return self._begin_anew()
        following = self._open(number - 1, newest.end, is_from_start=True) if number else None
        if following is not None and self._number_of(newest) == number:
            self._parts.append(following)
            self.is_behind = True
        elif following is not None:
            following.close()  # rotated again meanwhile: the next refresh finds it
        return True

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def _open_older(self) -> bool:
        """Open the part before the oldest that is open; False when there is none, or none can be named now."""
        oldest = self._parts[0]
        number = None if self._has_oldest else self._number_of(oldest)
        if number is None:
            self._has_oldest = True
            return False
        older = next((other for other in self._numbers() if other > number and self._named(other).exists()), None)
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
        current = self._open(0)
        if current is None:
            return True  # being replaced at this very moment: the next refresh finds it
        self.close()
        self._parts, self._has_oldest = [current], False
        return False

    def _open(self, number: int, line: int = 0, *, is_from_start: bool = False) -> LineIndex | None:
        try:
            return LineIndex(self._named(number), line, is_from_start=is_from_start)
        except TargetError:
            return None

    def _number_of(self, part: LineIndex) -> int | None:
        """The number in the name of a part, 0 for the newest; rotating only raises it, so the search goes upwards."""
        return next((n for n in (0, *self._numbers()) if _identity(self._named(n)) == part.identity), None)

    def _numbers(self) -> list[int]:
        """The numbers that older parts have, or will have when they are rotated now."""
        suffixes = [path.suffix.removeprefix(".") for path in self.path.parent.glob(f"{self.path.name}.*")]
        numbers = {int(suffix) for suffix in suffixes if suffix.isdecimal()}
        return sorted(numbers | {number + 1 for number in (0, *numbers)})

    def _named(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
