"""Records of logs as the commands and the screen want them: the past, then what follows, filtered, in batches."""

from __future__ import annotations

import asyncio
import collections
import heapq
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from msgspec import structs

from asteria_tui.events import Cause, LogBatch, LogRecord
from asteria_tui.logs.cause import Sources
from asteria_tui.logs.causes import Causes, TellingParts
from asteria_tui.logs.filter import Filter, might_hold
from asteria_tui.logs.follow import follow
from asteria_tui.logs.history import Log
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.search import Hits
from asteria_tui.logs.tail import Tail

BATCH = 500
"""Records of one batch at most: parsing them takes about 3 ms."""

_CLOCK = 5.0
"""Seconds by which the lines of a log may be out of order."""


class Reader:
    """One log that is read forward from a place on, then followed."""

    def __init__(self, log: Log, filter_: Filter, known: Iterable[tuple[str, str]] = ()) -> None:
        self.log = log
        self.filter = filter_
        self.tail = Tail(log.path)
        self._known = known
        self._parser = Parser(known, only_console=log.only == "console")
        self._last = 0.0
        self._is_everything = filter_ == Filter()

    def latest(self, number: int) -> list[LogRecord]:
        """The last `number` records to show; what comes after them is left to follow."""
        if not self.log.path.exists():
            return []
        index = LineIndex(self.log.path)
        self.tail = Tail(self.log.path, index.end_offset)
        only = (
            self.filter if self.log.only is None else structs.replace(self.filter, sources=frozenset({self.log.only}))
        )
        starts = filter(index.starts_record, Hits(index, only).newest())
        lines = list(itertools.islice(starts, number))
        # Parsed in the order of the log, for the parser learns the pids of workers on the way.
        found = [index.record(line, self._parser) for line in reversed(lines)]
        index.close()
        return found

    def skip_to(self, since: float) -> None:
        """Leave out what is surely older than `since` (seconds since the epoch)."""
        if not self.log.path.exists():
            return
        index = LineIndex(self.log.path)
        number = 0
        while (chunk := index.earlier(number)) is not None:
            at = index.record(chunk.first, self._parser).time
            if at is not None and at < since - _CLOCK:
                self.tail = Tail(self.log.path, chunk.start)
                break
            number += 1
        index.close()

    def past(self) -> Iterator[LogRecord]:
        """The records to show up to the end of the file as it is now."""
        if self.filter.since is not None:
            yield from self._recent(self.filter.since)
            return
        while data := self.tail.read():
            yield from self.parse(data)
        yield from self.parse(b"")

    def _recent(self, since: float) -> Iterator[LogRecord]:
        """The past that is not older than `since`; a record without a time is as old as the one before it."""
        parser = Parser(self._known)
        is_recent = False
        waiting: list[LogRecord] = []
        for record in self._with_times(parser):
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

    def _with_times(self, parser: Parser) -> Iterator[LogRecord]:
        """Every record up to the end of the file, but for windows that cannot hold one to show."""
        needle = self.filter.needle
        while data := self.tail.read():
            if not needle or not data.startswith(b'{"t":') or might_hold(data, needle):
                yield from parser.parse(data)
        yield from parser.flush()

    def parse(self, data: bytes) -> Iterator[LogRecord]:
        """The records to show of `data`; what is open is closed if `data` is empty."""
        needle = self.filter.needle
        if data and needle and data.startswith(b'{"t":') and not might_hold(data, needle):
            return
        records = self._parser.parse(data) if data else self._parser.flush()
        yield from records if self._is_everything else filter(self.filter.matches, records)

    def timed(self, records: Iterable[LogRecord]) -> Iterator[tuple[float, LogRecord]]:
        """Each record with its time, or with that of the one before it."""
        for record in records:
            self._last = max(self._last, record.time or 0.0)
            yield self._last, record


async def records(
    logs: Sequence[Log],
    filter_: Filter | None = None,
    *,
    last: int | None = None,
    is_following: bool = False,
    known: Iterable[tuple[str, str]] = (),
) -> AsyncIterator[LogBatch]:
    """The records of `logs` that `filter_` shows, in the order of their times, in batches of at most 500.

    `last` leaves out all but the last so many of the past ones; `is_following` goes on for ever with what is
    written, within 0.1 s, through rotation and truncation. `known` are the (name, version) pairs of the server's
    models.
    """
    filter_ = filter_ or Filter()
    pairs = list(known)
    readers = [Reader(log, filter_, pairs) for log in logs]
    for batch in _batches(_past(readers, filter_, last)):
        yield batch
        await asyncio.sleep(0)
    if not is_following:
        return
    of_tail = {reader.tail: reader for reader in readers}
    async for tail, data in follow(list(of_tail)):
        for batch in _batches(of_tail[tail].parse(data)):
            yield batch
            await asyncio.sleep(0)


def causes(logs: Sequence[Log], sources: Sources | None = None, filter_: Filter | None = None) -> list[Cause]:
    """The causes that `logs` tell, each once with its count, the newest last.

    Of `filter_` holds what concerns a cause: worker, model, since, and `grep` of its headline.
    """
    filter_ = filter_ or Filter()
    seen = Causes(sources)
    for log in logs:
        reader = Reader(log, Filter(worker=filter_.worker, model=filter_.model, since=filter_.since))
        if filter_.since is not None:
            reader.skip_to(filter_.since)
        _tell(reader, seen)
    said = Filter(grep=filter_.grep, not_=filter_.not_)
    return [cause for cause in seen.rows if said.matches(LogRecord(time=None, text=cause.headline))]


def _tell(reader: Reader, seen: Causes) -> None:
    """Feed `seen` with a log."""
    parts = TellingParts(seen)
    while data := reader.tail.read():
        if part := parts.of(data):
            seen.feed(reader.parse(part))
    seen.feed(reader.parse(b""))
    seen.flush()


def _past(readers: Sequence[Reader], filter_: Filter, last: int | None) -> Iterator[LogRecord]:
    if filter_.since is not None:
        for reader in readers:
            reader.skip_to(filter_.since)
    is_latest = last is not None and filter_.since is None
    each = [reader.timed(reader.latest(last or 0) if is_latest else reader.past()) for reader in readers]
    merged = heapq.merge(*each, key=lambda timed: timed[0])
    if last is None:
        yield from (record for _, record in merged)
    else:
        yield from (record for _, record in collections.deque(merged, maxlen=last))


def _batches(records_: Iterable[LogRecord]) -> Iterator[LogBatch]:
    given = iter(records_)
    while batch := tuple(itertools.islice(given, BATCH)):
        yield LogBatch(records=batch)
