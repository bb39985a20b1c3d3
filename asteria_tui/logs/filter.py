"""Which records to show: an exact check of records, and cheap ones of bytes that spare most of the parsing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat
from operator import itemgetter

import msgspec

from asteria_tui.errors import ConfigError
from asteria_tui.events import LogRecord, Source
from asteria_tui.logs.parse import plain_level
from asteria_tui.logs.pattern import compiled, matches

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
CONTINUED = 8
"""Added to the level code of a line that continues the record before it."""

# The level stands at one place of a line in every layout: behind the time, which always has the same length.
_AT_LEVEL = itemgetter(slice(24, 26))
_CODES = {
    head: code for code, level in enumerate(LEVELS, start=1) for head in (f"[{level[0]}".encode(), level[:2].encode())
} | {b"- ": 3}
# Text that JSON writes as it is; what is not ASCII may be composed in another way.
_SAFE = re.compile(r"[ !#-\[\]-~]+")
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_OPEN_PART = re.compile(r"(?:\\[a-zA-Z0-9]|\.|\[[^]]+\])[*+?]?|[\^$]")
_HARD = re.compile(r"[\\|?*+(){}\[\]]")


def level_codes(lines: Sequence[bytes]) -> bytes:
    """One byte a line: 1 (TRACE) to 6 (FATAL), 3 where there are no levels, 0 where no record starts."""
    codes = bytes(map(_CODES.get, map(_AT_LEVEL, lines), repeat(0)))
    unknown = codes.find(0)
    if unknown < 0:
        return codes
    settled = bytearray(codes)
    while unknown >= 0:
        level = plain_level(lines[unknown])
        settled[unknown] = LEVELS.index(level) + 1 if level else 0
        unknown = codes.find(0, unknown + 1)
    return bytes(settled)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What to show. Every field that is set must hold; `grep` and `not_` are regular expressions."""

    level: str = ""
    """The least level: `warn` shows WARN, ERROR and FATAL."""
    worker: str | None = None
    """`W-9000` or `9000`."""
    model: str | None = None
    sources: frozenset[Source] = frozenset()
    grep: str = ""
    not_: str = ""
    find: str = ""
    """One more regular expression that must match: what is searched among that which the others show."""
    since: float | None = None
    """Seconds since the epoch."""
    request: str = ""
    """A request id: the records that name it."""

    def __post_init__(self) -> None:
        if self.level and self.level.upper() not in (*LEVELS, "WARNING", "CRITICAL"):
            raise ConfigError(f"There is no level {self.level}", hint=f"one of {', '.join(LEVELS).lower()}")
        for pattern in filter(None, (self.grep, self.not_, self.find)):
            compiled(pattern)

    @property
    def least(self) -> int:
        """The code of the least level to show."""
        name = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(self.level.upper(), self.level.upper())
        return LEVELS.index(name) + 1 if name else 0

    @property
    def needle(self) -> bytes:
        """Bytes that a line of every record to show holds, unless an escape sequence hides them; may be empty."""
        worker, model = self._worker and f"{self._worker}-", f"-{self.model}_" if self.model else ""
        words = (self.request, _literal(self.find), _literal(self.grep), worker, model)
        return next((word for word in words if _SAFE.fullmatch(word)), "").encode()

    @property
    def is_by_level_only(self) -> bool:
        """Whether the level codes alone decide what to show."""
        return self == Filter(level=self.level)

    @property
    def is_by_origin_only(self) -> bool:
        """Whether level, worker, model and source alone decide what to show."""
        return self == Filter(level=self.level, worker=self.worker, model=self.model, sources=self.sources)

    @property
    def is_by_text(self) -> bool:
        """Whether some lines of a traceback may be shown and others not."""
        return bool(self.grep or self.not_ or self.request or self.since is not None)

    def shows_origin(self, record: LogRecord) -> bool:
        """Whether records of the same thread and logger as `record` may be shown."""
        return (
            (self.worker is None or record.worker == self._worker)
            and (self.model is None or record.model == self.model)
            and (not self.sources or record.source in self.sources)
        )

    @property
    def levels(self) -> bytes:
        """For `bytes.translate` of level codes: 1 for the codes to show, 0 for the others."""
        shown = bytearray(256)
        for code in range(self.least, CONTINUED):
            shown[code] = shown[code + CONTINUED] = 1
        return bytes(shown)

    def matches(self, record: LogRecord) -> bool:
        """Whether `record` is to be shown; raises ConfigError where a pattern takes too long on it."""
        return (
            (not self.level or level_code(record) >= self.least)
            and self.shows_origin(record)
            and (self.since is None or record.time is None or record.time >= self.since)
            and (not self.request or self.request in record.text)
            and (not self.grep or matches(self.grep, record.text))
            and (not self.find or matches(self.find, record.text))
            and (not self.not_ or not matches(self.not_, record.text))
        )

    @property
    def _worker(self) -> str:
        worker = self.worker or ""
        return worker if not worker or worker.startswith("W-") else f"W-{worker}"


EVERYTHING = Filter()
"""What `logs` prints unless it is asked for less: scripts read it."""
DEFAULT = Filter(sources=frozenset({"server", "worker", "access", "console"}))
"""What people read: metrics are most of the lines and the least of what one reads."""


def level_code(record: LogRecord) -> int:
    """The code of a record's level; one without a level counts as INFO."""
    return LEVELS.index(record.level) + 1 if record.level in LEVELS else 3


def might_hold(data: bytes, needle: bytes) -> bool:
    """Whether some record in `data` may hold `needle`: False spares reading its lines."""
    return needle in data or is_hiding(data)


def is_hiding(data: bytes) -> bool:
    """Whether `data` holds escape sequences, raw or as JSON writes them: they may stand inside of a needle."""
    # One character is found several times faster than many, and most logs hold none of the three.
    return b"\x1b" in data or (b"\\" in data and b"\\u00" in data) or (b"\xc2" in data and _C1.search(data) is not None)


def _literal(pattern: str) -> str:
    """The longest plain text that everything that `pattern` matches must hold; empty when that is hard to know."""
    plain = _OPEN_PART.sub("\0", pattern)
    if _HARD.search(plain):
        return ""
    return max(plain.split("\0"), key=len)
