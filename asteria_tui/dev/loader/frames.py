"""The frames of the project's own code that an exception came through: the lines around each, and what it knew."""

from __future__ import annotations

import linecache
import re
import reprlib
import time
import traceback
from collections.abc import Callable
from typing import Any

MAX_FRAMES = 8
MAX_LOCALS = 30
MAX_VALUE = 200
"""Characters."""
AROUND = 3
"""Lines before and after the one that raised."""
BUDGET = 0.1
"""Seconds for all values together: what a project's `__repr__` takes is taken from a request."""
_SECRET_NAME = re.compile(r"authorization|token|secret|password|api_?key", re.IGNORECASE)
_SECRET = re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*)(['\"])?[^'\",}]*|bearer\s+\S+")

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = MAX_VALUE
_repr.maxlevel = 3


def frames_of(error: BaseException, owns: Callable[[str], bool]) -> list[dict[str, Any]]:
    """The innermost one last; values are shortened, and secrets are not among them."""
    end = time.monotonic() + BUDGET
    own = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if owns(frame.f_code.co_filename)]
    found = []
    for frame, line in own[-MAX_FRAMES:]:
        file = frame.f_code.co_filename
        first = max(1, line - AROUND)
        source = [linecache.getline(file, number).rstrip("\n") for number in range(first, line + AROUND + 1)]
        found.append(
            {
                "file": file,
                "line": line,
                "function": frame.f_code.co_name,
                "first": first,
                "source": [text[:MAX_VALUE] for text in source],
                "locals": _values(frame.f_locals, end),
            }
        )
    return found


def _values(values: dict[str, Any], end: float) -> dict[str, str]:
    shown = {}
    for name, value in list(values.items())[:MAX_LOCALS]:
        if name.startswith("__"):
            continue
        if time.monotonic() > end:
            shown[name] = "…"
        elif _SECRET_NAME.search(name):
            shown[name] = "(hidden)"
        else:
            shown[name] = _SECRET.sub("(hidden)", _shown(value))
    return shown


def _shown(value: Any) -> str:
    try:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"{type(value).__name__} {tuple(value.shape)} {value.dtype} {getattr(value, 'device', '')}".rstrip()
        return _repr.repr(value)[: 2 * MAX_VALUE]
    except Exception as odd:  # noqa: BLE001 a `__repr__` of the project's
        return f"<{type(value).__name__}, whose repr raises {type(odd).__name__}>"
