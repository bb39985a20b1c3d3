"""Text of a log, sanitized: nothing of it can move the cursor, set a title, hide other text or show a token."""

from __future__ import annotations

import re

LINE_LIMIT = 32_768
"""Bytes of one line that a record holds; the whole line stays in its file."""

CUT_MARK = "… (cut)"

# ECMA-48: control sequences, control strings (titles, hyperlinks), other escapes; 7-bit and 8-bit introducers.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
BEARER = "Bearer "
# Credentials of an Authorization header (RFC 6750, section 2.1), which a handler may log.
_TOKEN = re.compile(r"Bearer +[\w.~+/-]{8,}=*")
_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
# Beside the controls: line separators and the marks that turn the direction of writing (UAX #9).
_OTHERS = [
    0x7F,
    *range(0x80, 0xA0),
    0x2028,
    0x2029,
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
_HARMLESS = _PICTURES | dict.fromkeys([*_OTHERS, *range(0xD800, 0xE000)], 0xFFFD)


def sanitize(text: str) -> str:
    """`text` without escape sequences; other control characters become visible pictures, NUL for example `␀`.

    Bearer tokens are masked.
    """
    if BEARER in text:
        text = _TOKEN.sub(f"{BEARER}••••••••", text)
    if text.isprintable():
        return text
    return _ESCAPE.sub("", text).translate(_HARMLESS)


def show_controls(text: str) -> str:
    """`text` with a picture for each character that a terminal would act upon; as long as before."""
    return text.translate(_HARMLESS)


def decoded(line: bytes) -> str:
    """One line as text: invalid UTF-8 replaced, line end and what lies beyond `LINE_LIMIT` cut off."""
    if len(line) > LINE_LIMIT:
        return _cut(line).decode(errors="replace") + CUT_MARK
    return line.rstrip(b"\r\n").decode(errors="replace")


def _cut(line: bytes) -> bytes:
    """The first bytes of a line, ending between two characters."""
    end = LINE_LIMIT
    while end > LINE_LIMIT - 4 and line[end] & 0xC0 == 0x80:  # noqa: PLR2004 a continuation byte of UTF-8
        end -= 1
    return line[:end]
