"""From a log line to the 384 + 10 numbers of one step; needs no download and no trained embedding."""

import functools
import itertools
import math
import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from anomaly_model import EMBEDDING_SIZE

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "FATAL")
ERROR = LEVELS.index("ERROR")
WINDOW_SECONDS = 60.0
"""How far the features look back."""
FULL_SCALE = {"characters": 1024, "words": 128, "seconds": WINDOW_SECONDS, "lines": 1024}
"""The count that a logarithmic feature maps to 1."""

FEATURES = (
    ("severity", "0 … 1", "level of the line: 0 DEBUG, 0.25 INFO, 0.5 WARNING, 0.75 ERROR, 1 FATAL"),
    ("length", "0 … 1, log of characters", "length of the text; 1 is 1024 characters or more"),
    ("words", "0 … 1, log of words", "words in the text; 1 is 128 words or more"),
    ("digit_share", "0 … 1", "digits as a share of the characters"),
    ("gap", "0 … 1, log of seconds", "time since the line before; 1 is 60 s or more, or no line before"),
    ("rate", "0 … 1, log of lines", "lines of the last 60 s, this one included; 1 is 1024 lines or more"),
    ("error_share", "0 … 1", "lines of ERROR or FATAL as a share of the lines of the last 60 s"),
    (
        "novelty",
        "0 … 1",
        "share of the other lines of the last 60 s with another template; 1 if there are none",
    ),
    ("hour_sin", "-1 … 1", "sine of the time of day in UTC, one turn in 24 h"),
    ("hour_cos", "-1 … 1", "cosine of the time of day in UTC"),
)
"""Name, unit and meaning of each feature, in the order in which the network takes them."""


class Line(NamedTuple):
    """One log line: seconds since 1970-01-01 UTC, index into `LEVELS`, text."""

    time: float
    level: int
    text: str


@functools.lru_cache(maxsize=4096)
def template(text: str) -> tuple[str, ...]:
    """Return the words of a line in lower case, each word with a digit in it replaced by `#`."""
    words = re.findall(r"[^\W_]+", text.lower())
    return tuple("#" if any(map(str.isdigit, word)) else word for word in words)


def embed(text: str) -> list[float]:
    """Embed the text of a line: a hashed bag of its words and word pairs, 384 values of Euclidean length 1.

    The hashing trick with a sign bit (Weinberger et al., 2009) over CRC-32, so equal on every machine.
    A text without any word gives zeros.
    """
    words = template(text)
    values = [0.0] * EMBEDDING_SIZE
    for term in [*words, *map(" ".join, itertools.pairwise(words))]:
        sign, bucket = divmod(zlib.crc32(term.encode()), EMBEDDING_SIZE)
        values[bucket] += 1.0 if sign % 2 else -1.0
    length = math.hypot(*values) or 1.0
    return [value / length for value in values]


def features(lines: Sequence[Line]) -> list[float]:
    """Measure the last of `lines` (oldest first, at least one): the ten values of `FEATURES`."""
    line = lines[-1]
    recent = [other for other in lines if other.time > line.time - WINDOW_SECONDS]
    others = recent[:-1]
    same = sum(template(other.text) == template(line.text) for other in others)
    errors = sum(other.level >= ERROR for other in recent)
    gap = line.time - lines[-2].time if len(lines) > 1 else WINDOW_SECONDS
    day = datetime.fromtimestamp(line.time, UTC)
    angle = math.tau * (day.hour + day.minute / 60 + day.second / 3600) / 24
    return [
        line.level / (len(LEVELS) - 1),
        _log_scale(len(line.text), "characters"),
        _log_scale(len(template(line.text)), "words"),
        sum(map(str.isdigit, line.text)) / max(len(line.text), 1),
        _log_scale(gap, "seconds"),
        _log_scale(len(recent), "lines"),
        errors / len(recent),
        1 - same / len(others) if others else 1.0,
        math.sin(angle),
        math.cos(angle),
    ]


def encode(lines: Sequence[Line], steps: int) -> list[list[float]]:
    """Encode the last `steps` of `lines`, oldest first; the lines before them only give context.

    Returns:
        `steps` rows of 394 values: the embedding, then the features.
    """
    ends = range(len(lines) - steps + 1, len(lines) + 1)
    return [embed(lines[end - 1].text) + features(lines[:end]) for end in ends]


def _log_scale(value: float, unit: str) -> float:
    return min(math.log1p(value) / math.log1p(FULL_SCALE[unit]), 1.0)
