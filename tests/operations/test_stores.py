"""`stores`: the chain from the sources to what is loaded, and what --sync copies."""

from __future__ import annotations

import shutil

import pytest

from asteria_tui.errors import ArchiveError, ExitCode
from asteria_tui.events import StageFinished, StoresCompared
from asteria_tui.operations.package import Package
from asteria_tui.operations.stores import Stores, SyncStores
from tests.fake_target import FakeContainerTarget
from tests.operations.conftest import ECHO


@pytest.fixture
async def rig(rig):
    rig.settings(ECHO + '[stores]\nmirrors = ["mirror"]\n')
    await rig.up()
    return rig


@pytest.fixture
async def boxed(rig):
    """The same in a container that somebody fills by hand."""
    rig.target = FakeContainerTarget(rig.project, rig.server, rig.root / "box")
    return rig


def places(rig):
    return {link.place: link.matches for link in rig.one(StoresCompared).links}


async def test_everything_is_equal(rig):
    assert await rig.run(Stores()) == ExitCode.DONE
    assert places(rig) == {"source": True, "primary": True, "mirror": True, "server": True}


async def test_a_changed_source_is_not_what_is_packaged(rig):
    rig.write("handler.py", "def handle(data, context):\n    return [1]\n")
    assert await rig.run(Stores()) == ExitCode.FAILED
    assert places(rig) == {"source": True, "primary": False, "mirror": True, "server": True}
    assert rig.one(StoresCompared).first_broken.fix == "asteria-tui package"


async def test_what_is_packaged_is_not_loaded_yet(rig):
    rig.write("handler.py", "def handle(data, context):\n    return [1]\n")
    await rig.run(Package())
    await rig.run(Stores())
    assert places(rig) == {"source": True, "primary": True, "mirror": True, "server": False}
    assert rig.one(StoresCompared).first_broken.fix == "asteria-tui up"


async def test_what_somebody_else_registered_has_no_known_hash(rig):
    rig.server._remove("echo", "1.0")
    rig.server.register("echo", "7")
    await rig.run(Stores())
    assert places(rig)["server"] is False


async def test_without_a_server_there_is_no_such_place(rig):
    rig.server.stop()
    assert await rig.run(Stores()) == ExitCode.DONE
    assert "server" not in places(rig)


async def test_sync_fills_the_mirror(rig):
    shutil.rmtree(rig.root / "mirror")
    assert await rig.run(Stores()) == ExitCode.FAILED
    assert places(rig)["mirror"] is False
    assert await rig.run(SyncStores()) == ExitCode.DONE
    assert places(rig)["mirror"] is True


async def test_sync_without_an_archive_says_how_to_make_one(rig):
    (rig.project.primary_store / "echo.mar").unlink()
    failure = await rig.fail(SyncStores(), ArchiveError, "no archive at")
    assert "package" in failure.hint


async def test_a_container_is_filled_and_loads_it(boxed):
    assert await boxed.run(Stores()) == ExitCode.FAILED
    assert boxed.one(StoresCompared).first_broken.place == "container"
    assert await boxed.run(SyncStores()) == ExitCode.DONE
    assert boxed.target.calls == ["put echo.mar"]
    changes = [call for call in boxed.server.calls if call.startswith(("POST /models", "DELETE"))]
    assert changes == ["DELETE /models/echo/1.0", "POST /models"]
    # What is there already is left alone.
    assert await boxed.run(SyncStores()) == ExitCode.DONE
    assert boxed.target.calls == []


async def test_a_mounted_store_is_its_owner_s_to_fill(boxed):
    boxed.target.is_mount = True
    assert await boxed.run(SyncStores()) == ExitCode.FAILED
    assert boxed.target.calls == []


async def test_a_container_without_ports_gets_the_archive_only(boxed):
    boxed.target.is_published = False
    await boxed.run(SyncStores())
    assert "its ports are not published" in boxed.all(StageFinished)[-1].summary
    assert not any(call.startswith("POST") for call in boxed.server.calls)


async def test_a_container_without_keys_is_asked_without_one(boxed):
    boxed.server.has_tokens = False
    boxed.target.is_missing_keys = True
    await boxed.run(SyncStores())
    assert "POST /models" in boxed.server.calls
