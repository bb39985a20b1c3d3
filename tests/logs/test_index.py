"""The index gives back every line, its level and its record, however the file was written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.errors import TargetError
from asteria_tui.logs import index as module
from asteria_tui.logs.filter import CONTINUED, LEVELS, Filter
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.search import Hits
from tests.logs.whole import records

SAMPLES = Path(__file__).parent / "samples"
HEADER = b"2026-11-23T03:08:45,821 [WARN ] main a.B - "
LINES = st.lists(
    st.sampled_from(
        [HEADER + b"x", b'{"t":1795411292745,"l":"INFO","th":"main","lg":"a","m":"y","x":""}', b"", b"more"]
    )
    | st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")),
    max_size=300,
)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)
    monkeypatch.setattr(module, "PIECE", 500)


def complete(path):
    index = LineIndex(path)
    while index.step_back():
        pass
    return index


def grown(index):
    """Whether `index` is still of the same file, with all that was appended."""
    is_same = index.grow()
    while index.is_behind:
        is_same &= index.grow()
    return is_same


def level(index, line):
    chunk = index.chunk(line)
    return chunk.levels[line - chunk.first] & ~CONTINUED


def all_lines(index):
    return index.lines(index.first, index.end - index.first)


@pytest.mark.parametrize("chunk", [200, 5_000, 1 << 20])
@given(lines=LINES, split=st.floats(0, 1))
def test_every_line_is_found_again(tmp_path_factory, chunk, lines, split):
    path = tmp_path_factory.mktemp("log") / "server.log"
    data = b"".join(line + b"\n" for line in lines)
    at = int(len(data) * split)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        patch.setattr(module, "PIECE", chunk // 2)
        path.write_bytes(data[:at])
        index = complete(path)
        with path.open("ab") as file:
            file.write(data[at:])
        assert grown(index)
        assert all_lines(index) == lines
        assert index.is_complete
        numbers = range(index.first, index.end)
        assert [index.lines(number, 1) for number in numbers] == [[line] for line in lines]
        assert [index.starts_record(n) for n in numbers] == _starts(lines)
        index.close()


def _starts(lines):
    """Which lines start a record; before the first record each is on its own."""
    found, is_open = [], False
    for line in lines:
        is_header = Parser().record(line) is not None or line[24:26] in {b"[W", b"[I", b"IN", b"- "}
        is_open |= is_header
        found.append(is_header or not is_open)
    return found


def test_the_end_comes_first(small_chunks):
    path = SAMPLES / "inference_console.txt"
    index = LineIndex(path)
    assert not index.is_complete
    assert index.lines(-1, 1) == path.read_bytes().splitlines()[-1:]
    assert index.end == 0


@pytest.mark.parametrize("name", ["inference_console.txt", "init_console.txt", "server.jsonl", "access_log.log"])
def test_records_of_the_index_are_those_of_the_parser(name, small_chunks):
    path = SAMPLES / name
    index = complete(path)
    starts = [line for line in range(index.first, index.end) if index.starts_record(line)]
    parser = Parser()
    assert [index.record(line, parser) for line in starts] == list(records(path.read_bytes().splitlines()))


def test_levels_are_those_of_the_records(small_chunks):
    index = complete(SAMPLES / "init_console.txt")
    for line in range(index.first, index.end):
        assert level(index, line) == LEVELS.index(index.record(line, Parser()).level) + 1


@pytest.mark.parametrize("chunk", [100, 1000, 1 << 20])
def test_a_line_of_megabytes_is_read_cut(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "PIECE", chunk)
    monkeypatch.setattr(module, "LINE_LIMIT", 60_000)
    path = tmp_path / "log"
    giant = HEADER + b"x" * 100_000
    path.write_bytes(b"before\n" + giant + b"\nafter\n")
    index = complete(path)
    assert index.lines(-3, 3) == [b"before", giant[:60_001], b"after"]
    assert level(index, -2) == LEVELS.index("WARN") + 1
    with path.open("ab") as file:
        file.write(giant)
        file.flush()
        assert grown(index)
        assert index.end == 0
        file.write(b"\nend\n")
    assert grown(index)
    assert index.lines(0, 2) == [giant[:60_001], b"end"]


FILTERS = [
    Filter(),
    Filter(level="warn"),
    Filter(level="error"),
    Filter(worker="9600"),
    Filter(worker="W-19000"),
    Filter(model="syn"),
    Filter(grep="Traceback"),
    Filter(grep=r"divide by \d+"),
    Filter(grep="got red"),
    Filter(grep="(?i)TRACEBACK", not_="most"),
    Filter(sources=frozenset({"access", "metrics"})),
    Filter(level="warn", model="importfail", grep="error: Worker died"),
    Filter(grep="InterruptedException"),
    Filter(request="66207a84-ff9b-48d5-b54c-5ffa18805e6d"),
]


@pytest.mark.parametrize("filter_", FILTERS, ids=range(len(FILTERS)))
@pytest.mark.parametrize("name", ["inference_console.txt", "init_console.txt", "server.jsonl", "ts_metrics.log"])
def test_hits_are_the_lines_of_the_records_that_match(name, filter_, small_chunks):
    index = complete(SAMPLES / name)
    hits = Hits(index, filter_)
    while hits.step():
        pass
    wanted = [n for n in range(index.first, index.end) if filter_.matches(index.record(n, Parser()))]
    assert list(hits) == wanted
    assert len(hits) == len(wanted)


@pytest.mark.parametrize("filter_", FILTERS, ids=range(len(FILTERS)))
@pytest.mark.parametrize("size", [100, 700, 1 << 20])
@pytest.mark.parametrize("place", [0.0, 0.37, 0.9])
def test_hits_are_the_same_wherever_the_search_begins(filter_, size, place, small_chunks):
    index = complete(SAMPLES / "inference_console.txt")
    start = index.first + int(place * (index.end - index.first))
    hits = Hits(index, filter_, size=size, start=start)
    while hits.refresh():
        pass
    while hits.step():
        pass
    assert list(hits) == [n for n in range(index.first, index.end) if filter_.matches(index.record(n, Parser()))]


@pytest.mark.parametrize("known", [[], [("sa_mple", "1_0")]])
def test_a_model_is_told_by_its_name_and_version_wherever_they_part(tmp_path, known):
    path = tmp_path / "records.jsonl"
    line = '{"t":1795411292745,"l":"INFO","th":"W-9000-sa_mple_1_0-stdout","lg":"MODEL_LOG","m":"y","x":""}\n'
    path.write_text(line * 3)
    hits = Hits(LineIndex(path), Filter(model="sa_mple"), known)
    while hits.step():
        pass
    assert len(hits) == 3 * len(known)


def test_hits_grow_with_the_file(tmp_path, small_chunks):
    path = tmp_path / "log"
    path.write_bytes(b"")
    index = LineIndex(path)
    hits = Hits(index, Filter(grep="even"))
    for number in range(100):
        with path.open("ab") as file:
            file.write(HEADER + (b"even" if number % 2 == 0 else b"odd") + b"\nmore\n")
        index.grow()
        hits.refresh()
    assert [line // 2 for line in hits] == [n for n in range(0, 100, 2) for _ in range(2)]


def test_a_directory_is_no_log(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(TargetError, match="cannot be read"):
        LineIndex(tmp_path)
