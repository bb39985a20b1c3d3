"""Numbers, times and answers as people read them."""

from __future__ import annotations

import msgspec
import pytest

from asteria_tui import wording
from asteria_tui.events import Cause, Difference, Frame, Reloaded, SampleAnswer
from asteria_tui.wording import reloaded, sample_answer


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59, "just now"), (61, "up 1 min"), (119, "up 1 min"), (179, "up 2 min"), (3700, "up 1 h 1 min")],
)
def test_an_uptime_is_rounded_down(seconds, text, monkeypatch):
    monkeypatch.setattr("asteria_tui.wording.time.time", lambda: 1000.0 + seconds)
    assert wording.uptime(1000.0) == text


@pytest.mark.parametrize(("ready", "text"), [(1, "1 of 2 workers"), (2, "2 workers"), (3, "3 workers")])
def test_workers_as_configured(ready, text):
    assert wording.workers(ready, 2) == text


@pytest.mark.parametrize(("count", "text"), [(27, "27 B"), (517e6, "517 MB"), (1_100, "1.1 kB"), (2.5e9, "2.5 GB")])
def test_sizes(count, text):
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"score": 0.0312}, "score 0.0312"),
        ({"a": 1, "b": True}, '{"a":1,"b":true}'),
        ({"is_outage": None}, "is_outage null"),
        ("one\n  two", "one two"),
        ([[0.1] * 20], "[[0.1,0.1,0.1,0.1,0…"),
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


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            {"body": {"score": 0.0871}, "differences": (Difference(path="score", before=0.0903, after=0.0871),)},
            "0.0903 → 0.0871",
        ),
        ({"body": 2, "differences": (Difference(path="", before=1, after=2),)}, "1 → 2"),
        ({"body": {"a": 2, "b": 1}, "differences": (Difference(path="a", before=1, after=2),)}, "a 1 → 2"),
        (
            {"body": {"a": 1, "b": 1}, "differences": (Difference(path="a", after=1), Difference(path="b", after=1))},
            "a nothing → 1 and 1 more",
        ),
        ({"body": {"a": 1}}, "="),
        ({"body": {"a": 1}, "is_first": True}, "a 1"),
        ({"body": {"code": 503}, "status": 503}, "503 code 503"),
        ({"status": 503, "cause": Cause(exception="KeyError", message="'x'")}, "503 KeyError: 'x'"),
        ({"status": 0, "cause": Cause(exception="no answer", message="")}, "unanswered no answer"),
    ],
)
def test_what_a_sample_was_answered(answer, text):
    given = {"sample": "first", "status": 200, "milliseconds": 1.0} | answer
    assert sample_answer(SampleAnswer(**given)) == f"first {text}"


def test_a_save_in_one_line():
    answer = SampleAnswer(sample="ordinary", status=200, milliseconds=1.0, body=1)
    event = Reloaded(model="m", file="handler.py", line=41, milliseconds=11.4, samples=(answer,))
    assert reloaded(event) == "handler.py:41 · live 11 ms · ordinary ="
    several = msgspec.structs.replace(event, files=3, depth="worker", reason="as asked for", milliseconds=1400.0)
    assert reloaded(several) == "handler.py:41 and 2 more files · worker 1.40 s (as asked for) · ordinary ="
    cause = Cause(exception="NameError", message="no", frame=Frame(file="handler.py", line=3, function="handle"))
    failed = Reloaded(model="m", file="handler.py", line=3, cause=cause)
    assert reloaded(failed) == "handler.py:3 · does not load · NameError: no, handler.py:3 in handle"
