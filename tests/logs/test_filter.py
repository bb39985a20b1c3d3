"""The cheap checks of bytes never hide what the exact check of records shows."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.errors import ConfigError
from asteria_tui.events import LogRecord
from asteria_tui.logs.filter import Filter, level_codes, might_hold
from tests.logs.whole import records

SAMPLES = Path(__file__).parent / "samples"
LINES = (SAMPLES / "server.jsonl").read_bytes().splitlines()
WORDS = sorted({word for line in LINES for word in re.findall(r"[\w\[\]/\".:= ]{3,12}", line[60:].decode())})


@given(st.sampled_from(WORDS), st.booleans())
def test_a_needle_is_in_every_line_that_matches(word, is_plain):
    filter_ = Filter(grep=re.escape(word) if is_plain else re.sub(r"\w", r"\\w", word, count=1).replace("[", r"\["))
    for line in LINES:
        (record,) = records([line])
        if filter_.matches(record):
            assert might_hold(line, filter_.needle)


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        ("Traceback", b"Traceback"),
        ("Retry worker", b"Retry worker"),
        (r"Retry worker: \d+ in", b"Retry worker: "),
        ("^Load.*failed$", b"failed"),
        (r"W-\d+-[a-z]+_1", b"W-"),
        ("ab?cdef", b""),
        ("one|two", b""),
        ("(?i)error", b""),
        ("x{3}", b""),
        ('say "yes"', b""),
        (r"C:\\dir", b""),
        ("naïve", b""),
        (".*", b""),
    ],
)
def test_the_needle_of_a_pattern_is_plain_text_that_it_needs(pattern, needle):
    assert Filter(grep=pattern).needle == needle


def test_a_needle_may_be_hidden_by_colours():
    line = b'{"t":1795411292745,"l":"INFO","th":"main","lg":"a","m":"Tra\\u001B[31mceback","x":""}'
    (record,) = records([line])
    assert Filter(grep="Traceback").matches(record)
    assert might_hold(line, b"Traceback")
    assert not might_hold(line.replace(b"\\u001B", b""), b"Traceback")


def test_a_worker_may_be_named_by_its_number():
    record = LogRecord(time=1.0, worker="W-9000")
    assert Filter(worker="9000").matches(record)
    assert Filter(worker="W-9000").matches(record)
    assert not Filter(worker="900").matches(record)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"2026-11-23T03:08:45,821 [DEBUG] main a.B - x", 2),
        (b"2026-11-23T03:08:45,821 [FATAL] main a.B - x", 6),
        (b"2026-11-23T03:08:45,821 - x", 3),
        (b'{"t":1795411292745,"l":"ERROR","th":"main"', 5),
        (b"Model server started.", 3),
        (b"java.io.IOException: Failed to bind to address", 5),
        (b"\tat java.lang.Thread.run", 0),
        (b"", 0),
    ],
)
def test_the_level_is_seen_without_parsing(line, code):
    assert level_codes([line]) == bytes([code])


@pytest.mark.parametrize("pattern", ["[", "(?a)(?u)", "a{99999999999}", "(" * 3_000])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ConfigError, match="is no regular expression"):
        Filter(grep=pattern)
