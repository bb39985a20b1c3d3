"""Patterns that people type: as the standard library reads them, but never for longer than a moment."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.errors import ConfigError
from asteria_tui.logs.pattern import MAX_SECONDS, matches, spans

BACKTRACKING = "(a|a)*$"
LONG = "a" * 40 + "b"


@given(st.text(), st.sampled_from([r"\d+ ms", "a|b", "^x", r"\bfoo\b", "[a-f]+", "(?i)Error", "é"]))
def test_a_pattern_means_what_it_means_to_python(text, pattern):
    assert matches(pattern, text) == (re.search(pattern, text) is not None)
    assert spans(pattern, text) == [match.span() for match in re.finditer(pattern, text) if match[0]]


@pytest.mark.parametrize("pattern", ["(", "[", "(?P<a>x)(?P<a>", "(" * 1_000, "*a"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ConfigError, match="no regular expression"):
        matches(pattern, "")


def test_a_pattern_that_would_take_for_ever_is_given_up():
    begun = time.process_time()
    with pytest.raises(ConfigError, match="takes too long"):
        matches(BACKTRACKING, LONG)
    assert spans(BACKTRACKING, LONG) == []
    assert time.process_time() - begun < 50 * MAX_SECONDS
