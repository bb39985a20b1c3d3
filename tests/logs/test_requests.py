"""One row for each request: which lines are left out, and which an unfolded one shows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.events import LogRecord
from asteria_tui.logs import requests as room
from asteria_tui.logs.filter import DEFAULT, Filter
from asteria_tui.logs.requests import RequestFold, answered, request_lines
from asteria_tui.logs.rows import LogRows
from tests.logs.test_folds import ONE, settled
from tests.logs.test_traffic import SAMPLES, access, flush, line, mixed

SAMPLE = SAMPLES / "server.jsonl"


def opened(path, filter_=DEFAULT) -> LogRows:
    rows = LogRows(path, filter_)
    settled(rows)
    return rows


def texts(rows) -> list[str]:
    return [(answered(rows.record(row)) or [rows.record(row).text])[0] for row in range(len(rows))]


@pytest.fixture
def log(tmp_path):
    def write(*lines: bytes):
        file = tmp_path / "records.jsonl"
        file.write_bytes(b"".join(lines))
        return file

    return write


THREAD = "W-9000-echo_1.0"
PRINTED = line(f"{THREAD}-stdout", "MODEL_LOG", "got hi")


def test_a_good_request_is_one_row_and_what_its_handler_prints_stays(log):
    said = flush(THREAD, "echo", "1.0", [("a", 1_000_000, 8_000_000)])[0]
    received = line(f"{THREAD}-stdout", "MODEL_LOG", "Backend received inference at: 1")
    measured = line(f"{THREAD}-stdout", "org.pytorch.serve.wlm.WorkerLifeCycle", "result=[METRICS]Things.Count:1|#x")
    rows = opened(log(said[0], received, PRINTED, measured, *said[1:]))
    assert texts(rows) == ["got hi", "POST echo  200  9 ms"]
    assert rows.toggle(1) is not None
    assert len(rows) == 9
    assert [rows.record(row).text.split(" ")[0] for row in (0, 1, 2)] == ["Flushing", "Backend", "got"]
    assert rows.toggle(0) == 1, "from any of its lines"
    assert texts(rows) == ["got hi", "POST echo  200  9 ms"]
    assert "got hi" in rows.full_record(1).text
    assert rows.traceback(1) == ""


def test_a_failed_one_leads_to_its_traceback(log):
    said = flush(THREAD, "echo", "1.0", [("", 1_000_000, 8_000_000)])[0]
    printed = [line(f"{THREAD}-stdout", "MODEL_LOG", text) for text in ONE]
    rows = opened(log(said[0], *printed, *said[1:]))
    assert texts(rows) == ["ZeroDivisionError: division by zero", "POST echo  503  9 ms"]
    assert "Traceback (most recent call last):" in rows.traceback(1)
    assert rows.traceback(1).count("ZeroDivisionError") == 1


def test_polling_is_left_out_and_a_refusal_shown(log):
    thread = "epollEventLoopGroup-3-1"
    polled = [
        access(thread, path, 200, 1).replace(b"POST", b"GET")
        for path in ("/models?limit=100", "/models/echo/all", "/ping")
    ]
    refused = access(thread, "/models", 401, 1).replace(b"POST", b"GET")
    rows = opened(log(*polled, refused, access(thread, "/predictions/nobody", 404, 0)))
    assert texts(rows) == ["GET /models  401  1 ms", "POST nobody  404  <1 ms"]
    assert [rows.fold(row) for row in (0, 1)] == [None, None], "there is nothing to unfold"


def test_other_filters_show_every_line(log):
    said = flush(THREAD, "echo", "1.0", [("a", 1, 1)])[0]
    file = log(*said)
    assert len(opened(file, Filter())) == len(said)
    assert len(opened(file, Filter(sources=DEFAULT.sources, grep="Flushing"))) == 1


def test_what_is_found_in_a_line_that_is_left_out_is_shown(log):
    rows = opened(log(*flush(THREAD, "echo", "1.0", [("a", 1, 1)])[0]))
    assert len(rows) == 1
    assert rows.uncover(rows._log.first) == 0
    assert len(rows) == 2


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_each_line_belongs_to_one_request_however_workers_are_mixed(tmp_path_factory, data):
    chance = data.draw(st.randoms(use_true_random=False))
    streams = []
    for number in range(chance.randint(1, 3)):
        lines = []
        for _ in range(chance.randint(1, 3)):
            fails = chance.random() < 0.3
            batch = [
                ("" if fails else "a1", chance.randint(0, 99), chance.randint(1, 99))
                for _ in range(chance.randint(1, 3))
            ]
            lines += flush(f"W-900{number}-echo_1.0", "echo", "1.0", batch)[0]
        streams.append(lines)
    file = tmp_path_factory.mktemp("log") / "records.jsonl"
    file.write_bytes(mixed(streams, chance))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_WINDOW", chance.randint(1, 9))
        rows = opened(file)
        requests = [rows.key(row) for row in range(len(rows))]
        assert all(isinstance(rows.fold(row), RequestFold) for row in range(len(rows)))
        found = [number for access_ in requests for number, _ in request_lines(rows._log, access_)]
        assert sorted(found) == list(range(rows._log.first, rows._log.end))
        for access_ in requests:
            assert rows.toggle(rows.row_of(access_)) is not None
        assert len(rows) == sum(map(len, streams))
        for access_ in requests:
            rows.toggle(rows.row_of(access_))
        assert [rows.key(row) for row in range(len(rows))] == requests
    rows.close()


def test_of_a_real_log_only_rows_that_say_something_stay():
    rows = opened(SAMPLE)
    shown = [rows.record(row) for row in range(len(rows))]
    assert not any(record.text.startswith(("Flushing req.cmd PREDICT", "Looping", "Waiting time")) for record in shown)
    requests = [rows.fold(row) for row in range(len(rows)) if isinstance(rows.fold(row), RequestFold)]
    assert requests
    rows.close()


@pytest.mark.parametrize("text", ['/1.2.3.4:5 "GET /a b HTTP/1.1" 200 7', "plain"])
def test_only_access_lines_are_requests(text):
    assert answered(LogRecord(time=1.0, source="worker", text=text)) is None
