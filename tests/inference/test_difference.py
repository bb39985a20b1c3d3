from __future__ import annotations

import math

import pytest

from asteria_tui.events import Difference
from asteria_tui.inference.difference import MAX_DIFFERENCES, differences


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0.09, 0.09 + 1e-8),
        (0.0, 1e-10),
        (1, 1.0),
        (math.nan, math.nan),
        (math.inf, math.inf),
        (10**400, 10**400),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ("text", "text"),
        (None, None),
    ],
)
def test_equal(before, after):
    assert differences(before, after) == ()


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (0.0903, 0.0871, [("", 0.0903, 0.0871)]),
        (1, True, [("", 1, True)]),
        (1, "1", [("", 1, "1")]),
        (10**400, 10**401, [("", 10**400, 10**401)]),
        ({"score": 1, "same": 2}, {"score": 3, "same": 2}, [("score", 1, 3)]),
        ({"a": 1}, {"b": 1}, [("a", 1, None), ("b", None, 1)]),
        ([1, [2, 3]], [1, [2, 4, 5]], [("[1][1]", 3, 4), ("[1][2]", None, 5)]),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}, [("a.b[0].c", 1, 2)]),
        ({"a": 1}, [1], [("", {"a": 1}, [1])]),
    ],
)
def test_what_differs_is_told_by_its_path(before, after, found):
    assert differences(before, after) == tuple(Difference(path=p, before=b, after=a) for p, b, a in found)


def test_tolerances_are_the_callers():
    assert differences(1.0, 1.01, relative=0.1) == ()
    assert differences(0.0, 0.5, absolute=1.0) == ()


def test_no_more_than_a_reader_takes():
    assert len(differences([0] * 1000, [1] * 1000)) == MAX_DIFFERENCES
