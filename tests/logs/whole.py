"""What the rooms give of a whole log, for tests that have one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asteria_tui.events import Cause, LogRecord
from asteria_tui.logs.cause import SourceMap
from asteria_tui.logs.causes import Causes
from asteria_tui.logs.parse import Parser


def records(lines: Iterable[bytes], parser: Parser | None = None) -> Iterator[LogRecord]:
    """Every record of `lines`, each whole."""
    parser = parser or Parser()
    yield from parser.feed(lines)
    yield from parser.flush()


def causes(records_: Iterable[LogRecord], sources: SourceMap | None = None) -> Iterator[Cause]:
    """The causes that the records tell, each once with its count, the newest last."""
    seen = Causes(sources)
    seen.feed(records_)
    seen.flush()
    yield from seen.rows
