"""One record as one row of text: its columns, and the marks of a traceback that is folded there."""

from __future__ import annotations

from asteria_tui import wording
from asteria_tui.events import LogRecord
from asteria_tui.logs.folds import Fold
from asteria_tui.logs.requests import RequestFold, answered, is_good

_STYLES = {"ERROR": "error", "FATAL": "error", "WARN": "warn", "DEBUG": "debug", "TRACE": "debug"}
SERVER_ERRORS = 500
"""From this status on the server is to blame, below it whoever asked."""
MAX_CHARACTERS = 4_000
"""Characters of one row; the details show all."""
LEVEL_WIDTH = 5
ORIGIN_WIDTH = 7
GLYPH_AT = 13 + LEVEL_WIDTH + 1 + ORIGIN_WIDTH + 1
"""The column of the mark of a traceback, which a click folds and unfolds."""


def columns(record: LogRecord) -> tuple[str, str, str, str]:
    """Time, level, origin and text of a record, as one row."""
    at = f"{wording.clock(record.time)} "
    origin = record.worker or record.source
    request = answered(record)
    if request is not None:
        return at, " " * (LEVEL_WIDTH + 1), f"{origin:<{ORIGIN_WIDTH}} ", request[0]
    first, _, rest = record.text.strip("\n").partition("\n")
    text = first if len(first) <= MAX_CHARACTERS else f"{first[:MAX_CHARACTERS]}…"
    if rest:
        text += f"  ⏎ {rest.count(chr(10)) + 1} more"
    return at, f"{record.level[:LEVEL_WIDTH]:<{LEVEL_WIDTH}} ", f"{origin:<{ORIGIN_WIDTH}} ", text.expandtabs(4)


def level_of(record: LogRecord) -> str:
    """How a row is to be seen, as the name of a style: that a request failed, its level does not say."""
    request = answered(record)
    if request is not None and not is_good(request[1]):
        return "error" if request[1] >= SERVER_ERRORS else "warn"
    return _STYLES.get(record.level, "info")


def fold_marks(fold: Fold | None) -> tuple[str, str]:
    """What stands before and behind the text of a row with a traceback."""
    if fold is None:
        return "", ""
    if isinstance(fold, RequestFold):
        return "▸ " if fold.is_folded else "▾ ", ""
    return ("▸ ", f"  {len(fold.lines) + 1} lines") if fold.is_folded else ("▾ ", "")
