"""No line of a log that is rotated is lost while it is followed, or it is said how many."""

import asyncio
import json
import os
import subprocess
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.logs import index, read, tail
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.history import CONSOLE_FILE, logs_in
from asteria_tui.logs.parts import Lost
from asteria_tui.logs.rotated import RotatedLog
from asteria_tui.logs.rows import LogRows
from asteria_tui.logs.tail import Tail
from asteria_tui.wording import lines_lost
from tests.conftest import COMMAND, Folder
from tests.logs.rotating import Writer, numbers
from tests.waiting import until, until_async


class Reader:
    """What a tail gave, and what it said to be lost where."""

    def __init__(self, path):
        self.tail = Tail(path)
        self.found: list[int] = []
        self.lost: list[tuple[int, Lost]] = []

    def read(self, limit=tail.WINDOW):
        data = self.tail.read(limit)
        if lost := self.tail.take_lost():
            self.lost.append((len(self.found), lost))
        self.found += numbers(data)
        return bool(data) or not self.tail.is_at_end

    def read_all(self):
        while self.read():
            pass


def test_parts_between_are_read_though_all_of_them_came_at_once(tmp_path):
    writer = Writer(tmp_path)
    reader = Reader(writer.file)
    writer.append(3)
    reader.read()
    for _ in range(writer.kept):
        writer.append(5)
        writer.roll()
    writer.append(1)
    reader.read_all()
    assert reader.found == list(range(writer.count))
    assert reader.lost == []


def test_parts_that_are_held_are_read_though_they_are_deleted(tmp_path):
    writer = Writer(tmp_path)
    reader = Reader(writer.file)
    for _ in range(6):
        writer.append(5)
        reader.read(limit=1)  # behind, and falling back
        writer.roll()
    reader.read_all()
    assert reader.found == list(range(writer.count))
    assert reader.lost == []


def test_lines_that_nobody_waits_for_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "HELD", 2)
    writer = Writer(tmp_path, kept=1)
    reader = Reader(writer.file)
    for _ in range(8):
        writer.append(5)
        reader.read(limit=100)
        writer.roll()
    reader.read_all()
    assert [lost.is_exact for _, lost in reader.lost] == [True] * len(reader.lost)
    assert sum(lost.lines for _, lost in reader.lost) == writer.count - len(reader.found) > 0
    for at in {place for place, _ in reader.lost}:  # said right where they are missing
        before = reader.found[at - 1] if at else -1
        assert reader.found[at] - before - 1 == sum(lost.lines for place, lost in reader.lost if place == at)


def test_parts_that_nobody_has_seen_may_be_missing(tmp_path):
    writer = Writer(tmp_path)
    reader = Reader(writer.file)
    writer.append(5)
    reader.read()
    for _ in range(writer.kept + 3):
        writer.append(5)
        writer.roll()
    reader.read_all()
    assert reader.lost == [(10, Lost(is_exact=False))]
    assert reader.found == [*range(10), *range(writer.count - 5 * writer.kept, writer.count)]


@pytest.mark.parametrize("change", ["deleted", "moved away", "another folder"])
def test_a_log_that_ends_is_not_rotated(tmp_path, change):
    """What was deleted by somebody, or belongs to an earlier run, is no loss."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "logs"
    link.symlink_to("one")
    writer = Writer(tmp_path / "one")
    reader = Reader(link / "records.jsonl")
    writer.append(3)
    reader.read()
    if change == "deleted":
        writer.file.unlink()
    elif change == "moved away":
        writer.file.rename(tmp_path / "elsewhere")
    else:
        link.unlink()
        link.symlink_to("two")
        writer.file.unlink()
        writer.file = tmp_path / "two/records.jsonl"
        for _ in range(2):
            writer.roll()
    writer.append(2)
    reader.read_all()
    assert reader.found == list(range(5))
    assert reader.lost == []


STEPS = st.lists(st.integers(1, 9) | st.sampled_from(["roll", "roll", "read a little", "read"]), max_size=40)


@given(steps=STEPS, kept=st.integers(1, 3))
def test_what_was_written_was_read_or_is_said_to_be_lost(tmp_path_factory, steps, kept):
    writer = Writer(tmp_path_factory.mktemp("log"), kept)
    reader = Reader(writer.file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "HELD", 2)
        for step in steps:
            if isinstance(step, int):
                writer.append(step)
            elif step == "roll":
                writer.roll()
            else:
                reader.read(*[150] * (step == "read a little"))
        reader.read_all()
    assert all(first < second for first, second in pairwise(reader.found))
    missing = writer.count - len(reader.found)
    counted = sum(lost.lines for _, lost in reader.lost)
    assert counted == missing if all(lost.is_exact for _, lost in reader.lost) else counted <= missing
    reader.tail.close()


async def test_following_a_server_reads_each_line_once_though_its_older_parts_get_other_names(tmp_path):
    writer = Writer(tmp_path)
    for _ in range(2):
        writer.append(4)
        writer.roll()
    (tmp_path / CONSOLE_FILE).touch()
    found = []

    async def follow():
        async for batch in read.records(logs_in(tmp_path), last=100, is_following=True):
            found.extend(int(record.text.removeprefix("line ")) for record in batch)

    task = asyncio.create_task(follow())
    for _ in range(4):
        await until_async(lambda: len(found) == writer.count)
        writer.append(2)
        writer.roll()
        writer.append(2)
    await until_async(lambda: len(found) == writer.count)
    task.cancel()
    assert found == list(range(writer.count))


def test_the_command_says_that_lines_are_lost_where_its_reader_is_slow(tmp_path):
    """Real processes: a writer that rotates without a pause, and a pipe that nobody reads."""
    writer = Writer(tmp_path)
    writer.append(1)
    folder = Folder(tmp_path)
    with subprocess.Popen(
        [*COMMAND, "logs", "-f", "-n", "1", "--json", str(writer.file)],
        cwd=tmp_path, env=folder.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as command:  # fmt: skip
        first = json.loads(command.stdout.readline())
        assert first["text"] == "line 0"
        for _ in range(30):
            writer.append(1000)
            writer.roll()
        writer.append(1)
        lines = map(json.loads, command.stdout)
        seen = [next(lines)]
        while seen[-1].get("text") != f"line {writer.count - 1}":
            seen.append(next(lines))
        command.terminate()
        command.stdout.read()
    gaps = [place for place, line in enumerate(seen) if line.get("event") == "noticed"]
    assert all("lost to rotation" in seen[place]["text"] for place in gaps)
    found = [[int(line["text"].removeprefix("line ")) for line in part] for part in _split(seen, gaps)]
    missing = [later[0] - earlier[-1] - 1 for earlier, later in pairwise(found)]
    assert missing
    assert all(part == list(range(part[0], part[-1] + 1)) for part in found)  # nothing is missing in silence


def _split(seen, gaps):
    edges = [-1, *gaps, len(seen)]
    return [seen[start + 1 : end] for start, end in pairwise(edges)]


def test_the_screen_counts_what_was_deleted_before_it_was_indexed(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "PIECE", 300)
    writer = Writer(tmp_path, kept=1)
    log = RotatedLog(writer.file)
    for _ in range(6):
        writer.append(20)
        log.refresh()
        writer.roll()
    indexed = log.end  # each line that was ever indexed has a number of its own
    until(lambda: log.refresh() and not log.is_behind)
    assert log.end - log.first == 20
    assert log.lost == Lost(writer.count - log.end)
    assert indexed < log.end < writer.count
    log.close()


def test_the_screen_begins_anew_and_says_so_when_all_that_it_knew_is_deleted(tmp_path):
    writer = Writer(tmp_path)
    writer.append(5)
    rows = LogRows(writer.file, Filter())
    until(lambda: not rows.refresh() and rows.is_complete)
    for _ in range(writer.kept + 2):
        writer.append(5)
        writer.roll()
    assert rows.refresh().is_new
    until(lambda: not rows.refresh() and rows.is_complete)
    assert len(rows) == 5 * writer.kept
    assert rows.lost == Lost(is_exact=False)
    rows.close()


async def test_nothing_is_lost_to_a_writer_that_rotates_without_a_pause(tmp_path):
    """The log of a busy server: the follower is behind, the parts are small, their names change under its hands."""
    writer = Writer(tmp_path)
    writer.append(1)
    found, lost = [], []

    async def follow():
        async for batch in read.records(logs_in(tmp_path), last=1, is_following=True, on_lost=lost.append):
            found.extend(int(record.text.removeprefix("line ")) for record in batch)

    task = asyncio.create_task(follow())
    await until_async(lambda: found == [0])

    def write():
        for _ in range(100):
            writer.append(200)
            writer.roll()
        writer.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    await until_async(lambda: not thread.is_alive() and found[-1] == writer.count - 1)
    task.cancel()
    assert all(first < second for first, second in pairwise(found))
    missing = writer.count - len(found)
    counted = sum(one.lines for one in lost)
    assert counted == missing if all(one.is_exact for one in lost) else counted <= missing


def test_the_loss_is_worded():
    assert lines_lost(412_889, is_exact=True) == "412,889 lines lost to rotation"
    assert lines_lost(1, is_exact=True) == "1 line lost to rotation"
    assert lines_lost(20, is_exact=False) == "at least 20 lines lost to rotation"
    assert lines_lost(0, is_exact=False) == "lines may be lost to rotation, how many is not known"


def test_a_follower_gives_the_space_of_deleted_parts_back(tmp_path):
    writer = Writer(tmp_path)
    reader = Reader(writer.file)
    writer.append(1)
    reader.read_all()
    before = len([*Path("/dev/fd").iterdir()])
    for _ in range(10):
        writer.append(5)
        writer.roll()
        reader.read_all()
    assert len([*Path("/dev/fd").iterdir()]) == before
    assert os.fstat(reader.tail._descriptor).st_nlink == 1
