"""Numbers, times and answers as people read them."""

from __future__ import annotations

import pytest

from asteria_tui import wording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0 ms"), (0.038, "38 ms"), (1.414, "1.41 s"), (61, "1:01"), (3 * 3600 + 62, "3:01:02")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("left", "text"), [(5, "5 s"), (119, "119 s"), (2839, "47 min"), (3700, "1 h 1 min"), (100_000, "1 d 3 h")]
)
def test_times_that_go_by_seldom_change(left, text):
    assert wording.span(left) == text


@pytest.mark.parametrize(("count", "text"), [(27, "27 B"), (517e6, "517 MB"), (1_100, "1.1 kB"), (2.5e9, "2.5 GB")])
def test_sizes(count, text):
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"score": 0.0312}, "score 0.0312"),
        ({"a": 1, "b": 2}, "{'a': 1, 'b': 2}"),
        ("one\n  two", "one two"),
        ([[0.1] * 20], "[[0.1, 0.1, 0.1, 0.…"),
    ],
)
def test_an_answer_is_one_short_line(answer, text):
    assert wording.short(answer, 20) == text


@pytest.mark.parametrize("millis", [0, 1, 204, 744, 745, 999])
def test_a_time_of_day_has_the_very_milliseconds_of_the_log(millis):
    # Most of these are no exact binary fractions.
    assert all(
        wording.clock((second * 1000 + millis) / 1000).endswith(f".{millis:03}")
        for second in range(1_795_411_200, 1_795_411_260)
    )
    assert len(wording.clock(None)) == len(wording.clock(1.0))
