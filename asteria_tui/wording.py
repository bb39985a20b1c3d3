"""Numbers with their units, times and answers, as people read them."""

from __future__ import annotations

import time

from asteria_tui.errors import shortened
from asteria_tui.events import Difference, Reloaded, RequestHeld, RequestReleased, SampleAnswer, encode

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
    """In whole minutes, rounded down: a screen where nothing happens does not move."""
    seconds = time.time() - started_at
    return "just now" if seconds < MINUTE else f"up {_minutes(seconds)}"


def ago(at: float) -> str:
    """`just now`, `3 min ago`, as seldom another text as the uptime."""
    seconds = time.time() - at
    return "just now" if seconds < MINUTE else f"{_minutes(seconds)} ago"


def _minutes(seconds: float) -> str:
    return f"{seconds // MINUTE:.0f} min" if seconds < SHOW_SECONDS_BELOW else span(seconds)


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
        answer = f"{key} {value if isinstance(value, str) else encode(value).decode()}"
    text = " ".join((answer if isinstance(answer, str) else encode(answer).decode()).split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def lines_lost(count: int, *, is_exact: bool) -> str:
    """Of a log whose parts were deleted before they were read: `412,889 lines lost to rotation`."""
    if is_exact:
        return f"{plural(count, 'line')} lost to rotation"
    if count:
        return f"at least {plural(count, 'line')} lost to rotation"
    return "lines may be lost to rotation, how many is not known"


def workers(ready: int, wanted: int) -> str:
    """`2 workers`, or `1 of 2 workers`."""
    return plural(ready, "worker") if ready >= wanted else f"{ready} of {plural(wanted, 'worker')}"


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


VALUE_WIDTH = 24


def reloaded(event: Reloaded) -> str:
    """A save in one line: `handler.py:41 · live 11 ms · ordinary 0.0903 → 0.0871 · outage =`."""
    where = f"{event.file}:{event.line}" if event.line else event.file or event.model
    if event.files > 1:
        where += f" and {plural(event.files - 1, 'more file')}"
    parts = [where] if event.cause is None else [where, "does not load", event.cause.headline]
    if event.cause is None or event.depth != "live":
        why = f" ({event.reason})" if event.reason else ""
        parts.append(f"{event.depth} {duration(event.milliseconds / 1000)}{why}")
    return " · ".join((*parts, *map(sample_answer, event.samples)))


def request_held(event: RequestHeld) -> str:
    """`held · KeyError: 'x', handler.py:23 in handle · save a fix`, and who else waits."""
    others = "all others wait too, more workers would let them pass" if event.is_last_worker else ""
    return " · ".join(filter(None, ("held", event.cause.headline, "save a fix", others)))


def request_released(event: RequestReleased) -> str:
    """`answered by the fix, after 12 s`, or `given up, after 12 s`."""
    return f"{'answered by the fix' if event.is_good else 'given up'}, after {duration(event.seconds)}"


def sample_answer(answer: SampleAnswer) -> str:
    """`ordinary 0.0903 → 0.0871`, `ordinary =`, `ordinary 503 KeyError: …`."""
    if answer.cause is not None or not answer.is_good:
        what = answer.cause.headline if answer.cause else short(answer.body, VALUE_WIDTH)
        return f"{answer.sample} {answer.status or 'unanswered'} {what}".rstrip()
    if answer.is_first:
        return f"{answer.sample} {short(answer.body, VALUE_WIDTH)}"
    if not answer.differences:
        return f"{answer.sample} ="
    first, *more = answer.differences
    is_alone = isinstance(answer.body, dict) and len(answer.body) == 1
    return f"{answer.sample} {_difference(first, is_named=not is_alone)}{f' and {len(more)} more' if more else ''}"


def _difference(found: Difference, *, is_named: bool) -> str:
    before, after = (
        "nothing" if value is None else short(round(value, 6) if isinstance(value, float) else value, VALUE_WIDTH)
        for value in (found.before, found.after)
    )
    return f"{f'{found.path} ' if is_named and found.path else ''}{before} → {after}"
