"""What a body is: JSON, text, or bytes of a kind that its first ones tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from asteria_tui.bounds import check_depth
from asteria_tui.wording import size

_SIGNS: tuple[tuple[bytes, str], ...] = (
    (rb"\x89PNG\r\n\x1a\n", "PNG image"),
    (rb"\xff\xd8\xff", "JPEG image"),
    (rb"GIF8[79]a", "GIF image"),
    (rb"RIFF....WEBP", "WebP image"),
    (rb"RIFF....WAVE", "WAVE audio"),
    (rb"%PDF-", "PDF"),
    (rb"PK\x03\x04", "ZIP archive"),
    (rb"\x1f\x8b", "gzip"),
    (rb"\x93NUMPY", "NumPy array"),
)
_KINDS = tuple((re.compile(sign, re.DOTALL), kind) for sign, kind in _SIGNS)
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""Control characters but white space and the escape of colours."""
HEAD = 16
"""Bytes of the hex head, and of a row of `hex_rows`."""
ROWS = 16


def parsed(content: bytes) -> Any:
    """The value of JSON, else the text, else None for bytes that are neither."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    try:
        check_depth(text)
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return None if is_binary(text) else text


def is_binary(text: str) -> bool:
    """Whether bytes that happen to be UTF-8 are no text for people."""
    return _NOT_IN_TEXT.search(text) is not None


def kind_of(content: bytes, content_type: str = "") -> str:
    """Such as `PNG image`; what the bytes don't tell, their declared type does."""
    for sign, kind in _KINDS:
        if sign.match(content):
            return kind
    return content_type or "binary"


def summary(content: bytes, content_type: str = "") -> str:
    """Kind, size and the first bytes: `PNG image, 12 kB, 89 50 4e 47 …`."""
    more = " …" if len(content) > HEAD else ""
    return f"{kind_of(content, content_type)}, {size(len(content))}, {content[:HEAD].hex(' ')}{more}"


def hex_rows(content: bytes) -> Iterator[str]:
    """The first bytes as `xxd` shows them: `00000000  89 50 4e 47 …  .PNG`."""
    for start in range(0, min(len(content), HEAD * ROWS), HEAD):
        row = content[start : start + HEAD]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)  # noqa: PLR2004 what ASCII can print
        yield f"{start:08x}  {row.hex(' '):<{HEAD * 3 - 1}}  {text}"
