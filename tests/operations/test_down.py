"""`down` and `restart`."""

from __future__ import annotations

import asyncio

import pytest

from asteria_tui.errors import ArchiveError, TargetError
from asteria_tui.events import Predicted, StageFailed, StageFinished
from asteria_tui.operations.down import Down
from asteria_tui.operations.restart import Restart
from asteria_tui.targets.record import load_record


async def test_a_server_is_ended_once(rig):
    await rig.up()
    await rig.run(Down())
    assert (rig.one(StageFinished).summary, rig.one(StageFinished).unchanged) == ("stopped", False)
    assert (rig.state.server.state, rig.state.models, rig.state.keys) == ("stopped", (), ())
    await rig.run(Down())
    assert (rig.one(StageFinished).summary, rig.one(StageFinished).unchanged) == ("no server was running", True)


async def test_one_that_does_not_end_is_not_said_to_have_stopped(rig):
    await rig.up()
    rig.target.fails["stop"] = TargetError("the server did not end")
    await rig.fail(Down(), TargetError)
    assert rig.state.server.state == "running"
    assert rig.stages["stop"] == "failed"


async def test_an_interrupted_one_goes_to_its_end(rig):
    await rig.up()
    rig.target.begun.clear()
    rig.target.may_stop.clear()
    running = asyncio.ensure_future(rig.run(Down()))
    await rig.target.begun.wait()
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    rig.target.may_stop.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert rig.one(StageFailed).title == "interrupted"
    assert (rig.state.server.state, rig.server.is_running) == ("stopped", False)


async def test_restart_is_up_with_a_new_server(rig):
    await rig.up()
    before = load_record(rig.project).started_at
    await rig.run(Restart())
    assert rig.target.calls == ["preflight", "prepare", "start"]
    assert load_record(rig.project).started_at > before
    assert rig.one(Predicted).status == 200


async def test_restart_ends_nothing_that_could_not_be_started_again(rig):
    await rig.up()
    before = load_record(rig.project)
    rig.write("handler.py", "def handle(")
    await rig.fail(Restart(), ArchiveError, "does not compile")
    rig.write("handler.py", "def handle(data, context):\n    return data\n")
    rig.target.fails["preflight"] = TargetError("no Java")
    await rig.fail(Restart(), TargetError)
    assert rig.target.calls == ["preflight"]
    assert (rig.server.is_running, load_record(rig.project)) == (True, before)
