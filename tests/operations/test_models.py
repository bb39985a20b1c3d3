"""`models`: each call of the management API, and what the server refuses."""

from __future__ import annotations

import pytest

from asteria_tui.errors import ConfigError, ServerError
from asteria_tui.events import ModelDescribed, ModelsChanged
from asteria_tui.operations import models
from asteria_tui.targets.record import load_record
from tests.fake_server import error


@pytest.fixture
async def rig(rig):
    await rig.up()
    return rig


def served(rig):
    return {(model.name, model.version): len(model.workers) for model in rig.one(ModelsChanged).models}


async def test_a_list_of_what_is_registered(rig):
    rig.server.register("other", workers=0)
    await rig.run(models.ListModels())
    assert served(rig) == {("echo", "1.0"): 1, ("other", "1.0"): 0}


async def test_a_description_with_the_handler_s_own_where_a_worker_can_give_it(rig):
    await rig.run(models.DescribeModel(model="echo"))
    assert rig.one(ModelDescribed).versions[0]["customizedMetadata"] == {"of": "echo"}
    rig.server.named("echo").workers = 0
    await rig.run(models.DescribeModel(model="echo"))
    assert "customizedMetadata" not in rig.one(ModelDescribed).versions[0]
    await rig.fail(models.DescribeModel(model="ecco"), ServerError, "no such model")


async def test_registering_under_another_name(rig):
    await rig.run(models.RegisterModel(archive="echo.mar", model="tokenizer", workers=2, batch_size=4))
    assert served(rig)["tokenizer", "1.0"] == 2
    registered = rig.server.named("tokenizer")
    assert registered.parameters["batch_size"] == "4"
    # Its path holds no /token, which would be taken for a renewal.
    assert "GET /models/%74okenizer/all" in rig.server.calls


async def test_a_name_that_nobody_could_ask_for_is_refused_here(rig):
    await rig.fail(models.RegisterModel(archive="echo.mar", model="we ird/x"), ConfigError, "not a valid model name")
    assert not any(call.startswith("POST") for call in rig.server.calls)


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (models.RegisterModel(archive="echo.mar"), "registered already"),
        (models.RegisterModel(archive="none.mar"), "no such model"),
        (models.UnregisterModel(model="ecco"), "no such model"),
        (models.UnregisterModel(model="echo", version="9"), "no such version"),
        (models.ScaleModel(model="ecco", workers=1), "no such model"),
        (models.SetDefaultVersion(model="echo", version="9"), "no such version"),
    ],
)
async def test_what_the_server_refuses(rig, change, title):
    await rig.fail(change, ServerError, title)
    assert rig.all(ModelsChanged) == []


async def test_the_default_version_goes_last(rig):
    rig.server.register("echo", "2.0")
    failure = await rig.fail(models.UnregisterModel(model="echo", version="1.0"), ServerError, "default version")
    assert "models default" in failure.hint
    await rig.run(models.SetDefaultVersion(model="echo", version="2.0"))
    await rig.run(models.UnregisterModel(model="echo", version="1.0"))
    assert served(rig) == {("echo", "2.0"): 1}


async def test_scaling(rig):
    await rig.run(models.ScaleModel(model="echo", workers=3))
    assert served(rig) == {("echo", "1.0"): 3}


async def test_a_server_that_was_started_without_the_model_api(rig):
    rig.server.replies["POST /models"] = lambda _: error(405, "MethodNotAllowedException", "Requested method …")
    await rig.fail(models.RegisterModel(archive="echo.mar"), ServerError, "does not allow registering")


async def test_without_a_server(rig):
    rig.server.stop()
    for operation in (models.ListModels(), models.DescribeModel(model="echo"), models.UnregisterModel(model="echo")):
        await rig.fail(operation, ServerError, "no server")


async def test_what_was_unregistered_by_hand_is_not_missed_and_the_next_up_loads_it(rig):
    await rig.run(models.UnregisterModel(model="echo"))
    assert load_record(rig.project).models == {}
    await rig.up()
    assert load_record(rig.project).models.keys() == {"echo"}


async def test_of_another_version_the_record_says_nothing(rig):
    rig.server.register("echo", "1.5")
    await rig.run(models.UnregisterModel(model="echo", version="1.5"))
    assert load_record(rig.project).models.keys() == {"echo"}
