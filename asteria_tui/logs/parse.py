"""Lines to records: one parser for the JSON lines of servers that we start and the patterns of all others.

Patterns: docs/torchserve.md section 4 (`log4j2.xml` of TorchServe 0.12.0). A line that starts no record belongs to
the record before it, so nothing is dropped.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
from collections.abc import Iterable, Iterator

import msgspec

from asteria_tui.events import LogRecord, Source, Stream
from asteria_tui.logs.text import CUT_MARK, LINE_LIMIT, decoded, sanitize

JSON_LAYOUT = (
    '{"t":%d{UNIX_MILLIS},"l":"%p","th":"%enc{%t}{JSON}","lg":"%enc{%c}{JSON}",'
    '"m":"%enc{%m}{JSON}","x":"%enc{%xEx}{JSON}"}%n'
)
"""The log4j2 PatternLayout of the log file of servers that we start; it needs `alwaysWriteExceptions="false"` and
`charset="UTF-8"`. One record is one line, whatever its message holds."""

CONSOLE_LAYOUT = "%d{ISO8601} [%-5p] %t %c - %m%n"
"""The layout that people know, of the console and of most stock files."""

_TIME = r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)[,.](\d{3})"
_LINE = re.compile(_TIME + r" \[([A-Z]+) *\] (.+?) ([A-Za-z_][\w.$]*) - (.*)")
_BARE = re.compile(_TIME + r" - (.*)")
_ACCESS = re.compile(r'\S+ "\S+ .* \S+/\d\.\d" \d{1,3} \d+$')
_THREAD = re.compile(r"W-(\d+)-(.+?)(?:-(stdout|stderr))?$")
_TEMPLATES = 4096
_GIANT = 1 << 20
"""Bytes of so many lines that one of them must be long: it is cut before it is decoded."""
_SURELY_SHORT = LINE_LIMIT // 8
# Without these, ASCII text in JSON holds no control character and no token: there is nothing to sanitize.
_HARMFUL = re.compile(rb"\\[ubrf]|\x7f|Bearer ")
_PID = re.compile(r"\[PID\]([0-9]{1,9})$")
_END_OF_TIME = 253_402_300_800_000
"""The year 10,000, in milliseconds: no clock shows it."""
_SOURCES: dict[str, Source] = {
    "MODEL_LOG": "worker",
    "ACCESS_LOG": "access",
    "TS_METRICS": "metrics",
    "MODEL_METRICS": "metrics",
}
ORIGIN = re.compile(rb'"th":"([^"]*","lg":"[^"]*)"')
"""Thread and logger of a line of `JSON_LAYOUT`; nothing in a message has this form, for quotes are escaped there."""
_STREAMS: dict[str, Stream] = {"stdout": "stdout", "stderr": "stderr"}
# What Java prints outside of log4j: each line is a record of its own, not more of the one before.
_PLAIN_TEXT = (
    r"(?P<INFO>Model server started\.|Torchserve stopped\.|OpenJDK |nvidia-smi |Usage: )"
    r"|(?P<WARN>WARNING: )"
    r"|(?P<ERROR>Invalid configuration: |java not found|Unrecognized option|Exception in thread |Error: "
    r"|java\.io\.IOException: Failed to bind|java\.lang\.\w+Error: |Error occurred during initialization of VM"
    r"|# A fatal error has been detected)"
)
_PLAIN = re.compile(_PLAIN_TEXT.encode())


def plain_level(line: bytes) -> str:
    """The level of a line that Java printed outside of log4j; empty for any other line."""
    match = _PLAIN.match(line)
    return (match.lastgroup or "") if match is not None else ""


class _JsonLine(msgspec.Struct, gc=False):
    """One line of `JSON_LAYOUT`."""

    t: int
    l: str  # noqa: E741 the key in the file
    th: str
    lg: str
    m: str
    x: str = ""


def source_of(logger: str) -> Source:
    """What speaks through a logger of TorchServe."""
    return _SOURCES.get(logger, "server")


class Parser:
    """Parses the lines of one log in order; knows the pid of each worker and the record that is still open.

    `known` are the (name, version) pairs of the server's models: both may hold `_` and `-`, so a thread's name
    alone does not show where the one ends. `zone` is the server's time zone where it is not ours. `only_console`
    leaves out what log4j wrote: those records stand in another file, too.
    """

    def __init__(
        self, known: Iterable[tuple[str, str]] = (), zone: dt.tzinfo | None = None, *, only_console: bool = False
    ) -> None:
        self.known = {f"{name}_{version}": (name, version) for name, version in known}
        self.zone = zone
        self.only_console = only_console
        self._is_skipping = only_console
        self._pids: dict[str, int] = {}
        self._open: LogRecord | None = None
        self._more: list[str] = []
        self._more_size = 0
        self._templates: dict[tuple[str, str], LogRecord] = {}
        self._second: tuple[str, float | None] = ("", None)
        decoder = msgspec.json.Decoder(_JsonLine)
        self._decode, self._decode_lines = decoder.decode, decoder.decode_lines

    def parse(self, data: bytes) -> Iterator[LogRecord]:
        """What `feed` gives for the whole lines `data`, several times faster where they are JSON."""
        lines: list[_JsonLine] = []
        is_json = data.startswith(b'{"t":') and self._open is None and not self.only_console
        if is_json and len(data) < _GIANT:
            with contextlib.suppress(ValueError, RecursionError):
                lines = self._decode_lines(data)
        if len(lines) != data.count(b"\n"):  # there is something else between them
            yield from self.feed(data.split(b"\n")[:-1])
            return
        is_plain = data.isascii() and _HARMFUL.search(data) is None
        for number, line in enumerate(lines):
            if len(line.m) + len(line.x) < _SURELY_SHORT:
                yield self._of_json(line, is_plain)
            else:
                yield from self.feed([data.split(b"\n")[number]])

    def feed(self, lines: Iterable[bytes]) -> Iterator[LogRecord]:
        """The records of `lines` that are complete: the last one waits for more of it until `flush`."""
        for line in self._printed(lines) if self.only_console else lines:
            record = self.record(line)
            if record is None:
                self._continue(decoded(line))
                continue
            if self._open is not None:
                yield self._closed(self._open)
                self._open = None
            if line.startswith(b'{"t":'):
                yield record  # one line is one record: there is nothing to wait for
            else:
                self._open = record

    def flush(self) -> Iterator[LogRecord]:
        """The record that waits, if any: nothing more of it is expected."""
        if self._open is not None:
            yield self._closed(self._open)
        self._open = None

    def record(self, line: bytes) -> LogRecord | None:
        """The record that `line` starts; None for a line that continues the record before it."""
        if line.startswith(b'{"t":'):
            record = self._json(line)
            if record is not None:
                return record
        text = decoded(line)
        # A thread and a logger that were met before need no regular expression to be told apart again.
        if text[24:25] == "[":
            head, _, message = text[32:].partition(" - ")
            thread, _, logger = head.rpartition(" ")
            if (thread, logger) in self._templates and (at := self._epoch(text[:19], text[20:23])) is not None:
                return self._build(at, text[25:30].rstrip(), thread, logger, sanitize(message))
        match = _LINE.match(text)
        if match is not None:
            second, millis, level, thread, logger, message = match.groups()
            at = self._epoch(second, millis)
            return self._build(at, level, thread, logger, sanitize(message)) if at is not None else None
        match = _BARE.match(text)
        if match is not None:
            second, millis, message = match.groups()
            at = self._epoch(second, millis)
            source: Source = "access" if _ACCESS.match(message) else "metrics"
            return LogRecord(time=at, source=source, text=sanitize(message)) if at is not None else None
        level = plain_level(line)
        return LogRecord(time=None, level=level, source="console", text=sanitize(text)) if level else None

    def origin(self, origin: bytes) -> LogRecord:
        """What all records have in common of which `origin` is what `ORIGIN` finds in them."""
        thread, logger = msgspec.json.decode(b'["%b"]' % origin.replace(b'","lg":"', b'","'), type=tuple[str, str])
        return self._templates.get((thread, logger)) or self._learn(thread, logger)

    def _printed(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Those of `lines` that came from outside of log4j, without parsing the others."""
        for line in lines:
            if line[24:25] == b"[" and line[:1].isdigit():
                self._is_skipping = True
            elif plain_level(line):
                self._is_skipping = False
            if not self._is_skipping:
                yield line

    def _json(self, line: bytes) -> LogRecord | None:
        is_cut = len(line) > LINE_LIMIT
        parsed = self._parsed(_repaired(line) if is_cut else line)
        if parsed is None:
            return None
        if is_cut:
            parsed.m += "" if parsed.x else CUT_MARK
            parsed.x += CUT_MARK if parsed.x else ""
        return self._of_json(parsed)

    def _parsed(self, line: bytes) -> _JsonLine | None:
        try:
            return self._decode(line)
        except UnicodeDecodeError:
            return self._parsed(line.decode(errors="replace").encode())
        except (msgspec.DecodeError, RecursionError):
            return None

    def _of_json(self, line: _JsonLine, is_plain: bool = False) -> LogRecord:
        text = f"{line.m}\n{line.x.strip()}" if line.x else line.m
        at = line.t / 1000 if 0 <= line.t < _END_OF_TIME else None
        return self._build(at, line.l, line.th, line.lg, text if is_plain else sanitize(text))

    def _build(self, at: float | None, level: str, thread: str, logger: str, text: str) -> LogRecord:
        """A record of sanitized `text`."""
        like = self._templates.get((thread, logger)) or self._learn(thread, logger)
        if like.worker is not None and text.startswith("[PID]") and (match := _PID.match(text)):
            self._pids[like.worker] = int(match[1])
            self._templates.clear()
            like = self._learn(thread, logger)
        return msgspec.structs.replace(like, time=at, level=level if level.isalpha() else sanitize(level), text=text)

    def _learn(self, thread: str, logger: str) -> LogRecord:
        """What all records of a thread and a logger have in common, worked out once."""
        worker = model = version = None
        stream: Stream = ""
        source = source_of(logger)
        match = _THREAD.match(thread)
        if match is not None:
            port, name_and_version, suffix = match.groups()
            stream = _STREAMS.get(suffix, "") if source == "worker" else ""
            name, _, number = name_and_version.rpartition("_")
            name, number = self.known.get(name_and_version, (name or name_and_version, number))
            worker, model, version = f"W-{port}", sanitize(name), sanitize(number)
        if len(self._templates) >= _TEMPLATES:
            self._templates.clear()  # names without end must not fill the memory
        template = self._templates[thread, logger] = LogRecord(
            time=None,
            thread=sanitize(thread),
            logger=sanitize(logger),
            source=source,
            stream=stream,
            worker=worker,
            model=model,
            version=version,
            pid=self._pids.get(worker or ""),
        )
        return template

    def _continue(self, text: str) -> None:
        if self._open is None:
            self._open = LogRecord(time=None, source="console")
        if self._more_size <= LINE_LIMIT:
            self._more.append(sanitize(text))
        self._more_size += len(text) + 1

    def _closed(self, record: LogRecord) -> LogRecord:
        if not self._more:
            return record
        lines = [record.text, *self._more] if record.text or record.time is not None else self._more
        cut = CUT_MARK if self._more_size > 2 * LINE_LIMIT else ""
        self._more, self._more_size = [], 0
        return msgspec.structs.replace(record, text="\n".join(lines).rstrip("\n") + cut)

    def _epoch(self, second: str, millis: str) -> float | None:
        if second != self._second[0]:
            self._second = (second, _whole_second(second, self.zone))
        whole = self._second[1]
        return whole + int(millis) / 1000 if whole is not None and millis.isdecimal() else None


def _whole_second(text: str, zone: dt.tzinfo | None) -> float | None:
    """Seconds since the epoch of a time without a zone; None for a date that does not exist."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if zone is not None:
        return moment.replace(tzinfo=zone).timestamp()
    try:
        return time.mktime(moment.timetuple())
    except OverflowError:
        return None


def _repaired(line: bytes) -> bytes:
    """The first bytes of a long JSON line, closed again so that it still parses."""
    head = line[:LINE_LIMIT].decode(errors="ignore")
    head = re.sub(r"\\(?:u[0-9a-fA-F]{0,3})?$", "", head) if not re.search(r"(?:^|[^\\])(?:\\\\)+$", head) else head
    return f'{head}"}}'.encode()
