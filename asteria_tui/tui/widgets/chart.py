"""A small area chart in braille, as text: two columns and four rows of dots a character, no picture to be drawn."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from textual.content import Content

DOTS = 4
"""Rows of dots in one character."""
_LEFT = (0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x80, 0xA0, 0xB0, 0xB8)
_BLANK = 0x2800
_GROUND = chr(_BLANK | _LEFT[0] | _RIGHT[0])
GROUND_STYLE = "$foreground 25%"
_STEPS = (1, 2, 5, 10)


def ceiling(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 …: a scale that seldom changes, and reads well."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * 0.999)


def area(
    values: Sequence[float], width: int, height: int, style: str, marked: Collection[int] = (), mark: str = ""
) -> list[Content]:
    """`height` lines of `width` columns, the last value at the right; the values of the indexes `marked` in `mark`.

    A value that is not 0 shows at least one dot.
    """
    repeat = max(1, 2 * width // len(values)) if values else 1
    columns = [(value, index) for index, value in enumerate(values) for _ in range(repeat)][-2 * width :]
    columns = [(0.0, -1)] * (2 * width - len(columns)) + columns
    top = ceiling(max(values, default=0.0))
    levels = [math.ceil(value / top * height * DOTS - 1e-6) if value > 0 else 0 for value, _ in columns]
    lines = []
    for row in reversed(range(height)):
        parts: list[tuple[str, str]] = []
        for place in range(0, 2 * width, 2):
            left, right = (min(DOTS, max(0, level - row * DOTS)) for level in levels[place : place + 2])
            dots = (_LEFT[left - 1] if left else 0) | (_RIGHT[right - 1] if right else 0)
            is_marked = bool({columns[place][1], columns[place + 1][1]} & set(marked))
            if dots:
                parts.append((chr(_BLANK | dots), mark if is_marked else style))
            else:
                parts.append((_GROUND, GROUND_STYLE) if row == 0 else (" ", ""))
        lines.append(Content.assemble(*_joined(parts)))
    return lines


def _joined(parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style as one piece."""
    joined: list[tuple[str, str]] = []
    for text, style in parts:
        if joined and joined[-1][1] == style:
            joined[-1] = (joined[-1][0] + text, style)
        else:
            joined.append((text, style))
    return joined
