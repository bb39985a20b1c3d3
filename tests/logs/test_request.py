"""A prediction finds its lines, whether its id stands in the log or not."""

from pathlib import Path

import pytest

from asteria_tui.errors import ConfigError
from asteria_tui.events import Predicted
from asteria_tui.logs.history import Log
from asteria_tui.logs.request import find, trace, trace_request
from tests.logs.whole import records

SAMPLES = Path(__file__).parent / "samples"
RECORDS = list(records((SAMPLES / "server.jsonl").read_bytes().splitlines()))
ID = "66207a84-ff9b-48d5-b54c-5ffa18805e6d"


def test_a_good_request_is_found_by_its_id():
    answer = find(RECORDS, ID)
    traced = trace(RECORDS, answer)
    assert traced.worker == "W-9600"
    assert traced.access.text.endswith('"POST /predictions/flaky HTTP/1.1" 200 31')
    assert traced.cause is None
    said = [record.text for record in traced.records]
    assert f"Sending response for jobId {ID}" in said
    assert any(text.startswith("PredictionTime.ms:") for text in said)


def test_a_failed_request_is_found_by_its_time_and_status():
    answer = Predicted(at=1795411320.31, model="flaky", status=503, milliseconds=8.0, request_id="not in the log")
    traced = trace(RECORDS, answer)
    assert traced.access.time == 1795411320.305
    assert traced.worker == "W-9600"
    assert traced.cause.headline.startswith("ZeroDivisionError: division by zero, flaky.py:21 in handle")


def test_a_request_that_another_model_answered_is_not_found():
    traced = trace(RECORDS, Predicted(at=1795411320.31, model="other", status=503, milliseconds=8.0))
    assert (traced.access, traced.worker, traced.cause, traced.records) == (None, None, None, ())


def test_an_id_that_the_log_does_not_name_is_not_found():
    assert find(RECORDS, "0000") is None


async def test_a_request_is_traced_in_the_logs_with_or_without_its_answer():
    logs = [Log(SAMPLES / "server.jsonl")]
    found = await trace_request(logs, ID, [])
    assert found.access.text.endswith('"POST /predictions/flaky HTTP/1.1" 200 31')
    failed = Predicted(at=1795411320.31, model="flaky", status=503, milliseconds=8.0, request_id="no-such-id")
    assert (await trace_request(logs, "no-such-id", [failed])).cause.exception == "ZeroDivisionError"
    with pytest.raises(ConfigError, match="no request no-such-id is known"):
        await trace_request(logs, "no-such-id", [])
