"""Regular expressions that people type: refused where they are none, given up where they do not end.

Some need exponential time on some texts (catastrophic backtracking), and neither the screen nor Ctrl-C may wait for
them: the standard library cannot stop a search, the package `regex` can.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from typing import TYPE_CHECKING

from asteria_tui.errors import ConfigError

if TYPE_CHECKING:
    import regex

MAX_SECONDS = 0.1
"""Seconds that one text may take."""


@functools.lru_cache(maxsize=64)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Raises ConfigError."""
    import regex

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what some later version might read otherwise
            return regex.compile(pattern)
    # The last three for flags that exclude each other, for too large a count, for too many brackets.
    except (regex.error, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{pattern} is no regular expression", str(error)) from error


def matches(pattern: str, text: str) -> bool:
    """Whether some part of `text` matches; raises ConfigError."""
    try:
        return compiled(pattern).search(text, timeout=MAX_SECONDS) is not None
    except TimeoutError as error:
        raise ConfigError(
            f"{pattern} takes too long on this log",
            detail=f"it was given up after {MAX_SECONDS} s on a text of {len(text):,} characters",
            hint="repetitions within repetitions, such as (a+)+, are what takes long",
        ) from error


def spans(pattern: str, text: str) -> list[tuple[int, int]]:
    """Where `text` matches, as far as that is found in time."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(TimeoutError):
        matches = compiled(pattern).finditer(text, timeout=MAX_SECONDS)
        found.extend(match.span() for match in matches if match.end() > match.start())
    return found
