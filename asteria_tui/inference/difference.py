"""What differs between two answers, field by field; numbers that are close count as equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from asteria_tui.events import Difference

MAX_DIFFERENCES = 100
"""Of one comparison: whoever reads them has seen enough."""
_MISSING = object()


def differences(
    before: object, after: object, *, relative: float = 1e-6, absolute: float = 1e-9
) -> tuple[Difference, ...]:
    """Between two values of JSON, in the order of the fields; NaN equals NaN, and 1 equals 1.0 but not true."""
    return tuple(itertools.islice(_differences("", before, after, relative, absolute), MAX_DIFFERENCES))


def _differences(path: str, before: object, after: object, relative: float, absolute: float) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(inner, before.get(key, _MISSING), after.get(key, _MISSING), relative, absolute)
    elif isinstance(before, list) and isinstance(after, list):
        for index, (one, other) in enumerate(itertools.zip_longest(before, after, fillvalue=_MISSING)):
            yield from _differences(f"{path}[{index}]", one, other, relative, absolute)
    elif not _equal(before, after, relative, absolute):
        yield Difference(
            path=path,
            before=None if before is _MISSING else before,
            after=None if after is _MISSING else after,
        )


def _equal(before: object, after: object, relative: float, absolute: float) -> bool:
    if _is_number(before) and _is_number(after):
        try:
            one, other = float(before), float(after)  # type: ignore[arg-type]
        except OverflowError:  # an integer beyond the range of a double
            return before == after
        return math.isclose(one, other, rel_tol=relative, abs_tol=absolute) or (math.isnan(one) and math.isnan(other))
    return type(before) is type(after) and before == after


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
