"""Bounds of what others wrote: the kind and the size of a file, how deep its text is nested.

Whatever a parser raises is a ValueError here, and what is wrong with a file is an OSError, so each caller turns one
of two errors into its own (docs/design.md section 5, "Trust").
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

KIB, MIB = 1024, 1024**2
MAX_DEPTH = 200
"""Of lists and objects in each other: what reads such a text again later has room on its stack, too."""
MAX_KEY_PARTS = 32
"""Of a dotted key; `tomllib` takes the square of it."""
_TOML_KEY = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?:{_TOML_KEY}[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}}")
_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_KINDS: dict[str, Callable[[int], bool]] = {
    "a named pipe": stat.S_ISFIFO,
    "a device": stat.S_ISCHR,
    "a block device": stat.S_ISBLK,
    "a socket": stat.S_ISSOCK,
}


class DepthError(ValueError):
    """Lists and objects in each other, more than `MAX_DEPTH` of them or more than the parser takes."""

    def __init__(self) -> None:
        super().__init__("nested too deeply")


def open_regular(path: Path) -> io.BufferedReader:
    """The file, to be read; raises OSError, also for what is no regular file: a pipe would be waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:  # a NUL, or a character that no name can hold
        raise OSError(errno.EINVAL, "no file has such a name", str(path)) from None
    return as_regular(descriptor, path)


def as_regular(descriptor: int, path: Path) -> io.BufferedReader:
    """The open file, to be read; raises OSError for what is no regular file."""
    try:
        _refuse_other_kinds(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _refuse_other_kinds(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = next((name for name, is_one in _KINDS.items() if is_one(mode)), "something else")
        raise OSError(errno.EINVAL, f"not a regular file but {kind}", str(path))


def read_small(path: Path, limit: int) -> bytes:
    """The whole file; raises OSError where it is larger than `limit`, or no regular file."""
    with open_regular(path) as file:
        return read_at_most(file, limit, path)


def read_end(path: Path, limit: int) -> bytes:
    """The last bytes of the file, `limit` at most; raises OSError where it is no regular file."""
    with open_regular(path) as file:
        file.seek(-min(limit, file.seek(0, io.SEEK_END)), io.SEEK_END)
        return file.read(limit)


def read_at_most(file: BinaryIO, limit: int, path: Path | str) -> bytes:
    """All that comes; raises OSError where that is more than `limit`."""
    content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {_size(limit)}, which is the limit", str(path))
    return content


def _size(limit: int) -> str:
    return f"{limit // MIB} MiB" if limit >= MIB else f"{limit // KIB} KiB"


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: names of files and arguments may be other bytes."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


def parse_toml(content: bytes) -> dict[str, Any]:
    """Raises ValueError for anything else than TOML that somebody may have written."""
    text = content.decode()
    if _LONG_KEY.search(text):
        raise ValueError(f"a key of more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise DepthError from None


def parse_json(content: bytes, refuse_constant: Callable[[str], Any] | None = None) -> Any:
    """Raises ValueError for anything else; `refuse_constant` is called for NaN and the infinities."""
    text = content.decode(json.detect_encoding(content), "surrogatepass")
    check_depth(text)
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise DepthError from None


def check_depth(text: str) -> None:
    """Raises DepthError where a JSON text is nested deeper than anything that was meant to be read."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            raise DepthError
