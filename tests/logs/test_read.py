"""Past and following records, of one log or several, filtered or not, are the same as those of the parser."""

import asyncio
import os
from pathlib import Path

import pytest
from msgspec import structs

from asteria_tui.errors import ConfigError
from asteria_tui.logs import read
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.history import Log
from tests.logs.whole import records as parsed
from tests.waiting import until_async

SAMPLES = Path(__file__).parent / "samples"
SERVER = SAMPLES / "server.jsonl"
FILTERS = [
    Filter(),
    Filter(level="warning"),
    Filter(worker="W-9600", not_="METRICS"),
    Filter(grep="Traceback"),
    Filter(sources=frozenset({"access"})),
    Filter(since=1795411320.0),
    Filter(since=1795411320.0, level="error"),
]


async def all_of(*logs, filter_=None, **options):
    batches = [batch async for batch in read.records(logs, filter_, **options)]
    assert all(1 <= len(batch) <= read.BATCH for batch in batches)
    return [record for batch in batches for record in batch]


def wanted(path, filter_):
    return [record for record in parsed(path.read_bytes().splitlines()) if filter_.matches(record)]


def without_pid(records):
    return [structs.replace(record, pid=None) for record in records]


@pytest.mark.parametrize("filter_", FILTERS, ids=range(len(FILTERS)))
async def test_the_past_is_every_record_that_matches(filter_):
    assert await all_of(Log(SERVER), filter_=filter_) == sorted(wanted(SERVER, filter_), key=lambda r: 0)


@pytest.mark.parametrize("filter_", FILTERS, ids=range(len(FILTERS)))
@pytest.mark.parametrize("last", [0, 1, 7, 10_000])
async def test_the_last_records_are_the_end_of_all_records(filter_, last):
    expected = without_pid(wanted(SERVER, filter_))[-last:] if last else []
    assert without_pid(await all_of(Log(SERVER), filter_=filter_, last=last)) == expected


async def test_several_logs_come_in_the_order_of_time():
    both = await all_of(Log(SAMPLES / "access_log.log"), Log(SAMPLES / "ts_metrics.log"))
    times = [record.time for record in both]
    assert times == sorted(times)
    assert {record.source for record in both} == {"access", "metrics"}


async def test_the_console_adds_only_what_java_prints():
    found = await all_of(Log(SAMPLES / "bind_console.txt", "console"))
    assert [record.level for record in found][-1] == "ERROR"
    assert found[-1].text.startswith("java.io.IOException: Failed to bind to address")
    assert found[-1].text.endswith("Address already in use")
    assert {record.source for record in found} == {"console"}
    assert await all_of(Log(SAMPLES / "bind_console.txt", "console"), last=1) == found[-1:]


async def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert await all_of(Log(tmp_path / "none.log"), filter_=Filter(since=1.0)) == []
    assert await all_of(Log(tmp_path / "none.log"), last=3) == []


def test_what_is_wrong_with_a_filter_is_said():
    with pytest.raises(ConfigError, match="level"):
        Filter(level="loud")
    with pytest.raises(ConfigError, match="regular expression"):
        Filter(grep="(")


@pytest.fixture(params=["inotify", "polling"])
def notification(request, monkeypatch):
    """How a change is noticed; without inotify, as on macOS, by looking again and again."""
    if request.param == "polling":
        monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())


@pytest.mark.usefixtures("notification")
async def test_following_loses_nothing_while_the_file_is_rotated_and_truncated(tmp_path):
    path = tmp_path / "server.jsonl"
    lines = SERVER.read_bytes().splitlines(keepends=True)
    pieces = [lines[start : start + 50] for start in range(0, len(lines), 50)]
    disturbances = {
        2: lambda: path.rename(tmp_path / "old.jsonl"),
        4: lambda: os.truncate(path, 0),
        6: path.unlink,
    }
    found = []
    written = 0
    async with asyncio.timeout(30):
        async for batch in _following(path, pieces[0]):
            found += batch
            if len(found) < sum(map(len, pieces[: written + 1])):
                continue
            written += 1
            disturbances.get(written, int)()
            if written == len(pieces):
                break
            _append(path, pieces[written])
    assert without_pid(found) == without_pid(parsed(lines))


def _append(path, lines):
    with path.open("ab") as file:
        file.writelines(lines)


def _following(path, first):
    _append(path, first)
    return read.records([Log(path)], is_following=True)


async def test_following_survives_that_its_folder_is_replaced(tmp_path):
    """A new run has a new folder; a link of the old name leads to it."""
    link = tmp_path / "logs"
    line = b'{"t":1795411292745,"l":"INFO","th":"main","lg":"a","m":"%d","x":""}\n'
    found = []
    async with asyncio.timeout(30):
        task = asyncio.create_task(_collect(link / "records.jsonl", found))
        for number in range(3):
            folder = tmp_path / str(number)
            folder.mkdir()
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
            (folder / "records.jsonl").write_bytes(line % number)
            await until_async(lambda number=number: found == [str(n) for n in range(number + 1)])
        (tmp_path / "2/records.jsonl").unlink()
        (tmp_path / "2").rmdir()
        (tmp_path / "2").mkdir()
        (tmp_path / "2/records.jsonl").write_bytes(line % 3)
        await until_async(lambda: found == ["0", "1", "2", "3"])
        task.cancel()


async def _collect(path, found):
    async for batch in read.records([Log(path)], is_following=True):
        found += [record.text for record in batch]


async def test_following_goes_on_where_the_last_records_end(tmp_path):
    path = tmp_path / "log"
    head = b"2026-11-23T03:08:45,821 [INFO ] main a.B - "
    path.write_bytes(head + b"one\n" + head + b"two\nmore\n")
    found = []
    async with asyncio.timeout(30):
        async for batch in read.records([Log(path)], last=1, is_following=True):
            found += [record.text for record in batch]
            if len(found) == 1:
                with path.open("ab") as file:
                    file.write(head + b"three\nmore of it\n")
            if len(found) == 2:
                break
    assert found == ["two\nmore", "three\nmore of it"]


def test_causes_of_a_log_and_of_a_part_of_it():
    rows = read.causes([Log(SERVER)])
    assert len(rows) == 10
    assert [row.exception for row in read.causes([Log(SERVER)], filter_=Filter(model="syn"))] == ["SyntaxError"]
    assert [row.model for row in read.causes([Log(SERVER)], filter_=Filter(grep="Missing key", model="flaky"))] == [
        "flaky"
    ]
    assert {row.phase for row in read.causes([Log(SERVER)], filter_=Filter(since=1795411310.0))} == {"inference"}


def test_causes_are_found_in_a_log_that_is_mostly_quiet(tmp_path):
    quiet = b'{"t":1795411292745,"l":"INFO","th":"main","lg":"TS_METRICS","m":"x","x":""}\n'
    path = tmp_path / "server.jsonl"
    with path.open("wb") as file:
        for _ in range(3):
            file.write(quiet * 20_000)
            file.write(SERVER.read_bytes())
    rows = {(row.exception, row.model): row for row in read.causes([Log(SERVER)])}
    many = {(row.exception, row.model): row for row in read.causes([Log(path)])}
    assert set(many) == set(rows)
    assert {key: row.count for key, row in many.items()} == {key: 3 * row.count for key, row in rows.items()}
    assert {key: row.phase for key, row in many.items()} == {key: row.phase for key, row in rows.items()}


@pytest.mark.parametrize("only", [None, "console"])
async def test_a_line_without_a_time_is_as_old_as_the_one_before_it(tmp_path, only):
    path = tmp_path / "console.log"
    at = "2026-11-23T03:08:%02d,000 [INFO ] main a.B - said\n"
    path.write_text("WARNING: first\n" + at % 10 + "WARNING: old\n" + at % 20 + "WARNING: recent\n" + at % 21)
    [*_, last] = parsed(path.read_bytes().splitlines())
    found = await all_of(Log(path, only), filter_=Filter(since=last.time - 2))
    assert [record.text for record in found if record.source == "console"] == ["WARNING: recent"]
    os.utime(path, (last.time + 60, last.time + 60))
    with path.open("a") as file:
        file.write("WARNING: last\n")
    os.utime(path, (last.time + 60, last.time + 60))
    late = await all_of(Log(path, only), filter_=Filter(since=last.time + 30))
    assert [record.text for record in late] == ["WARNING: last"]
    assert await all_of(Log(path, only), filter_=Filter(since=last.time + 90)) == []
