"""Records of logs as the commands and the screen want them: the past, then what follows, filtered, in batches."""

from __future__ import annotations

import asyncio
import collections
import heapq
import itertools
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

from msgspec import structs

from asteria_tui.events import Cause, LogRecord
from asteria_tui.logs.cause import SourceMap
from asteria_tui.logs.causes import Causes, RelevantParts
from asteria_tui.logs.filter import EVERYTHING, Filter, might_hold
from asteria_tui.logs.follow import follow
from asteria_tui.logs.history import Log
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.parts import Lost
from asteria_tui.logs.search import Hits
from asteria_tui.logs.tail import Tail

Batch = tuple[LogRecord, ...]

BATCH = 500
"""Records of one batch at most: parsing them takes about 3 ms."""

STEP = 1 << 18
"""Bytes that are searched in one go: Ctrl-C is heard soon even where every record has to be parsed."""

_CLOCK = 5.0
"""Seconds by which the lines of a log may be out of order."""


class Reader:
    """One log that is read forward from a place on, then followed."""

    def __init__(self, log: Log, filter_: Filter, known: Iterable[tuple[str, str]] = ()) -> None:
        self.log = log
        self.filter = filter_
        self.tail = Tail(log.path, is_followed=not log.is_older)
        self._known = known
        self._parser = Parser(known, only_console=log.only == "console")
        self._found = array("q")
        """The lines that the last records to show begin with, the newest first."""
        self._index: LineIndex | None = None
        self._last = 0.0
        self._is_everything = filter_ == EVERYTHING

    def find(self, number: int) -> Iterator[None]:
        """Look for the last `number` records to show, in steps of some milliseconds each."""
        index = self._indexed()
        if index is None:
            return
        self.tail.position = index.end_offset
        only = (
            self.filter if self.log.only is None else structs.replace(self.filter, sources=frozenset({self.log.only}))
        )
        hits = Hits(index, only, self._known, size=STEP)
        checked = 0
        while len(self._found) < number:
            for position in range(len(hits) - 1 - checked, -1, -1):
                line = hits[position]
                checked += 1
                if index.starts_record(line):
                    self._found.append(line)
                if len(self._found) == number:
                    break
            else:
                if hits.step():
                    yield
                    continue
            break
        self._index = index

    @property
    def found(self) -> int:
        """The number of records that `latest` will give."""
        return len(self._found)

    def latest(self) -> Iterator[LogRecord]:
        """The records that were found; what comes after them is left to follow."""
        index = self._index
        if index is None:
            return
        # In the order of the log, for the parser learns the pids of workers on the way.
        for first, last in _runs(reversed(self._found)):
            lines = index.lines(first, index.bounds(last)[1] - first)
            yield from self._parser.parse(b"\n".join([*lines, b""]))
            yield from self._parser.flush()
        index.close()

    def skip_to(self, since: float) -> None:
        """Leave out what is surely older than `since` (seconds since the epoch)."""
        index = self._indexed()
        if index is None:
            return
        number = 0
        while (chunk := index.earlier(number)) is not None:
            at = index.record(chunk.first, self._parser).time
            if at is not None and at < since - _CLOCK:
                self.tail.position = chunk.start
                break
            number += 1
        index.close()

    def _indexed(self) -> LineIndex | None:
        """An index of the file that is open, whatever its name is by now."""
        descriptor = self.tail.open_again()
        return LineIndex(self.log.path, descriptor=descriptor) if descriptor >= 0 else None

    def past(self) -> Iterator[LogRecord | None]:
        """The records to show up to the end of the file as it is now; None now and then, while none is found."""
        if self.filter.since is not None:
            yield from self._recent(self.filter.since)
            return
        while data := self.tail.read():
            yield from self.parse(data)
            yield None
        yield from self.parse(b"")

    def _recent(self, since: float) -> Iterator[LogRecord | None]:
        """The past that is not older than `since`; a record without a time is as old as the one before it."""
        parser = Parser(self._known)
        is_recent = False
        waiting: list[LogRecord] = []
        for record in self._with_times(parser):
            if record is None:
                yield None
                continue
            if record.time is not None:
                is_recent = record.time >= since
                waiting = []
            elif not is_recent:
                waiting.append(record)
                continue
            if self.log.only in {None, record.source} and self.filter.matches(record):
                yield record
        # What was written last has no time of its own but the file's.
        if waiting and self.log.path.stat().st_mtime >= since:
            yield from filter(self.filter.matches, waiting)

    def _with_times(self, parser: Parser) -> Iterator[LogRecord | None]:
        """Every record up to the end of the file, but for windows that cannot hold one to show."""
        needle = self.filter.needle
        while data := self.tail.read():
            if not needle or not data.startswith(b'{"t":') or might_hold(data, needle):
                yield from parser.parse(data)
            yield None
        yield from parser.flush()

    def parse(self, data: bytes) -> Iterator[LogRecord]:
        """The records to show of `data`; what is open is closed if `data` is empty."""
        needle = self.filter.needle
        if data and needle and data.startswith(b'{"t":') and not might_hold(data, needle):
            return
        records = self._parser.parse(data) if data else self._parser.flush()
        yield from records if self._is_everything else filter(self.filter.matches, records)

    def timed(self, records: Iterable[LogRecord | None]) -> Iterator[tuple[float, LogRecord | None]]:
        """Each record with its time, or with that of the one before it."""
        for record in records:
            self._last = max(self._last, (record and record.time) or 0.0)
            yield self._last, record


async def records(
    logs: Sequence[Log],
    filter_: Filter | None = None,
    *,
    last: int | None = None,
    is_following: bool = False,
    known: Iterable[tuple[str, str]] = (),
    on_lost: Callable[[Lost], object] = lambda lost: None,  # noqa: ARG005 its name is what it takes
) -> AsyncIterator[Batch]:
    """The records of `logs` that `filter_` shows, in the order of their times, in batches of at most 500.

    `last` leaves out all but the last so many of the past ones; `is_following` goes on without end with what is
    written, within 0.1 s, through rotation and truncation; `on_lost` hears of what was deleted before it could be
    read. `known` are the (name, version) pairs of the server's models.
    """
    filter_ = filter_ or EVERYTHING
    readers = _readers(logs, filter_, list(known))
    if last is not None and filter_.since is None:
        for reader in readers:
            for _ in reader.find(last):
                await asyncio.sleep(0)
    for batch in _batches(_past(readers, filter_, last)):
        if batch:
            yield batch
        await asyncio.sleep(0)
    if not is_following:
        return
    of_tail = {reader.tail: reader for reader in readers if not reader.log.is_older}
    async for tail, data in follow(list(of_tail)):
        if lost := tail.take_lost():
            on_lost(lost)
        for batch in _batches(of_tail[tail].parse(data)):
            yield batch
            await asyncio.sleep(0)


def _readers(logs: Sequence[Log], filter_: Filter, known: list[tuple[str, str]]) -> list[Reader]:
    """One for each file, though it gets the name of an older part while the others are opened: the newest is first."""
    readers: dict[object, Reader] = {}
    for log in reversed(logs):
        reader = Reader(log, filter_, known)
        readers.setdefault(reader.tail.identity or log.path, reader)
    return [*readers.values()][::-1]


def causes(logs: Sequence[Log], sources: SourceMap | None = None, filter_: Filter | None = None) -> list[Cause]:
    """The causes in `logs`, each once with its count, the newest last.

    Of `filter_` holds what concerns a cause: worker, model, since, and `grep` of its headline.
    """
    filter_ = filter_ or EVERYTHING
    seen = Causes(sources)
    for log in logs:
        reader = Reader(log, Filter(worker=filter_.worker, model=filter_.model, since=filter_.since))
        if filter_.since is not None:
            reader.skip_to(filter_.since)
        _feed(reader, seen)
    headlines = Filter(grep=filter_.grep, not_=filter_.not_)
    return [cause for cause in seen.rows if headlines.matches(LogRecord(time=None, text=cause.headline))]


def _feed(reader: Reader, seen: Causes) -> None:
    """Feed `seen` with a log."""
    parts = RelevantParts(seen)
    while data := reader.tail.read():
        if part := parts.of(data):
            seen.feed(reader.parse(part))
    seen.feed(reader.parse(b""))
    seen.flush()


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and last of each run of numbers that follow one another, none much longer than a batch."""
    first = last = None
    for number in numbers:
        if first is None or last is None or number != last + 1 or number - first >= BATCH:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def _past(readers: Sequence[Reader], filter_: Filter, last: int | None) -> Iterator[LogRecord | None]:
    """The past in the order of time; None after a piece without any."""
    if last is not None and filter_.since is None:
        merged = _merged(readers, Reader.latest)
        yield from itertools.islice(merged, max(0, sum(reader.found for reader in readers) - last), None)
        return
    if filter_.since is not None:
        for reader in readers:
            reader.skip_to(filter_.since)
    kept: collections.deque[LogRecord] = collections.deque(maxlen=last)
    for record in _merged(readers, Reader.past):
        if record is None or last is None:
            yield record
        else:
            kept.append(record)
    yield from kept


def _merged(
    readers: Sequence[Reader], read: Callable[[Reader], Iterable[LogRecord | None]]
) -> Iterator[LogRecord | None]:
    each = [reader.timed(read(reader)) for reader in readers]
    return (record for _, record in heapq.merge(*each, key=lambda timed: timed[0]))


def _batches(records_: Iterable[LogRecord | None]) -> Iterator[Batch]:
    """At most `BATCH` records each; an empty one where there is only a None, so that others get their turn."""
    batch: list[LogRecord] = []
    for record in records_:
        if record is not None:
            batch.append(record)
        if len(batch) == BATCH or record is None:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
