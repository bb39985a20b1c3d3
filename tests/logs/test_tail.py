"""Every line of a file is read once, whatever happens to the file."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.errors import TargetError
from asteria_tui.logs import tail as module
from asteria_tui.logs.tail import Tail


@pytest.fixture
def path(tmp_path):
    return tmp_path / "server.log"


def everything(tail, limit=module.WINDOW):
    """All that is there, and the lines of files that are gone."""
    found = b""
    while True:
        data = tail.read(limit)
        found += data
        if not data and tail.is_at_end:
            return found


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def test_only_whole_lines_are_read(path):
    tail = Tail(path)
    assert tail.read() == b""
    append(path, b"one\ntw")
    assert tail.read() == b"one\n"
    assert tail.read() == b""
    append(path, b"o\n")
    assert tail.read() == b"two\n"


def test_reading_may_start_at_the_end(path):
    append(path, b"old\n")
    tail = Tail(path, -1)
    append(path, b"new\n")
    assert everything(tail) == b"new\n"


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 50))
def test_windows_of_any_size_lose_nothing(tmp_path_factory, pieces, limit):
    path = tmp_path_factory.mktemp("log") / "server.log"
    tail = Tail(path)
    found = b""
    for piece in pieces:
        append(path, piece)
        found += everything(tail, limit)
    append(path, b"\n")
    assert found + everything(tail, limit) == b"".join(pieces) + b"\n"
    tail.close()


def test_a_rotated_file_is_read_to_its_end_first(path):
    append(path, b"one\n")
    tail = Tail(path)
    assert tail.read() == b"one\n"
    append(path, b"two\nlast")
    path.rename(path.with_suffix(".1"))
    append(path, b"three\n")
    assert everything(tail) == b"two\nlast\nthree\n"


@pytest.mark.parametrize("after", [b"n\n", b"new longer than before\n"])
def test_a_truncated_file_is_read_from_its_start(path, after):
    append(path, b"old line\n")
    tail = Tail(path)
    assert tail.read() == b"old line\n"
    os.truncate(path, 0)
    append(path, after)
    assert everything(tail) == after


def test_a_file_may_be_deleted_and_come_back(path):
    append(path, b"one\n")
    tail = Tail(path)
    assert tail.read() == b"one\n"
    path.unlink()
    assert everything(tail) == b""
    append(path, b"two\n")
    assert everything(tail) == b"two\n"


def test_a_line_without_end_does_not_fill_the_memory(path, monkeypatch):
    monkeypatch.setattr(module, "LINE_MAXIMUM", 1000)
    tail = Tail(path)
    append(path, b"x" * 10_000)
    assert everything(tail, 100) == b""
    append(path, b"\nnext\n")
    data = everything(tail, 100)
    assert data.endswith(b"\nnext\n")
    assert len(data) < 2000


def test_a_log_that_cannot_be_read_is_an_error(tmp_path):
    path = tmp_path / "loop"
    path.symlink_to(path)
    with pytest.raises((TargetError, OSError), match=r"loop"):
        Tail(path)
