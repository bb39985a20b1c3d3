"""Requests from the log's own lines: each once, with its times, however workers, batches and failures are mixed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.events import Cause
from asteria_tui.logs import traffic as room
from asteria_tui.logs.traffic import Request, Traffic, TrafficReader, cause_of
from asteria_tui.logs.traffic_window import TrafficWindow

SAMPLES = Path(__file__).parent / "samples"
AT = 1_795_589_220_000


def line(thread: str, logger: str, text: str, at: int = AT) -> bytes:
    fields = {"t": at, "l": "INFO", "th": thread, "lg": logger, "m": text, "x": ""}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def access(thread: str, path: str, status: int, milliseconds: int, at: int = AT) -> bytes:
    return line(thread, "ACCESS_LOG", f'/127.0.0.1:57532 "POST {path} HTTP/1.1" {status} {milliseconds}', at)


def arrival(model: str) -> bytes:
    text = f"ts_inference_requests_total.Count:1.0|#model_name:{model},model_version:default|#hostname:x,timestamp:1"
    return line("epollEventLoopGroup-3-1", "TS_METRICS", text)


def flush(
    thread: str, model: str, version: str, requests: list[tuple[str, int, int]]
) -> tuple[list[bytes], list[Request]]:
    """What a worker's thread says of one batch; requests as (id, waiting, backend), with an id if well."""
    worker = "-".join(thread.split("-")[:2])
    wlm = "org.pytorch.serve.wlm"
    lines = [line(thread, f"{wlm}.WorkerThread", f"Flushing req.cmd PREDICT repeats 1 to backend at: {AT}")]
    expected = []
    for id_, waited, took in requests:
        status, total = (200, waited + took) if id_ else (503, waited + took)
        if id_:
            lines.append(line(thread, f"{wlm}.BatchAggregator", f"Sending response for jobId {id_}"))
        lines.append(access(thread, f"/predictions/{model}", status, total // 1_000_000))
        lines.append(
            line(thread, "TS_METRICS", f"Requests{status // 100}XX.Count:1.0|#Level:Host|#hostname:x,timestamp:1")
        )
        end = f"Backend time ns: {took}" if id_ else f"Inference time ns: {total}"
        lines.append(line(thread, "org.pytorch.serve.job.RestJob", f"Waiting time ns: {waited}, {end}"))
        expected.append(
            Request(
                at=AT / 1000, method="POST", path=f"/predictions/{model}", status=status, total_ns=total,
                queue_ns=waited, backend_ns=took, is_exact=True, model=model, version=version, worker=worker,
                request_id=id_,
            )
        )  # fmt: skip
    lines.append(line(thread, f"{wlm}.WorkerThread", "Backend response time: 3"))
    return lines, expected


def mixed(streams: list[list[bytes]], chance: random.Random) -> bytes:
    """The lines of several threads in an order that they may have."""
    streams = [list(stream) for stream in streams if stream]
    merged = []
    while streams:
        stream = chance.choice(streams)
        merged.append(stream.pop(0))
        streams = [stream for stream in streams if stream]
    return b"".join(merged)


@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_each_request_once_however_the_lines_are_mixed_and_cut(chance):
    streams, expected = [], []
    for number in range(chance.randint(1, 5)):
        model = chance.choice(["anomaly", "a_b-c"])
        thread = f"W-{9000 + number}-{model}_1.0"
        lines = []
        for _ in range(chance.randint(1, 4)):
            fails = chance.random() < 0.3
            batch = [
                ("" if fails else f"{chance.getrandbits(64):x}", chance.randint(0, 10**8), chance.randint(1, 10**9))
                for _ in range(chance.randint(1, 4))
            ]
            said, requests = flush(thread, model, "1.0", batch)
            lines += said
            expected += requests
        streams.append(lines)
        traceback = [
            "Traceback (most recent call last):",
            'say "m":"Waiting time ns: 1, Backend time ns: 2"',
            "KeyError",
        ]
        streams.append([line(f"{thread}-stdout", "MODEL_LOG", text) for text in traceback * 3])
    streams.append([access("epollEventLoopGroup-3-1", "/models", 200, 2) for _ in range(4)])
    lines = mixed(streams, chance).splitlines(keepends=True)
    traffic, found = Traffic(), []
    while lines:
        count = chance.randint(1, 9)
        found += traffic.feed(b"".join(lines[:count]))
        del lines[:count]
    assert sorted((request for request in found if request.model), key=repr) == sorted(expected, key=repr)
    assert len([request for request in found if not request.model]) == 4


def test_what_no_worker_answered_is_complete_by_its_access_line():
    traffic = Traffic()
    [missing, full] = traffic.feed(
        access("epollEventLoopGroup-3-1", "/predictions/nobody/2.0", 404, 1)
        + access("epollEventLoopGroup-3-2", "/predictions/%74okens?x=1", 503, 0)
    )
    assert (missing.model, missing.version, missing.worker, missing.is_exact) == ("nobody", "2.0", "", False)
    assert missing.total_ns == 1_000_000
    assert full.model == "tokens"


def test_an_answer_without_a_time_line_ends_with_its_flush():
    thread = "W-9000-echo_1.0"
    traffic = Traffic()
    assert traffic.feed(access(thread, "/models/echo?customized=true", 200, 7)) == []
    [described] = traffic.feed(line(thread, "org.pytorch.serve.wlm.WorkerThread", "Backend response time: 3"))
    assert (described.total_ns, described.is_exact, described.model) == (7_000_000, False, "")


def test_the_samples_of_a_real_server():
    found = Traffic().feed((SAMPLES / "server.jsonl").read_bytes())
    failed = [request for request in found if request.model and not request.is_good]
    slow = max(failed, key=lambda request: request.total_ns)
    assert (slow.total_ns, slow.queue_ns, slow.worker) == (5_003_777_069, 787_980, "W-9600")
    good = [request for request in found if request.model and request.is_good]
    assert good
    assert all(request.request_id and request.is_exact for request in good)
    assert not any(request.request_id for request in failed)


def test_waiting_counts_arrivals_that_have_no_answer():
    traffic = Traffic()
    traffic.feed(arrival("echo") * 3)
    assert traffic.waiting == {"echo": 3}
    traffic.feed(access("epollEventLoopGroup-3-1", "/predictions/echo", 404, 1))
    assert traffic.waiting == {"echo": 3}
    traffic.feed(
        b"".join(flush("W-9000-echo_1.0", "echo", "1.0", [("a", 1, 1), ("b", 1, 1), ("c", 1, 1), ("d", 1, 1)])[0])
    )
    assert traffic.waiting == {"echo": 0}


def test_a_metric_of_a_handler_by_its_name_also_where_metrics_yaml_does_not_name_it():
    traffic = Traffic()
    thread = "W-9000-e_1.0-stdout"
    for name, value in (("Things.Count", "4.0"), ("PredictionTime.ms", "0.1"), ("Odd.ms", "x-ray")):
        traffic.feed(line(thread, "MODEL_METRICS", f"{name}:{value}|#Level:Model|#hostname:x"))
    text = "result=[METRICS]Stepping.Milliseconds:1.5|#ModelName:e,Level:Model|#type:GAUGE|#hostname:x,1795589220"
    traffic.feed(line(thread, "org.pytorch.serve.wlm.WorkerLifeCycle", text))
    assert traffic.metrics == {"Things": (4.0, "Count"), "Stepping": (1.5, "Milliseconds")}


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr(room, "REQUESTS_KEPT", 3)
    traffic = Traffic()
    for number in range(room.THREADS_KEPT + 10):
        traffic.feed(arrival(f"m{number}") + access(f"W-{number}-m{number}_1.0", f"/predictions/m{number}", 200, 1))
    assert len(traffic._threads) <= room.THREADS_KEPT
    assert len(traffic.waiting) == room.MODELS_KEPT
    traffic.feed(access("epoll", "/predictions/m", 503, 1) * 5)
    assert len(traffic.requests) == 3


def test_reading_goes_on_through_rotation_and_begins_anew_with_a_run(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    logs = tmp_path / "logs"
    logs.symlink_to(first)
    file = first / "records.jsonl"
    said = flush("W-9000-echo_1.0", "echo", "1.0", [("a", 1, 2)])[0]
    file.write_bytes(b"".join(said[:3]))
    reader = TrafficReader(logs)
    assert reader.poll() == []
    assert not reader.is_new
    file.rename(first / "records.jsonl.1")
    with (first / "records.jsonl.1").open("ab") as old:
        old.write(said[3])
    file.write_bytes(b"".join([*said[4:], *flush("W-9000-echo_1.0", "echo", "1.0", [("b", 1, 2)])[0]]))
    found = reader.poll() + reader.poll() + reader.poll()
    assert [request.request_id for request in found] == ["a", "b"]
    (second / "records.jsonl").write_bytes(access("epoll", "/predictions/echo", 503, 1))
    logs.unlink()
    logs.symlink_to(second)
    assert [request.status for request in reader.poll()] == [503]
    assert reader.is_new
    assert len(reader.traffic.requests) == 1


def test_the_cause_of_a_failure_is_of_its_worker_and_the_nearest():
    failed = Request(at=10.0, method="POST", path="/", status=503, total_ns=1, worker="W-9000")
    near, far, other = (
        Cause(exception=name, message="", workers=(worker,), last_at=at)
        for name, worker, at in (("Near", "W-9000", 9.9), ("Far", "W-9000", 9.6), ("Other", "W-9001", 10.0))
    )
    assert cause_of(failed, [far, near, other]) is near
    assert cause_of(Request(at=10.0, method="POST", path="/", status=200, total_ns=1, worker="W-9000"), [near]) is None


def asked(at: float, milliseconds: float, status: int = 200, model: str = "echo") -> Request:
    return Request(at=at, method="POST", path="/", status=status, total_ns=int(milliseconds * 1e6), model=model)


def test_a_minute_in_the_figures_that_are_shown():
    window = TrafficWindow()
    window.add([asked(940.5, 1000), asked(941.5, 4), *(asked(1000 - second / 50, 8) for second in range(249, -1, -1))])
    window.add([asked(1000.5, 9, 503), asked(1000.6, 9, model="")])
    shown = window.shown(1001.2, {"echo": 2}, {"Things": (3.14159, "Count")})
    [echo] = shown.models
    assert (echo.requests, echo.failures, echo.waiting) == (252, 1, 2)
    assert (echo.p50, echo.p95) == (pytest.approx(8, rel=0.01), pytest.approx(8, rel=0.01))
    assert echo.per_second == pytest.approx(40, abs=1)
    assert (echo.counts[-1], echo.failed[-1], len(echo.counts), echo.counts[0]) == (2, 1, 60, 1)
    assert shown.metrics == (("Things", 3.1, "Count"),)


def test_a_minute_goes_by_and_takes_its_requests_with_it():
    window = TrafficWindow()
    window.add([asked(1000.5, 8)])
    assert window.shown(1000.9, {}, {}).models == ()
    assert window.shown(1001.0, {}, {}).models[0].counts[-1] == 1
    assert window.shown(1060.0, {}, {}).models[0].counts[0] == 1
    assert window.shown(1061.0, {}, {}).models == ()
