"""`up`, branch by branch: what is kept, what is loaded again, what is ended, and which failure is reported."""

from __future__ import annotations

import asyncio
import itertools
import time

import httpx
import msgspec
import pytest

from asteria_tui.errors import AsteriaError, ServerError, TargetError
from asteria_tui.events import Predicted, StageFailed, StageProgressed, WarningRaised
from asteria_tui.operations import ready, start
from asteria_tui.operations.up import Up
from asteria_tui.targets.record import load_record, save_record
from asteria_tui.targets.target import Vitals
from tests.fake_server import error
from tests.fake_target import FakeTarget
from tests.operations.conftest import ECHO

BOTH = ECHO + '[models.other]\nhandler = "handler.py"\n'


async def test_from_nothing_to_a_prediction(rig):
    await rig.up()
    assert rig.stages == {
        "package echo": "done",
        "store": "same",
        "start": "done",
        "ready echo": "done",
        "keys": "done",
        "predict echo": "done",
    }
    answer = rig.one(Predicted)
    loaded = load_record(rig.project).models["echo"]
    assert (answer.status, answer.version, answer.archive_sha256) == (200, "1.0", loaded.sha256)
    assert rig.state.is_ready
    assert rig.state.keys[0].token == "•" * 8


async def test_a_second_one_leaves_everything_as_it_is(rig):
    await rig.up()
    before = load_record(rig.project)
    await rig.up()
    unchanged = ("package echo", "store", "start", "ready echo")
    assert [rig.stages[name] for name in unchanged] == ["same"] * 4
    assert rig.target.calls == []
    assert not any(call.startswith(("POST /models", "DELETE")) for call in rig.server.calls)
    assert load_record(rig.project) == before


async def test_a_changed_handler_is_loaded_in_place(rig):
    await rig.up()
    rig.write("handler.py", "def handle(data, context):\n    return [1]\n")
    await rig.up()
    assert rig.target.calls == []
    assert [call for call in rig.server.calls if call.startswith(("POST /models", "DELETE"))] == [
        "DELETE /models/echo/1.0",
        "POST /models",
    ]
    assert rig.one(Predicted).archive_sha256 == load_record(rig.project).models["echo"].sha256


@pytest.mark.parametrize("setting", ["workers = 2", "batch_size = 4"])
async def test_other_settings_of_a_model_are_applied_to_the_same_archive(rig, setting):
    await rig.up()
    rig.settings(ECHO + setting + "\n")
    await rig.up()
    assert (rig.stages["start"], rig.stages["ready echo"]) == ("same", "done")
    name, value = setting.replace("workers", "initial_workers").split(" = ")
    assert rig.server.named("echo").parameters[name] == value


async def test_a_worker_that_is_gone_is_loaded_again(rig):
    await rig.up()
    rig.server.named("echo").status = "UNLOADING"
    await rig.up()
    assert rig.stages["ready echo"] == "done"


async def test_settings_that_only_a_restart_applies_start_a_new_server(rig):
    await rig.up()
    rig.settings(ECHO + "[server]\ntoken_expiration_minutes = 5\n")
    await rig.up()
    assert rig.target.calls == ["preflight", "prepare", "start"]
    assert any("changed settings" in event.text for event in rig.all(StageProgressed))


async def test_what_cannot_be_started_again_is_not_stopped(rig):
    await rig.up()
    rig.settings(ECHO + "[server]\ntoken_expiration_minutes = 5\n")
    rig.target.fails["preflight"] = TargetError("no Java")
    await rig.fail(Up(), TargetError, "no Java")
    assert rig.target.calls == ["preflight"]
    assert rig.server.is_running


async def test_a_server_that_does_not_answer_is_started_anew(rig, monkeypatch):
    monkeypatch.setattr(start, "ANSWER_WITHIN", 0.0)
    await rig.up()
    rig.server.replies["GET /models"] = lambda request: error(500, "InternalServerException", "no")
    rig.target.fails["start"] = TargetError("as far as here")
    await rig.fail(Up(), TargetError)
    assert rig.target.calls == ["preflight", "prepare", "start"]


async def test_a_busy_server_that_answers_late_is_kept(rig, monkeypatch):
    monkeypatch.setattr(start, "ASK_AGAIN_AFTER", 0.001)
    await rig.up()
    asked = itertools.count()

    def busy(request):
        if next(asked) == 1:
            del rig.server.replies["GET /models"]
        raise httpx.ReadTimeout("busy", request=request)

    rig.server.replies["GET /models"] = busy
    await rig.up()
    assert (rig.target.calls, rig.stages["start"]) == ([], "same")


async def test_one_on_another_target_runs_on_when_its_successor_cannot_be_prepared(rig, monkeypatch):
    await rig.up()
    save_record(rig.project, msgspec.structs.replace(load_record(rig.project), target="docker"))
    other = FakeTarget(rig.project, rig.server)
    monkeypatch.setattr("asteria_tui.operations.start.open_target", lambda project, name: other)
    rig.target.fails["prepare"] = TargetError("the image could not be built")
    await rig.fail(Up(), TargetError, "could not be built")
    assert (other.calls, rig.target.calls, rig.server.is_running) == ([], ["preflight", "prepare"], True)


async def test_a_server_on_another_target_is_ended_first(rig, monkeypatch):
    await rig.up()
    save_record(rig.project, msgspec.structs.replace(load_record(rig.project), target="docker"))
    other = FakeTarget(rig.project, rig.server)
    opened = []
    monkeypatch.setattr("asteria_tui.operations.start.open_target", lambda project, name: opened.append(name) or other)
    await rig.up()
    assert opened == ["docker"]
    assert (other.calls, rig.target.calls) == (["stop"], ["preflight", "prepare", "start"])


async def test_a_start_that_fails_is_the_stage_s_failure(rig):
    rig.target.fails["start"] = TargetError("port 8080 is taken")
    await rig.fail(Up(), TargetError)
    assert (rig.stages["start"], rig.one(StageFailed).title) == ("failed", "port 8080 is taken")
    assert "stop" not in rig.target.calls


async def test_a_new_server_whose_model_does_not_start_is_stopped_again(rig):
    rig.server.broken["echo"] = "KeyError: 'threshold'"
    failure = await rig.fail(Up(), ServerError)
    assert failure.title == "KeyError: 'threshold', handler.py:2 in initialize"
    assert failure.hint == "fix handler.py:2, then run it again"
    assert failure.cause.phase == "load"
    assert rig.target.calls == ["preflight", "start", "stop"]
    assert rig.state.server.state == "stopped"
    assert "DELETE /models/echo/1.0" in rig.server.calls  # TorchServe would try for five minutes


async def test_a_server_that_ran_before_outlives_a_model_that_does_not_start(rig):
    await rig.up()
    before = load_record(rig.project)
    rig.write("handler.py", "def handle(data, context):\n    raise\n")
    rig.server.broken["echo"] = "ValueError: no"
    failure = await rig.fail(Up(), ServerError)
    assert failure.title == "ValueError: no, handler.py:2 in initialize"
    assert rig.target.calls == []
    # With its last good archive, so that answers are of older code and `stores` and `status` say so.
    assert "last good archive again" in rig.one(WarningRaised).text
    assert load_record(rig.project) == before
    del rig.server.broken["echo"]
    await rig.up()
    assert rig.stages["ready echo"] == "done"


async def test_one_that_stays_without_a_worker_makes_way_for_the_last_good_one(rig):
    await rig.up()
    rig.write("handler.py", "def handle(data, context):\n    raise\n")
    rig.server.broken["echo"] = "RuntimeError: shapes differ"
    await rig.fail(Up(), ServerError, "shapes differ")
    assert rig.server.named("echo").workers == 1


async def test_of_two_models_the_one_that_works_is_served_and_the_other_reported(rig):
    rig.settings(BOTH)
    rig.server.broken["echo"] = "KeyError: 'threshold'"
    await rig.fail(Up(), ServerError, "KeyError")
    assert (rig.stages["ready echo"], rig.stages["ready other"]) == ("failed", "done")
    assert rig.stages["predict other"] == "done"
    assert "predict echo" not in rig.stages
    assert rig.server.is_running
    assert len(rig.all(StageFailed)) == 1


async def test_a_prediction_that_fails_leaves_the_new_server_running(rig):
    rig.server.replies["POST /predictions/echo"] = lambda _: error(503, "InternalServerException", "Prediction failed")
    await rig.fail(Up(), AsteriaError, "the handler raised an exception")
    assert rig.stages["predict echo"] == "failed"
    assert rig.server.is_running


async def test_what_is_no_longer_in_the_project_is_unloaded_the_default_version_last(rig):
    rig.settings(BOTH)
    await rig.up()
    rig.server.register("other", "0.9")
    rig.settings(ECHO)
    await rig.up()
    assert [call for call in rig.server.calls if call.startswith("DELETE")] == [
        "DELETE /models/other/0.9",
        "DELETE /models/other/1.0",
    ]
    assert list(load_record(rig.project).models) == ["echo"]


async def test_one_model_alone_unloads_no_other(rig):
    rig.settings(BOTH + '[models.third]\nhandler = "handler.py"\n')
    await rig.up()
    rig.settings(BOTH)
    await rig.run(Up(model="echo"))
    assert set(rig.server.models) == {"echo", "other", "third"}


async def test_a_model_without_a_sample_is_said_not_to_be_tested(rig):
    rig.settings('[models.echo]\nhandler = "handler.py"\n')
    await rig.up()
    assert "not tested" in rig.state.stages[-1].summary
    assert rig.all(Predicted) == []


async def test_a_server_that_ends_while_a_worker_starts_is_reported_with_its_last_words(rig):
    def dies(_: httpx.Request) -> httpx.Response:
        rig.server.stop()
        raise httpx.ReadError("")

    rig.server.replies["GET /models/echo/1.0"] = dies
    failure = await rig.fail(Up(), ServerError, "the server ended")
    assert failure.detail == "the console's last words"


async def test_a_worker_that_was_killed_for_memory_is_reported_so(rig, monkeypatch):
    rig.server.broken["echo"] = "Worker died"
    start = rig.server.start

    def killed(models: list) -> None:
        start(models)
        rig.target.now = Vitals(memory_bytes=1, cpu_seconds=0, out_of_memory_at=load_record(rig.project).started_at + 1)

    monkeypatch.setattr(rig.server, "start", killed)
    failure = await rig.fail(Up(), ServerError, "memory limit")
    assert "memory under [docker]" in failure.hint


async def test_a_limit_that_was_reached_before_is_no_reason(rig):
    rig.server.broken["echo"] = "KeyError: 'threshold'"
    rig.target.now = Vitals(memory_bytes=1, cpu_seconds=0, out_of_memory_at=5.0)
    await rig.fail(Up(), ServerError, "KeyError")


async def test_no_worker_within_its_time_is_a_failure_with_a_way_out(rig, monkeypatch):
    rig.settings(ECHO + "startup_timeout = 1\n")
    rig.server.is_slow = True
    seconds = itertools.count()
    monkeypatch.setattr(ready.time, "monotonic", lambda: next(seconds))
    failure = await rig.fail(Up(), ServerError, "within 1 s")
    assert "startup_timeout" in failure.hint


async def test_an_interruption_while_the_worker_starts_ends_what_was_begun(rig):
    looking = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError

    rig.server.replies["GET /models/echo/1.0"] = never
    running = asyncio.ensure_future(rig.run(Up()))
    await looking.wait()
    rig.target.begun.clear()
    rig.target.may_stop.clear()
    running.cancel()
    await rig.target.begun.wait()
    for _ in range(3):  # however often
        running.cancel()
        await asyncio.sleep(0)
    assert not running.done()
    rig.target.may_stop.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not rig.server.is_running
    assert rig.state.server.state == "stopped"
    assert rig.stages["ready echo"] == "failed"


async def test_an_interruption_of_the_start_is_the_target_s_to_clean_up(rig):
    rig.target.may_start.clear()
    running = asyncio.ensure_future(rig.run(Up()))
    await rig.target.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert rig.target.calls == ["preflight", "start"]
    assert rig.stages["start"] == "failed"


async def test_requirements_that_torchserve_ignores_are_named(rig):
    rig.write("requirements.txt", "numpy\n")
    rig.settings(ECHO + 'requirements_file = "requirements.txt"\n')
    await rig.up()
    assert "ignores requirements.txt" in rig.one(WarningRaised).text


async def test_an_unknown_model_is_refused_before_anything_is_done(rig):
    await rig.fail(Up(model="ecco"), AsteriaError, "ecco")
    assert rig.events == []


async def test_the_log_tells_that_a_worker_is_ready_before_describe_is_asked_again(rig):
    rig.server.is_slow = True
    asked = []

    def describe(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        model = rig.server.named("echo")
        if len(asked) == 1:
            rig.server.log_ready(model)
        else:
            model.status = "READY"
        return httpx.Response(200, json=[model.described()])

    rig.server.replies["GET /models/echo/1.0"] = describe
    begun = time.monotonic()
    await rig.up()
    assert len(asked) == 2
    assert time.monotonic() - begun < 2 * ready.DESCRIBE_EVERY
