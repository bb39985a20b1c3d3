"""All readers of a run's logs are woken by whatever happens to its files, and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import pytest

from asteria_tui.logs import notify
from asteria_tui.logs import waker as module
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.rows import LogRows
from asteria_tui.logs.waker import Waker

LONG = 10.0
"""Seconds that nobody waits: what is awaited comes much sooner, or not at all."""


class Logs:
    """The logs of two runs, and a link to the first."""

    def __init__(self, folder):
        self.runs = [folder / "history" / "1", folder / "history" / "2"]
        for run in self.runs:
            run.mkdir(parents=True)
        (folder / "server").mkdir()
        self.link = folder / "server" / "logs"
        self.link.symlink_to(self.runs[0])
        self.file = self.link / "records.jsonl"

    def write(self, data=b"line\n"):
        with self.file.open("ab") as file:
            file.write(data)

    def begin_run(self):
        self.link.unlink()
        self.link.symlink_to(self.runs[1])


@pytest.fixture
def logs(tmp_path):
    return Logs(tmp_path)


@contextlib.asynccontextmanager
async def watching(folder, count=1):
    """The readers of a waker that has seen what is there."""
    waker = Waker(folder)
    readers = [waker.reader() for _ in range(count)]
    task = asyncio.create_task(waker.watch())
    if folder.exists():
        for reader in readers:
            assert await reader.wait(LONG)
    yield readers
    task.cancel()


def _without_reports(monkeypatch):
    monkeypatch.setattr(notify.ctypes, "CDLL", lambda *_, **__: object())


def _with_looks_only(monkeypatch):
    """A network share: its folder can be watched, but what others write there is not reported."""
    monkeypatch.setattr(notify, "_CHANGES", 0x400)
    monkeypatch.setattr(notify, "CHECK", 0.05)


@pytest.fixture(params=[None, _without_reports, _with_looks_only], ids=["inotify", "no inotify", "network share"])
def system(request, monkeypatch):
    if request.param is not None:
        request.param(monkeypatch)


CHANGES = {
    "written": Logs.write,
    "rotated": lambda logs: logs.file.rename(logs.file.with_suffix(".jsonl.1")),
    "cut": lambda logs: os.truncate(logs.file, 0),
    "deleted": lambda logs: logs.file.unlink(),
    "another run": Logs.begin_run,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_every_change_wakes_all_readers(logs, system, change):
    logs.write()
    async with watching(logs.link, 2) as readers:
        change(logs)
        assert [await reader.wait(LONG) for reader in readers] == [True, True]


async def test_the_logs_of_the_new_run_are_those_that_wake(logs, system):
    async with watching(logs.link) as [reader]:
        logs.begin_run()
        assert await reader.wait(LONG)
        logs.write()
        assert await reader.wait(LONG)


async def test_the_first_run_wakes(tmp_path, monkeypatch):
    monkeypatch.setattr(notify, "CHECK", 0.05)
    async with watching(tmp_path / "server" / "logs") as [reader]:
        Logs(tmp_path).write()
        assert await reader.wait(LONG)


async def test_silence_wakes_nobody(logs, system):
    logs.write()
    async with watching(logs.link) as [reader]:
        assert not await reader.wait(0.3)


async def test_a_pause_loses_nothing(logs):
    async with watching(logs.link, 2) as [slow, fast]:
        logs.write()
        assert await fast.wait(LONG)
        logs.write()
        assert await fast.wait(LONG)
        # Both changes came while the slow one was at work: one wake-up for the two.
        assert await slow.wait(0)
        assert not await slow.wait(0.2)


async def test_a_feed_wakes_at_an_even_pace(logs, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.1)
    async with watching(logs.link) as [reader]:
        begun, wakes = time.monotonic(), 0
        while wakes < 4:
            logs.write()
            wakes += await reader.wait(0.005)
        assert time.monotonic() - begun > (wakes - 1) * module.PERIOD * 0.9


async def test_rows_read_on_with_each_wake_up_through_rotation_and_a_new_run(logs):
    logs.write(b"")
    rows = LogRows(logs.file, Filter())
    async with watching(logs.link) as [reader], asyncio.timeout(LONG):
        for number in range(200):
            logs.write(b'{"t":1790000000000,"l":"INFO","th":"main","lg":"a","m":"%d","x":""}\n' % number)
            if number == 100:
                logs.file.rename(logs.file.with_suffix(".jsonl.1"))
        while len(rows) < 200:
            if not rows.refresh() and rows.is_complete:
                await reader.wait()
        logs.begin_run()
        logs.write(b"new\n")
        while not rows.refresh().is_new:
            await reader.wait()
    assert len(rows) == 1
    rows.close()
