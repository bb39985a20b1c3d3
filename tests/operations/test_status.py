"""`status`: our own health, from the process, describe and the log."""

from __future__ import annotations

import httpx
import pytest

from asteria_tui.errors import ExitCode
from asteria_tui.events import KeysChanged, ModelsChanged, ServerChanged
from asteria_tui.operations.status import Status
from asteria_tui.targets.record import load_record
from asteria_tui.targets.target import End, Vitals
from tests.fake_server import REFUSED, error


@pytest.fixture
async def rig(rig):
    await rig.up()
    return rig


async def test_a_server_that_is_well(rig):
    rig.target.now = Vitals(memory_bytes=300, cpu_seconds=1, restarts=2)
    assert await rig.run(Status()) == ExitCode.DONE
    server = rig.one(ServerChanged)
    assert (server.state, server.reason, server.memory_bytes, server.restarts) == ("running", "", 300, 2)
    [model] = rig.one(ModelsChanged).models
    assert (model.name, model.is_ready) == ("echo", True)
    assert model.sha256 == load_record(rig.project).models["echo"].sha256
    assert {key.kind for key in rig.one(KeysChanged).keys} == {"inference", "management", "api"}


async def test_nothing_runs(rig):
    rig.server.stop()
    assert await rig.run(Status()) == ExitCode.UNWELL
    assert (rig.one(ServerChanged).state, rig.one(ServerChanged).reason) == ("stopped", "")


async def test_a_server_that_ended_by_itself_says_why(rig):
    rig.server.stop()
    rig.target.end = End(reason="killed", exit_code=137, out_of_memory=True)
    await rig.run(Status())
    server = rig.one(ServerChanged)
    assert (server.reason, server.exit_code, server.out_of_memory) == ("killed", 137, True)


async def test_a_worker_that_is_not_ready_has_its_cause_from_the_log(rig):
    model = rig.server.named("echo")
    model.status = "UNLOADING"
    rig.server.broken["echo"] = "KeyError: 'threshold'"
    rig.server.fail_to_load(model)
    assert await rig.run(Status()) == ExitCode.UNWELL
    told = "KeyError: 'threshold', handler.py:2 in initialize"
    assert rig.one(ModelsChanged).models[0].workers[0].cause.headline == told
    assert (rig.one(ServerChanged).state, rig.one(ServerChanged).reason) == ("unwell", f"echo: {told}")


async def test_a_worker_that_is_not_ready_without_a_known_cause(rig):
    rig.server.named("echo").status = "UNLOADING"
    await rig.run(Status())
    assert rig.one(ServerChanged).reason == "echo: no worker is ready"


async def test_a_model_that_should_be_served_and_is_not(rig):
    rig.server.register("stranger")
    rig.server._remove("echo", "1.0")
    assert await rig.run(Status()) == ExitCode.UNWELL
    assert rig.one(ServerChanged).reason.startswith("echo: not served")
    rig.server._remove("stranger", "1.0")
    await rig.run(Status())
    assert rig.one(ServerChanged).reason == "no model is registered"


async def test_another_version_than_ours_has_no_known_archive(rig):
    rig.server.register("echo", "0.9")
    await rig.run(Status())
    assert [bool(model.sha256) for model in rig.one(ModelsChanged).models] == [True, False]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda _: error(400, "InvalidKeyException", REFUSED), "the server refused the token"),
        (lambda _: error(500, "InternalServerException", "x"), "the server failed"),
    ],
)
async def test_a_server_that_refuses_to_tell_is_unwell(rig, reply, reason):
    rig.server.replies["GET /models"] = reply
    assert await rig.run(Status()) == ExitCode.UNWELL
    assert (rig.one(ServerChanged).state, rig.one(ServerChanged).reason) == ("unwell", reason)


async def test_more_models_than_a_page_holds(rig):
    for number in range(150):
        rig.server.register(f"m{number}")
    await rig.run(Status())
    assert len(rig.one(ModelsChanged).models) == 151
    assert rig.server.calls.count("GET /models") == 2


async def test_a_model_that_goes_between_two_questions_is_no_failure(rig):
    rig.server.register("gone")
    rig.server.replies["GET /models/gone/all"] = lambda _: error(404, "ModelNotFoundException", "Model not found: gone")
    assert await rig.run(Status()) == ExitCode.DONE
    assert [model.name for model in rig.one(ModelsChanged).models] == ["echo"]


async def test_a_server_that_hangs_is_unwell(rig):
    def late(request):
        raise httpx.ReadTimeout("", request=request)

    rig.server.replies["GET /models"] = late
    await rig.run(Status())
    assert rig.one(ServerChanged).reason == "no answer within 15 s"
