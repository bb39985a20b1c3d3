"""An exception of the project's code, as plain values to be sent."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
MAX_CHAIN = 20
MAX_MESSAGE = 2_000
MAX_TRACEBACK = 32_000
"""Characters."""


def describe(error: BaseException, owns: Callable[[str], bool]) -> dict[str, Any]:
    """Of the root of its chain class, message and the project's innermost frame; and the whole traceback."""
    chain = _chain(error)
    file, line, function = next(filter(None, (_place(one, owns) for one in chain)), None) or _innermost(chain[0])
    try:
        trace = _without_us(error.__traceback__)
        text = "".join(traceback.format_exception(type(error), error, trace))
        message = str(chain[0])
    except Exception as odd:  # noqa: BLE001 a `__str__` of the project's
        text = message = f"its own text raises {type(odd).__name__}"
    return {
        "exception": type(chain[0]).__name__,
        "message": message[:MAX_MESSAGE],
        "file": file,
        "line": line,
        "function": function,
        "traceback": _shortened(text),
    }


def _chain(error: BaseException) -> list[BaseException]:
    """The root first, as the log's readers of `asteria_tui/logs/cause.py` have it."""
    found = [error]
    while len(found) < MAX_CHAIN:
        before = found[0].__cause__ or (None if found[0].__suppress_context__ else found[0].__context__)
        if before is None or before in found:
            break
        found.insert(0, before)
    return found


def _place(error: BaseException, owns: Callable[[str], bool]) -> tuple[str, int, str] | None:
    if isinstance(error, SyntaxError) and error.filename and owns(error.filename):
        return error.filename, error.lineno or 0, "<module>"
    place = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if owns(frame.f_code.co_filename):
            place = (frame.f_code.co_filename, number, frame.f_code.co_name)
    return place


def _innermost(error: BaseException) -> tuple[str, int, str]:
    place = ("", 0, "")
    for frame, number in traceback.walk_tb(error.__traceback__):
        place = (frame.f_code.co_filename, number, frame.f_code.co_name)
    return place


def _without_us(trace: TracebackType | None) -> TracebackType | None:
    """From the first frame on that is not of this package, where there is one."""
    first = trace
    while first is not None:
        name = first.tb_frame.f_code.co_filename
        if not os.path.abspath(name).startswith(HERE) and "importlib" not in name:
            return first
        first = first.tb_next
    return None


def _shortened(text: str) -> str:
    half = MAX_TRACEBACK // 2
    return text if len(text) <= MAX_TRACEBACK else text[:half] + "\n  …\n" + text[-half:]
