"""Which workers are in the middle of a request, from what their threads log."""

from __future__ import annotations

import json
import time
from pathlib import Path

from asteria_tui.logs.in_flight import InFlight

THREAD = "W-9000-a_long_model_name_cut_off"


def write(logs: Path, *records: tuple[str, str]) -> None:
    with (logs / "records.jsonl").open("a") as file:
        for thread, text in records:
            record = {
                "t": int(time.time() * 1000),
                "l": "DEBUG",
                "th": thread,
                "lg": "WorkerThread",
                "m": text,
                "x": "",
            }
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def test_a_worker_is_busy_from_the_request_to_its_end(tmp_path):
    write(tmp_path, (THREAD, "Flushing req.cmd LOAD repeats 1 to backend at: 1"), (THREAD, "Backend response time: 9"))
    in_flight = InFlight(tmp_path)
    in_flight.look()
    assert (in_flight.is_busy("9000"), in_flight.answered["9000"]) == (False, 1)
    for begin in ("PREDICT", "STREAMPREDICT", "DESCRIBE"):
        write(tmp_path, (THREAD, f"Flushing req.cmd {begin} repeats 1 to backend at: 1"))
        in_flight.look()
        assert in_flight.is_busy("9000")
        assert not in_flight.is_busy("9001")
        write(tmp_path, (THREAD, "Backend response time: 9"))
        in_flight.look()
        assert not in_flight.is_busy("9000")
    assert in_flight.answered["9000"] == 4


def test_one_that_began_before_the_first_look_and_one_whose_worker_ends(tmp_path):
    write(tmp_path, (THREAD, "Flushing req.cmd PREDICT repeats 1 to backend at: 1"))
    in_flight = InFlight(tmp_path)
    in_flight.look()
    assert in_flight.is_busy("9000")
    write(tmp_path, (THREAD, "W-9000-echo_1.0 State change WORKER_MODEL_LOADED -> WORKER_STOPPED"))
    in_flight.look()
    assert not in_flight.is_busy("9000")


def test_what_a_handler_prints_is_no_sign(tmp_path):
    write(tmp_path, (THREAD, 'a handler says "m":"Flushing req.cmd PREDICT"'))
    write(tmp_path, (f"{THREAD}-stdout", "Flushing req.cmd PREDICT"))
    in_flight = InFlight(tmp_path)
    in_flight.look()
    assert not in_flight.is_busy("9000")


def test_when_the_last_request_came(tmp_path):
    in_flight = InFlight(tmp_path)
    assert in_flight.arrived_at("echo") == 0.0
    text = "ts_inference_requests_total.Count:1.0|#model_name:echo,model_version:default|#hostname:vm,timestamp:1"
    write(tmp_path, ("epollEventLoopGroup-3-2", text))
    in_flight.look()
    assert abs(in_flight.arrived_at("echo") - time.time()) < 5
    assert in_flight.arrived_at("other") == 0.0
