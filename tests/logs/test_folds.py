"""Tracebacks are folded as the joiner of causes joins them, from whichever end the log is read."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asteria_tui.logs import index, search
from asteria_tui.logs import rows as module
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.rows import LogRows
from asteria_tui.logs.traceback import CHAIN, GROUP_HEAD, HEAD, Joiner
from tests.logs.whole import records

SAMPLE = Path(__file__).parent / "samples" / "server.jsonl"
FRAME = ['  File "/x/handler.py", line 3, in handle', "    return 1 / 0"]
ONE = [HEAD, *FRAME, "ZeroDivisionError: division by zero"]
TEXTS = st.lists(
    st.sampled_from(
        [ONE, [*ONE, "", CHAIN[1], "", *ONE], [HEAD], [GROUP_HEAD], FRAME, ["  | a"], [""], ["plain"], ["  x"]]
    ),
    max_size=12,
).map(lambda parts: [line for part in parts for line in part])


def line(text, number, worker, at):
    head = f'{{"t":{1_790_000_000_000 + at},"l":"INFO","th":"W-900{worker}-sample_1.0-stdout","lg":"MODEL_LOG",'
    return f'{head}"m":{json.dumps(text)},"x":""}}\n'.encode()


@st.composite
def logs(draw):
    """The lines of two workers, mixed, with pauses."""
    waiting = [draw(TEXTS), draw(TEXTS)]
    lines, at = [], 0
    while any(waiting):
        worker = draw(st.sampled_from([n for n in (0, 1) if waiting[n]]))
        at += draw(st.sampled_from([1, 1, 1, 1, 300, 501]))
        lines.append(line(waiting[worker].pop(0), len(lines), worker, at))
    return lines


def settled(rows):
    while rows.refresh() or not rows.is_complete:
        pass


@given(lines=logs(), place=st.floats(0, 1), step=st.integers(1, 7))
@example(lines=[line(text, n, 0, n) for n, text in enumerate(ONE)], place=0.5, step=1)
@settings(deadline=None)
def test_folds_are_the_tracebacks_of_the_log(tmp_path_factory, lines, place, step):
    file = tmp_path_factory.mktemp("log") / "records.jsonl"
    early = int(place * len(lines))
    file.write_bytes(b"".join(lines[:early]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "EVERY", 3)
        patch.setattr(search, "EVERY", 3)
        patch.setattr(index, "CHUNK", 700)
        patch.setattr(index, "PIECE", 500)
        patch.setattr(search, "PIECE", 500)
        patch.setattr(module, "STEP", 300)
        rows = LogRows(file, Filter())
        settled(rows)
        for first in range(early, len(lines), step):
            with file.open("ab") as log:
                log.write(b"".join(lines[first : first + step]))
            settled(rows)
        check(rows, lines)


def check(rows, lines):
    parsed = list(records(line.rstrip(b"\n") for line in lines))
    joiner = Joiner()
    blocks = [*joiner.feed(parsed), *joiner.flush()]
    wanted = {(block.first_at, block.worker): block for block in blocks}
    folded = {(rows.record(n).time, rows.record(n).worker): n for n in range(len(rows)) if rows.fold(n)}
    assert folded.keys() == wanted.keys()
    assert len(rows) == len(lines) - sum(len(block.lines) - 1 for block in blocks)
    for key, row in folded.items():
        assert rows.full_record(row).text == wanted[key].text
    for _ in range(2):
        for key in folded:
            row = next(
                n for n in range(len(rows)) if rows.fold(n) and (rows.record(n).time, rows.record(n).worker) == key
            )
            assert rows.toggle(row) == row
        is_open = len(rows) == len(lines)
        keys = [rows.key(row) for row in range(len(rows))]
        assert keys == sorted(set(keys))
        assert is_open or blocks
    rows.close()


def test_a_fold_is_named_by_the_last_exception_of_a_chain_and_by_a_group():
    rows = LogRows(SAMPLE, Filter(sources=frozenset({"worker"})))
    settled(rows)
    told = {rows.record(row).text.split(" at ")[0] for row in range(len(rows)) if rows.fold(row)}
    assert {"ValueError: cannot divide by 0", "ExceptionGroup: many (2 sub-exceptions)"} <= told
    assert not any(rows.record(row).text == HEAD for row in range(len(rows)))
    rows.close()
