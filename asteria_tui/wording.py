"""Numbers with their units, times and answers, as people read them."""

from __future__ import annotations

import time

from asteria_tui.errors import shortened

MINUTE, HOUR, DAY = 60, 3600, 86400
SHOW_SECONDS_BELOW = 120


def duration(seconds: float) -> str:
    """How long something took: `38 ms`, `1.41 s`, `12:41`, `3:12:41`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(seconds: float) -> str:
    """A time that goes by, as coarse as can be so that it seldom changes: `42 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    seconds = max(0.0, seconds)
    if seconds < SHOW_SECONDS_BELOW:
        return f"{seconds:.0f} s"
    minutes = int(seconds // MINUTE)
    if seconds < HOUR:
        return f"{minutes} min"
    if seconds < DAY:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def uptime(started_at: float) -> str:
    """In whole minutes: a screen where nothing happens does not move."""
    seconds = time.time() - started_at
    return "just now" if seconds < MINUTE else f"up {span(max(seconds, SHOW_SECONDS_BELOW))}"


def size(count: float) -> str:
    """Bytes, in the decimal units that file managers show: `812 B`, `1.1 MB`, `517 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.{1 if count < 10 * scale else 0}f} {unit}"
    return f"{count:.0f} B"


def short(answer: object, width: int) -> str:
    """An answer of a model in one line: `score 0.0312` for an object of one value."""
    if isinstance(answer, dict) and len(answer) == 1:
        [(key, value)] = answer.items()
        answer = f"{key} {value}"
    text = " ".join(str(answer).split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def escaped(text: str, limit: int = 200) -> str:
    r"""A name that others chose, in one line: what is not printed is written as `\x1b`, a long one is shortened."""
    text = shortened(text, limit)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def clock(at: float | None) -> str:
    """The local time of day, to the millisecond: `12:04:31.204`; as many blanks for a time that is not known."""
    if not at:
        return " " * 12
    whole, millis = divmod(round(at * 1000), 1000)
    return f"{time.strftime('%H:%M:%S', time.localtime(whole))}.{millis:03}"
