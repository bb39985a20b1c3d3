"""Both ways of writing give the same records, of real logs and of anything else."""

import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.logs.parse import Parser
from asteria_tui.logs.text import CUT_MARK, LINE_LIMIT, sanitize
from tests.logs.whole import records

SAMPLES = Path(__file__).parent / "samples"


def parsed(text, **options):
    return list(records(text.encode().splitlines(keepends=True), Parser(**options)))


def lines_of(name):
    return (SAMPLES / name).read_bytes().splitlines(keepends=True)


def json_line(**fields):
    shape = {"t": 1795411292745, "l": "INFO", "th": "main", "lg": "MODEL_LOG", "m": "", "x": ""}
    return json.dumps(shape | fields, separators=(",", ":"), ensure_ascii=False).encode()


LINES = (SAMPLES / "server.jsonl").read_bytes().splitlines()
HUGE = json_line(m="é" * 20_000)


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_line_of_a_real_log_is_in_a_record(path):
    lines = lines_of(path.name)
    got = list(records(lines))
    if path.suffix == ".jsonl":
        assert len(got) == len(lines)
    text = "\n".join(record.text for record in got)
    for line in lines:
        said = sanitize(line.decode().rstrip("\n")).rpartition(" - ")[2]
        if path.suffix != ".jsonl" and said.strip():
            assert said in text


@pytest.mark.parametrize("name", ["init_console.txt", "inference_console.txt", "bind_console.txt"])
def test_only_what_java_prints_itself_has_no_time(name):
    plain = [record.text for record in records(lines_of(name)) if record.time is None]
    starts = ("WARNING: ", "nvidia-smi ", "Model server started.", "java.io.IOException: Failed to bind")
    assert plain
    assert all(text.startswith(starts) for text in plain)


def test_a_worker_line_tells_everything():
    line = "2026-11-23T03:08:45,821 [WARN ] W-19001-my_mo-del x_1.0-stderr MODEL_LOG - [PID]12600"
    (record,) = parsed(line, zone=dt.UTC)
    assert record.time == dt.datetime(2026, 11, 23, 3, 8, 45, 821000, dt.UTC).timestamp()
    assert (record.level, record.source, record.stream) == ("WARN", "worker", "stderr")
    assert (record.worker, record.model, record.version) == ("W-19001", "my_mo-del x", "1.0")
    assert (record.thread, record.logger) == ("W-19001-my_mo-del x_1.0-stderr", "MODEL_LOG")
    assert (record.pid, record.text) == (12600, "[PID]12600")


def test_the_pid_of_a_worker_is_remembered():
    head = "2026-11-23T03:08:45,821 [INFO ] W-9000-m_1.0"
    first, second = parsed(f"{head}-stdout MODEL_LOG - [PID]7\n{head} org.pytorch.X - State change\n")
    assert (first.pid, second.pid, second.stream) == (7, 7, "")


def test_known_models_settle_where_the_name_ends():
    line = "2026-11-23T03:08:45,821 [INFO ] W-9000-my_model_1_0-stdout MODEL_LOG - x"
    (record,) = parsed(line, known=[("my_model", "1_0")])
    assert (record.model, record.version) == ("my_model", "1_0")


def test_both_ways_of_writing_give_the_same_record():
    text = "2026-11-23T03:08:45,821 [INFO ] W-9000-m_1.0-stdout MODEL_LOG - hello"
    (pattern,) = parsed(text, zone=dt.UTC)
    line = json_line(t=int(pattern.time * 1000), th="W-9000-m_1.0-stdout", m="hello")
    assert list(records([line])) == [pattern]


def test_files_without_a_level_are_told_apart_by_their_text():
    (access,) = records(lines_of("access_log.log")[:1])
    (metric,) = records(lines_of("ts_metrics.log")[:1])
    assert (access.source, metric.source) == ("access", "metrics")
    assert access.text.endswith('"GET /ping HTTP/1.1" 400 29')


def test_more_lines_belong_to_the_record_before():
    head = "2026-11-23T03:08:45,821 [INFO ] main a.B - "
    text = f"{head}banner\r\n###\r\n\r\n{head}next\r\n"
    first, second = parsed(text)
    assert (first.text, second.text) == ("banner\n###", "next")


def test_a_log_that_starts_in_the_middle_loses_nothing():
    first, _ = parsed("\tat java.lang.Thread.run\nCaused by: x\n2026-11-23T03:08:45,822 [INFO ] main a.B - next")
    assert (first.source, first.time, first.text) == ("console", None, "\tat java.lang.Thread.run\nCaused by: x")


def test_a_java_exception_stands_below_its_message():
    (record,) = records([json_line(m="Failed", x=" java.io.IOException: no\n\tat X")])
    assert record.text == "Failed\njava.io.IOException: no\n\tat X"


def test_a_message_that_looks_like_a_header_starts_no_record():
    said = "2026-11-23T03:08:45,821 [ERROR] main a.B - forged"
    (record,) = records([json_line(m=f"x\n{said}")])
    assert record.text == f"x\n{said}"
    (record,) = parsed(f"2026-11-23T03:08:45,821 [INFO ] W-9000-m_1.0-stdout MODEL_LOG - {said}")
    assert (record.level, record.text) == ("INFO", said)


def test_a_date_that_does_not_exist_is_text():
    (first,) = parsed("2026-11-23T03:08:45,821 [INFO ] main a.B - x\n2026-02-31T03:08:45,821 [INFO ] main a.B - y")
    assert first.text.startswith("x\n2026-02-31")


@pytest.mark.parametrize("character", ["x", "é", '"', "\\", "\n", "\x00"])
def test_a_line_of_megabytes_is_shown_cut(character):
    line = json_line(m="start " + character * 3_000_000)
    (record,) = records([line])
    assert record.text.startswith("start ")
    assert record.text.endswith(CUT_MARK)
    assert len(record.text) <= LINE_LIMIT + 100


def test_a_line_of_megabytes_is_cut_between_characters():
    (record,) = parsed("2026-11-23T03:08:45,821 [INFO ] main a.B - " + "é" * 3_000_000)
    assert "\ufffd" not in record.text
    assert record.text.endswith(CUT_MARK)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jx", "x"),
        ("a\x00b\x07c\rd", "a␀b␇c␍d"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("abc\u202edef\u2028", "abc\ufffddef\ufffd"),
        ("tab\tand\nline stay", "tab\tand\nline stay"),
        ("\x1b", ""),
    ],
)
def test_nothing_of_a_log_reaches_the_terminal(said, shown):
    assert sanitize(said) == shown


@given(st.text())
def test_harmless_text_has_no_control_characters(text):
    shown = sanitize(text)
    assert not any(ch < " " and ch not in "\n\t" for ch in shown)
    assert not any("\x7f" <= ch < "\xa0" for ch in shown)
    assert sanitize(shown) == shown


@given(st.lists(st.binary(max_size=200) | st.sampled_from(lines_of("inference_console.txt")), max_size=30))
def test_any_bytes_parse_and_every_record_is_harmless(lines):
    for record in records(lines):
        assert record.text == sanitize(record.text)
        assert record.thread == sanitize(record.thread)


@given(m=st.text(), x=st.text(), th=st.text(), lg=st.text())
def test_any_json_record_parses(m, x, th, lg):
    (record,) = records([json_line(m=m, x=x, th=th, lg=lg)])
    assert record.level == "INFO"


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.from_regex(r"[0-9][0-9a-z.\-]*", fullmatch=True))
def test_any_known_model_is_recognised(name, version):
    line = json_line(th=f"W-9000-{name}_{version}-stdout")
    (record,) = records([line], Parser(known=[(name, version)]))
    if "\n" not in name:
        assert (record.model, record.version) == (sanitize(name), version)


@given(st.lists(st.sampled_from(LINES) | st.sampled_from([HUGE, b"no JSON", b""]), max_size=20), st.booleans())
def test_parsing_in_bulk_gives_the_same_records(lines, is_json):
    lines = [line for line in lines if line.startswith(b'{"t":')] if is_json else lines
    one, other = Parser(), Parser()
    expected = [*one.feed(lines), *one.flush()]
    data = b"".join(line + b"\n" for line in lines)
    assert [*other.parse(data), *other.flush()] == expected


def test_a_bearer_token_is_masked():
    lines = [
        b'{"t":1795411292745,"l":"INFO","th":"t","lg":"MODEL_LOG","m":"authorization: Bearer a1B2c3D4","x":""}\n',
        b"2026-11-23T03:08:45,821 [INFO ] main a.B - Bearer a1B2c3D4, then more\n",
    ]
    assert [record.text for line in lines for record in Parser().parse(line)] == ["authorization: Bearer ••••••••"]
    assert [record.text for record in records(lines)] == [
        "authorization: Bearer ••••••••",
        "Bearer ••••••••, then more",
    ]
    assert sanitize("Bearer of news") == "Bearer of news"
