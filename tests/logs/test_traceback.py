"""Torn tracebacks come out whole, whatever stands between their lines."""

import random
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.events import LogRecord
from asteria_tui.logs.traceback import CHAIN, Joiner


def says(line, thread="W-9000-m_1.0-stdout", at=1.0, source="worker"):
    return LogRecord(time=at, thread=thread, worker=thread[:6], source=source, stream=thread[-6:], text=line)


def joined(records):
    joiner = Joiner()
    return [*joiner.feed(records), *joiner.flush()]


def raised(error):
    """What Python prints of `error`."""
    try:
        raise error  # noqa: TRY301 what is wanted is its traceback
    except BaseException as caught:  # noqa: BLE001 any of them is printed
        return "".join(traceback.format_exception(caught)).splitlines()


def chained():
    """An exception raised from one and while handling another."""
    try:
        try:
            int("weights missing")
        except ValueError as root:
            raise TypeError("bad config") from root
    except TypeError as middle:
        error = KeyError("handling")
        error.__context__ = middle
        return error


KINDS = {
    "plain": lambda: raised(ValueError("boom")),
    "no message": lambda: raised(ValueError()),
    "chain": lambda: raised(chained()),
    "group": lambda: raised(ExceptionGroup("many", [ValueError("one"), KeyError("two")])),
    "nested group": lambda: raised(ExceptionGroup("a", [ExceptionGroup("b", [TypeError("deep")]), KeyError("k")])),
    "indented message": lambda: raised(RuntimeError("Error(s) in loading:\n\tMissing key(s)\n\tUnexpected key(s)")),
    "deep": lambda: raised(RecursionError("x")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_traceback_is_one_block_between_other_lines(kind):
    lines = KINDS[kind]()
    (block,) = joined([says(line) for line in ["Backend worker process died.", *lines, "next output"]])
    assert block.lines == lines
    assert block.phase == "load"


@pytest.mark.parametrize("kind", KINDS)
def test_a_traceback_at_the_end_of_the_log_is_given_back(kind):
    lines = KINDS[kind]()
    for end in range(1, len(lines) + 1):
        (block,) = joined([says(line) for line in lines[:end]])
        assert block.lines == lines[:end]


@given(st.integers(0, 2**32))
def test_interleaved_workers_come_out_whole(seed):
    chance = random.Random(seed)  # noqa: S311 no secret is made
    threads = [f"W-900{n}-m_1.0-{stream}" for n in range(3) for stream in ("stdout", "stderr")]
    wanted = {}
    queues = {}
    for thread in threads:
        kinds = chance.choices(sorted(KINDS), k=chance.randrange(4))
        wanted[thread] = [KINDS[kind]() for kind in kinds]
        queues[thread] = [line for lines in wanted[thread] for line in ["heading", *lines, "after"]]
    records = []
    while any(queues.values()):
        thread = chance.choice([name for name, queue in queues.items() if queue])
        line = queues[thread].pop(0)
        records.append(says(line, thread, at=1.0 + len(records) / 10_000))
        if chance.random() < 0.5:
            records.append(says("Traceback (most recent call last):", "pool-3", source="server"))
    blocks = joined(records)
    for thread in threads:
        of_thread = [b.lines for b in blocks if b.worker == thread[:6] and b.stream == thread[-6:]]
        assert of_thread == wanted[thread]


def test_silence_ends_a_traceback():
    lines = KINDS["plain"]()
    joiner = Joiner()
    assert list(joiner.feed([says(line, at=1.0) for line in lines])) == []
    assert list(joiner.close_silent(1.4)) == []
    (block,) = joiner.feed([says("other", "W-9001-m_1.0-stdout", at=1.6)])
    assert block.lines == lines


def test_the_end_of_the_process_ends_a_traceback():
    lines = KINDS["plain"]()
    joiner = Joiner()
    (block,) = joiner.feed([*map(says, lines), says("Stopped Scanner - W-9000-m_1.0-stdout", source="server")])
    assert block.lines == lines


def test_a_clock_that_was_set_back_tears_nothing():
    lines = KINDS["chain"]()
    half = len(lines) // 2
    before = [says("x", at=5000.0), *(says(line, at=5000.1) for line in lines[:half])]
    after = [*(says(line, at=1400.0) for line in lines[half:]), says("end", at=1400.1)]
    (block,) = joined(before + after)
    assert block.lines == lines


def test_a_heading_may_go_on_over_several_lines():
    lines = KINDS["plain"]()
    said = ["Failed to load model m, exception Error(s):", "\tMissing key(s)", *lines]
    (block,) = joined(map(says, said))
    assert block.phase == "load"


def test_the_end_of_a_message_is_not_swallowed():
    lines = KINDS["plain"]()
    assert [b.lines for b in joined(map(says, [*lines, "", "  indented output", CHAIN[0]]))] == [[*lines, ""]]


def test_a_message_without_end_is_bounded():
    lines = [*KINDS["plain"](), *["\tmore"] * 20_000]
    (block,) = joined(map(says, lines))
    assert len(block.lines) <= 5_000
