"""What others wrote is read within bounds, and what is wrong with it is one of two errors."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from asteria_tui.archive.sources import collect
from asteria_tui.bounds import MAX_DEPTH, check_depth, parse_json, parse_toml, read_small
from asteria_tui.config import Project, Settings, load, settings_from
from asteria_tui.errors import MAX_DETAIL, MAX_TITLE, AsteriaError, ConfigError
from asteria_tui.inference import answers
from asteria_tui.inference.payload import read_payload
from asteria_tui.targets.record import STATE_FILE, load_record, make_state_dir
from asteria_tui.tui.preferences import load_settings, load_ui_state


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_only_regular_files_are_read_and_nobody_waits_for_a_pipe(tmp_path, pipe):
    for path, kind in ((pipe, "a named pipe"), ("/dev/zero", "a device"), ("/dev/tty", "device|such")):
        with pytest.raises(OSError, match=kind):
            read_small(path, 1024)
    with pytest.raises(IsADirectoryError):
        read_small(tmp_path, 1024)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device"):
            read_small(tmp_path / "socket", 1024)
    for name in ("a\0b", "\ud800", "x" * 5000):
        with pytest.raises(OSError, match="name"):
            read_small(tmp_path / name, 1024)


def test_a_file_has_a_size(tmp_path):
    file = tmp_path / "sparse"
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(OSError, match="larger than 256 KiB, which is the limit"):
        read_small(file, 256 * 1024)
    file.write_bytes(b"x" * 1024)
    assert read_small(file, 1024) == b"x" * 1024


LONG_KEY = ".".join(["a"] * 50_000) + " = 1"
HOSTILE_TOML = {
    "long key": LONG_KEY,
    "long header": f"[{LONG_KEY[:-4]}]",
    "quoted keys": ".".join(["'a'", '"b" '] * 20_000) + " = 1",
    "digits": "a = " + "1" * 5_000,
    "brackets": "a = " + "[" * 100_000,
    "braces": "a = " + "{a=" * 30_000,
    "time zone": "a = 1979-05-27T00:00:00+24:00",
    "date": "a = 1979-02-31",
    "bytes": b"a = '\xff'",
    "word": "a" * 200_000,
    "quotes": '"' * 200_001,
    "half a line": '"' + "\\" * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE_TOML.values(), ids=HOSTILE_TOML)
def test_a_hostile_configuration_is_a_configuration_error_soon(tmp_path, text):
    (tmp_path / "asteria.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    begun = time.process_time()
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="cannot use"):
        load_settings(tmp_path / "asteria.toml")
    assert time.process_time() - begun < 5


def test_values_that_no_server_takes():
    for table in (
        {"models": {"m": {"handler": "h.py", "workers": 10**30}}},
        {"models": {"m": {"handler": "h.py", "version": ""}}},
        {"models": {"": {"handler": "h.py"}}},
        {"models": {"..": {"handler": "h.py"}}},
        {"server": {"token_expiration_minutes": float("inf")}},
        {"server": {"token_expiration_minutes": float("nan")}},
        {"server": {"inference_port": int("f" * 5000, 16)}},
        {"": 1},
    ):
        with pytest.raises(ConfigError):
            settings_from(table)


def test_a_file_of_settings_is_small_and_regular(tmp_path, pipe):
    (tmp_path / "asteria.toml").write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError) as raised:
        load(tmp_path)
    assert raised.value.detail == "larger than 256 KiB, which is the limit"
    pipe.rename(tmp_path / "asteria.toml")
    for read in (load, lambda root: load_settings(root / "asteria.toml")):
        with pytest.raises(ConfigError) as raised:
            read(tmp_path)
        assert raised.value.detail == "not a regular file but a named pipe"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "x/" * 3000, "\udc80\ud800"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(ConfigError, match="no file can have this name"):
        Project(root=tmp_path, settings=Settings()).path(name)


def test_what_the_screen_remembers_is_worth_no_error(tmp_path, pipe):
    project = Project(root=tmp_path, settings=Settings())
    project.state_dir.mkdir()
    remembered, kept = project.state_dir / "screen.json", project.state_dir / answers.FILE
    for content in (b"\xff", b"[" * 50_000, b'{"theme": ' + b"[" * 500 + b"]" * 500 + b"}", b'{"wrap": ' + b"1" * 5000):
        remembered.write_bytes(content)
        kept.write_bytes(content + b"\n")
        assert load_ui_state(project).theme == ""
        assert answers.recall(project.state_dir) == []
    for file in (remembered, kept):
        file.unlink()
        os.mkfifo(file)
    assert load_ui_state(project).theme == ""
    assert answers.recall(project.state_dir) == []


@pytest.mark.parametrize("content", [b"[" * 100_000, b"1" * 5_000, b'{"a":' * 900 + b"1" + b"}" * 900, b"\xff\xfe["])
def test_a_payload_that_is_no_json_to_work_with(tmp_path, content):
    project = Project(root=tmp_path, settings=Settings())
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"the payload 'x\.json' is (not JSON|nested too deeply)"):
        read_payload(project, "m", f"@{tmp_path / 'x.json'}")


def test_a_payload_is_a_regular_file(tmp_path, pipe):
    project = Project(root=tmp_path, settings=Settings())
    for path in (pipe, "/dev/zero"):
        with pytest.raises(ConfigError, match="cannot read the payload") as raised:
            read_payload(project, "m", f"@{path}")
        assert raised.value.hint == "`-` reads standard input"
    with pytest.raises(ConfigError, match="is not a content type"):
        read_payload(project, "m", None, data="1", content_type="a/b\r\nX: y")


def test_an_error_is_as_long_as_somebody_reads():
    error = AsteriaError(f"begins {'x' * 10**6} ends", detail="y" * 10**6)
    assert len(error.title) < MAX_TITLE + 10
    assert error.title.startswith("begins ")
    assert error.title.endswith(" ends")
    assert len(error.detail) < MAX_DETAIL + 10


@seed(11)
@given(st.integers(1, 2 * MAX_DEPTH), st.booleans(), st.text('[]{}"\\a', max_size=20))
def test_depth_is_counted_outside_of_texts(depth, is_object, text):
    inner = json_text(text)
    opening, closing = (f'{{{inner}: [{inner}], "a": ', "}") if is_object else (f"[{inner}, ", "]")
    whole = opening * depth + inner + closing * depth
    if depth + is_object > MAX_DEPTH:
        with pytest.raises(ValueError, match="nested too deeply"):
            check_depth(whole)
    else:
        assert parse_json(whole.encode()) is not None


def json_text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@seed(11)
@given(st.binary(max_size=200) | st.text('[]{}"\\.=a1, \n', max_size=200).map(str.encode))
def test_a_parser_raises_nothing_else(content):
    for parse in (parse_toml, parse_json):
        try:
            parse(content)
        except ValueError:
            continue


VALID = b"""
[models.echo]
version = "1.0"
handler = "handler.py"
extra_files = ["a", "b/*"]
workers = 2

[stores]
mirrors = ["mirror"]

[server]
inference_port = 8080
properties = { job_queue_size = "2" }

[docker]
memory = "2g"
"""
PIECES = [
    *(b'"', b"'", b"[", b"]", b"{", b"}", b".", b"=", b"\n", b"#", b"\\u", b"\xff", b"0x", b"1e999", b"-inf", b"nan"),
    *(
        b"9" * 5000,
        b"[models.x]\n",
        b"[[server]]\n",
        b"1979-05-27T07:32:00Z",
        b'"""',
        b"\x00",
        b"\xef\xbb\xbf",
        b"true",
    ),
    *(b"..", b"~nobody"),
]
CHANGE = st.tuples(st.integers(0, len(VALID)), st.integers(0, 40), st.sampled_from(PIECES))


@seed(11)
@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 40), st.sampled_from(PIECES)), min_size=1, max_size=5)
)
def test_a_mutated_configuration_is_one_or_a_configuration_error(tmp_path_factory, changes):
    content = VALID
    for at, removed, piece in changes:
        content = content[:at] + piece + content[at + removed :]
    root = tmp_path_factory.getbasetemp() / "mutated"
    root.mkdir(exist_ok=True)
    (root / "asteria.toml").write_bytes(content)
    with contextlib.suppress(ConfigError):
        project = load(root)
        for model in project.settings.models.values():
            with contextlib.suppress(AsteriaError):
                collect(project, "echo", model)


def test_a_record_of_other_bytes_is_none(tmp_path):
    project = Project(root=tmp_path, settings=Settings())
    file = make_state_dir(project) / STATE_FILE
    for content in (b'{"target": "\xff"}', b'{"x": ' + b"[" * 5000, b"1" * 5000):
        file.write_bytes(content)
        assert load_record(project) is None
