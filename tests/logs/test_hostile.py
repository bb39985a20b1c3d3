"""Bytes that no TorchServe would write: each line is still a record, and nothing raises."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from asteria_tui.cli.logs import line as shown
from asteria_tui.cli.style import Style
from asteria_tui.events import encode
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.history import Log
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.read import causes, records


def json_line(**values):
    told = {"t": 1_790_000_000_000, "l": "INFO", "th": "main", "lg": "a.B", "m": "said", "x": ""} | values
    return json.dumps(told, separators=(",", ":")).encode()


def read(path, **wanted):
    async def all_of():
        return [
            one async for batch in records([Log(path)], Filter(**wanted)) for one in getattr(batch, "records", batch)
        ]

    return asyncio.run(all_of())


def test_one_invalid_byte_hides_nothing(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(
        b"\n".join([json_line(m="one"), json_line(m="t\x00wo").replace(b"\\u0000", b"\xff"), json_line(m="3"), b""])
    )
    assert [record.text for record in read(path)] == ["one", "t\ufffdwo", "3"]
    assert [record.text for record in read(path, level="info", worker=None)] == ["one", "t\ufffdwo", "3"]
    for key in ("l", "th", "lg", "x"):
        path.write_bytes(json_line(**{key: "AB"}).replace(b"AB", b"A\xffB") + b"\n")
        assert len(read(path)) == 1


@pytest.mark.parametrize("at", [-1, 10**15, 10**18, 2**63, 10**30, 10**400])
def test_a_time_that_no_clock_shows(tmp_path, at):
    path = tmp_path / "records.jsonl"
    path.write_bytes(json_line(t=at) + b"\n")
    [record] = read(path)
    if record.time is None:
        assert record.text == "said"
    assert "said" in shown(record, Style(sys.stdout))
    assert len(read(path, since=1.0)) <= 1
    assert causes([Log(path)]) == []


def test_numbers_of_thousands_of_digits(tmp_path):
    path = tmp_path / "ts_log.log"
    digits = "1" * 5000
    path.write_text(
        "".join(
            f"2026-11-23T03:08:4{number},821 [INFO ] W-9000-m_1.0-stdout MODEL_LOG - {text}\n"
            for number, text in enumerate(
                (
                    f"[PID]{digits}",
                    f"Retry worker: 9000 in {digits} seconds.",
                    "Traceback (most recent call last):",
                    f'  File "a.py", line {digits}, in f',
                    "ValueError: boom",
                )
            )
        )
    )
    assert len(read(path)) == 5
    causes([Log(path)])


PIECES = st.sampled_from(
    [
        json_line(),
        json_line(t=10**30),
        json_line(m="x" * 40_000),
        json_line(x="ValueError: boom"),
        b'{"t":',
        b"}",
        b"\xff",
        b"\r",
        b"2026-11-23T03:08:45,821 [INFO ] main a.B - said",
        b"0001-01-01T00:00:00,000 [WARN ] W-9000-m_1.0-stdout MODEL_LOG - ",
        b"9999-99-99 99:99:99.999 - x",
        "\u00b2\u00b2".encode(),
        b"Traceback (most recent call last):",
        b'  File "a", line 1, in f',
        b"ValueError: boom",
        b"\x1b[31m",
        b"\x00",
        b"[" * 2000,
        b"[PID]12",
        b"Retry worker: 9000 in 3 seconds.",
        b"\\ud800",
    ]
)


@seed(11)
@settings(max_examples=200)
@given(st.lists(st.lists(PIECES, max_size=3).map(b"".join) | st.binary(max_size=30), max_size=12))
@example([b'{"t":1,\r"l":"INFO","th":"a","lg":"b","m":"' + b"m" * 9000 + b'"}'])
def test_any_bytes_are_records(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "records.jsonl"
    path.write_bytes(b"\n".join(lines))
    for wanted in ({}, {"grep": "boom|said"}, {"since": 1.0}, {"level": "warn"}):
        for record in read(path, **wanted):
            assert not set("\x00\x1b\x9b\u202e") & set(record.text)
            shown(record, Style(sys.stdout))
            encode(record)
    causes([Log(path)])
    parser = Parser()
    list(parser.feed(lines))
    list(parser.flush())
