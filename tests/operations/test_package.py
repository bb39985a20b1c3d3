"""`package`: archives into the primary store and every mirror."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asteria_tui.archive import build as building
from asteria_tui.archive.files import sha256_of
from asteria_tui.errors import ArchiveError, ConfigError
from asteria_tui.events import ArchiveBuilt, StageFailed
from asteria_tui.operations import package as room
from asteria_tui.operations.package import Package
from tests.operations.conftest import ECHO


async def test_an_archive_in_every_store(rig):
    rig.settings(ECHO + '[stores]\nmirrors = ["one", "two"]\n')
    await rig.run(Package())
    built = rig.one(ArchiveBuilt)
    for store in (rig.project.primary_store, rig.root / "one", rig.root / "two"):
        assert sha256_of(store / "echo.mar") == built.sha256
    assert rig.state.stages[-1].summary == "3 of 3 equal"
    await rig.run(Package())
    assert rig.stages == {"package echo": "same", "store": "same"}


async def test_a_mirror_that_differs_is_filled_again(rig):
    rig.settings(ECHO + '[stores]\nmirrors = ["one"]\n')
    await rig.run(Package())
    (rig.root / "one" / "echo.mar").write_bytes(b"other")
    await rig.run(Package())
    assert rig.stages == {"package echo": "same", "store": "done"}
    assert sha256_of(rig.root / "one" / "echo.mar") == rig.one(ArchiveBuilt).sha256


async def test_a_ready_made_archive_is_copied_unless_it_is_there(rig):
    await rig.run(Package())
    (rig.project.primary_store / "echo.mar").rename(rig.root / "ready.mar")
    rig.settings('[models.echo]\narchive = "ready.mar"\n')
    await rig.run(Package())
    assert sha256_of(rig.project.primary_store / "echo.mar") == sha256_of(rig.root / "ready.mar")
    before = (rig.project.primary_store / "echo.mar").stat().st_ino
    await rig.run(Package())
    assert (rig.project.primary_store / "echo.mar").stat().st_ino == before


async def test_a_ready_made_archive_that_is_not_there_or_none(rig):
    rig.settings('[models.echo]\narchive = "ready.mar"\n')
    await rig.fail(Package(), ConfigError, "no archive at")
    rig.write("ready.mar", "no zip")
    await rig.fail(Package(), ArchiveError)
    assert rig.one(StageFailed).stage == "package"


async def test_sources_that_make_no_archive(rig):
    (rig.root / "handler.py").unlink()
    await rig.fail(Package(), ArchiveError, r"handler.py does not exist")
    assert rig.stages["package echo"] == "failed"


async def test_a_store_that_cannot_be_made(rig):
    rig.write("model_store", "a file")
    await rig.fail(Package(), ArchiveError, "cannot make the store")


async def test_an_interruption_leaves_no_half_archive(rig, monkeypatch):
    begun, may_go_on = threading.Event(), threading.Event()

    def held(sources, target, progress):
        begun.set()
        may_go_on.wait()
        return building.build(sources, target, progress)

    monkeypatch.setattr(room, "build", held)
    running = asyncio.ensure_future(rig.run(Package()))
    await asyncio.to_thread(begun.wait)
    running.cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert rig.one(StageFailed).title == "interrupted"
    assert list(rig.project.primary_store.iterdir()) == []
