"""What takes the place of what, in which order, and what comes back when the successor fails."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest

from asteria_tui.archive import kept
from asteria_tui.archive.files import sha256_of
from asteria_tui.errors import InferenceError, ServerError
from asteria_tui.events import Predicted, WarningRaised
from asteria_tui.operations import drain
from asteria_tui.operations.restart import Restart
from asteria_tui.operations.start import Former, start_again
from asteria_tui.operations.up import Up
from asteria_tui.process import uninterrupted
from asteria_tui.targets.record import load_record, save_record, with_model
from asteria_tui.targets.target import Vitals
from tests.fake_server import error
from tests.fake_target import FakeTarget
from tests.operations.conftest import ECHO

VERSION_2 = ECHO + 'version = "2.0"\n'
OTHER = "def handle(data, context):\n    return [1]\n"


@pytest.fixture
async def served(rig):
    """A server that serves echo 1.0, which has answered its sample."""
    await rig.up()
    rig.write("handler.py", OTHER)
    return rig


def changes(rig) -> list[str]:
    return [call for call in rig.server.calls if call.startswith(("POST", "PUT", "DELETE"))]


def refuse(_: httpx.Request) -> httpx.Response:
    return error(503, "InternalServerException", "Prediction failed")


async def test_another_version_is_proven_beside_the_old_one(served):
    served.settings(VERSION_2)
    await served.up()
    assert changes(served) == [
        "POST /models",
        "POST /predictions/echo/2.0",
        "PUT /models/echo/2.0/set-default",
        "DELETE /models/echo/1.0",
    ]
    loaded = load_record(served.project).models["echo"]
    answer = served.one(Predicted)
    assert (answer.version, answer.archive_sha256) == ("2.0", loaded.sha256) == (loaded.version, loaded.sha256)


async def test_another_version_that_fails_its_sample_leaves_the_old_one_alone(served):
    before = load_record(served.project)
    served.settings(VERSION_2)
    served.server.replies["POST /predictions/echo/2.0"] = refuse
    await served.fail(Up(), InferenceError)
    assert changes(served) == ["POST /models", "POST /predictions/echo/2.0", "DELETE /models/echo/2.0"]
    assert served.one(WarningRaised).text == "echo 1.0 is still served"
    assert load_record(served.project) == before


async def test_another_version_that_does_not_start_leaves_the_old_one_alone(served):
    served.settings(VERSION_2)
    served.server.broken["echo"] = "KeyError: 'threshold'"
    await served.fail(Up(), ServerError, "KeyError: 'threshold', handler.py:2 in initialize")
    assert list(served.server.models["echo"]) == ["1.0"]


async def test_another_version_that_cannot_become_the_default_goes(served):
    before = load_record(served.project)
    served.settings(VERSION_2)
    served.server.replies["PUT /models/echo/2.0/set-default"] = lambda _: error(500, "InternalServerException", "no")
    await served.fail(Up(), ServerError)
    assert list(served.server.models["echo"]) == ["1.0"]
    assert load_record(served.project) == before


async def test_an_interruption_while_it_becomes_the_default_ends_the_old_one(served):
    served.settings(VERSION_2)
    begun = asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        del served.server.replies["PUT /models/echo/2.0/set-default"]
        begun.set()
        await asyncio.sleep(0.01)
        return await served.server.transport.handle_async_request(request)

    served.server.replies["PUT /models/echo/2.0/set-default"] = slow
    running = asyncio.ensure_future(served.run(Up()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(served.server.models["echo"]) == ["2.0"]
    assert load_record(served.project).models["echo"].version == "2.0"


async def test_where_memory_is_known_to_be_short_the_old_version_goes_first(served):
    served.settings(VERSION_2)
    served.target.now = Vitals(memory_bytes=1, cpu_seconds=0, available_bytes=100)
    await served.up()
    assert changes(served) == ["DELETE /models/echo/1.0", "POST /models", "POST /predictions/echo"]


async def test_where_memory_turns_out_to_be_short_too(served):
    def full(_: httpx.Request) -> httpx.Response:
        del served.server.replies["POST /models"]
        return error(507, "InternalServerException", "Out of resources")

    served.settings(VERSION_2)
    served.server.replies["POST /models"] = full
    await served.up()
    assert list(served.server.models["echo"]) == ["2.0"]
    assert any("the old one goes first" in event.text for event in served.all(WarningRaised))


async def test_the_same_version_that_fails_its_sample_makes_way_for_the_last_good_archive(served):
    before = load_record(served.project)

    def once(request: httpx.Request) -> httpx.Response:
        return refuse(request) if served.server.named("echo").file == "echo.mar" else httpx.Response(200, json=1)

    served.server.replies["POST /predictions/echo"] = once
    await served.fail(Up(), InferenceError)
    assert changes(served) == [
        "DELETE /models/echo/1.0",
        "POST /models",
        "POST /predictions/echo",
        "DELETE /models/echo/1.0",
        "POST /models",
    ]
    assert load_record(served.project) == before
    assert "last good archive again" in served.one(WarningRaised).text
    # It lay in the store for as long as it was loaded.
    assert [file.name for file in served.project.primary_store.iterdir()] == ["echo.mar"]


async def test_one_that_was_never_good_does_not_come_back(rig):
    """Or a sample that nothing answers would keep every change out."""
    rig.server.replies["POST /predictions/echo"] = refuse
    await rig.fail(Up(), InferenceError)
    rig.write("handler.py", OTHER)
    await rig.fail(Up(), InferenceError)
    assert changes(rig) == ["DELETE /models/echo/1.0", "POST /models", "POST /predictions/echo"]


async def test_an_archive_that_was_changed_since_is_not_loaded(served):
    sha256 = load_record(served.project).models["echo"].sha256
    file = served.project.state_dir / "archives/echo" / f"{sha256}.mar"
    file.unlink()
    file.write_bytes(b"another")
    served.server.broken["echo"] = "KeyError: 'threshold'"
    await served.fail(Up(), ServerError, "KeyError")
    assert "does not load again either" in served.one(WarningRaised).text
    assert load_record(served.project).models["echo"].sha256 == ""


async def test_an_interruption_while_it_is_refused_as_the_default_leaves_the_old_one(served):
    served.settings(VERSION_2)
    begun = asyncio.Event()

    async def refused(_: httpx.Request) -> httpx.Response:
        begun.set()
        await asyncio.sleep(0.01)
        return error(500, "InternalServerException", "no")

    served.server.replies["PUT /models/echo/2.0/set-default"] = refused
    running = asyncio.ensure_future(served.run(Up()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(served.server.models["echo"]) == ["1.0"]


async def test_a_version_that_somebody_registered_by_hand_stays(served):
    served.server.register("echo", "1.5")
    served.settings(VERSION_2)
    await served.up()
    assert set(served.server.models["echo"]) == {"1.5", "2.0"}
    assert served.server.defaults["echo"] == "2.0"
    assert "echo 1.5, registered by hand, is served too" in [event.text for event in served.all(WarningRaised)]


async def test_it_stays_where_the_same_version_is_loaded_in_place(served):
    """And ours, which has to go for a moment, is the default again."""
    served.server.register("echo", "1.5")
    await served.up()
    assert set(served.server.models["echo"]) == {"1.0", "1.5"}
    assert served.server.defaults["echo"] == "1.0"
    assert "POST /predictions/echo/1.0" in changes(served)


async def test_it_stays_where_the_same_version_makes_way_for_the_last_good_archive(served):
    served.server.register("echo", "1.5")
    served.server.replies["POST /predictions/echo/1.0"] = refuse
    before = load_record(served.project)
    await served.fail(Up(), InferenceError)
    assert set(served.server.models["echo"]) == {"1.0", "1.5"}
    assert served.server.defaults["echo"] == "1.0"
    assert load_record(served.project) == before


async def test_a_command_that_was_killed_while_nothing_was_loaded_is_made_up_for(served):
    """Between the end of the old one and the start of the new one: the record tells what should be there."""
    record = load_record(served.project)
    wanted = msgspec.structs.replace(record.models["echo"], sha256="")
    save_record(served.project, with_model(record, "echo", wanted))
    served.server.models.clear()
    served.server.defaults.clear()
    await served.up()
    assert list(served.server.models["echo"]) == ["1.0"]
    archive = served.project.primary_store / "echo.mar"
    assert load_record(served.project).models["echo"].sha256 == sha256_of(archive)


async def test_a_bug_of_ours_leaves_no_server_that_was_not_proven(rig, monkeypatch):
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("asteria_tui.operations.up.show_keys", broken)
    with pytest.raises(ZeroDivisionError):
        await rig.run(Up())
    assert not rig.server.is_running
    assert rig.state.server.state == "stopped"


async def test_an_interruption_is_raised_also_when_the_work_fails():
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        raise ServerError("no")

    running = asyncio.ensure_future(uninterrupted(work()))
    await begun.wait()
    running.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError) as raised:
        await running
    assert isinstance(raised.value.__cause__, ServerError)


@pytest.mark.parametrize("toml", [ECHO, VERSION_2], ids=["in place", "beside"])
async def test_an_interruption_leaves_what_was_served(served, toml):
    before = load_record(served.project)
    served.settings(toml)
    begun = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        del served.server.replies["POST /models"]
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    served.server.replies["POST /models"] = never
    running = asyncio.ensure_future(served.run(Up()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert load_record(served.project) == before
    assert served.server.named("echo").version == "1.0"


async def test_of_several_only_what_failed_comes_back(rig):
    rig.settings(ECHO + '[models.other]\nhandler = "other.py"\n')
    rig.write("other.py", OTHER)
    await rig.up()
    before = load_record(rig.project).models
    rig.write("handler.py", OTHER)
    rig.write("other.py", OTHER + "\n")
    rig.server.broken["other"] = "KeyError: 'threshold'"
    await rig.fail(Up(), ServerError, "KeyError")
    after = load_record(rig.project).models
    assert (after["other"], after["echo"].sha256 != before["echo"].sha256) == (before["other"], True)


@pytest.fixture
def former(served, monkeypatch) -> FakeTarget:
    """What the server of before is started again on."""
    target = FakeTarget(served.project, served.server)

    def opened(project, name):
        target.project = project
        return target

    monkeypatch.setattr("asteria_tui.operations.start.open_target", opened)
    return target


async def test_a_new_server_whose_model_does_not_start_makes_way_for_the_old_one(served, former):
    before = load_record(served.project)
    served.server.broken["echo"] = "KeyError: 'threshold'"
    await served.fail(Restart(), ServerError, "KeyError: 'threshold', handler.py:2 in initialize")
    assert former.calls == ["start"]
    assert "was started again, with its own settings: KeyError" in served.one(WarningRaised).text
    again = load_record(served.project)
    assert (again.settings, again.fingerprint, again.models) == (before.settings, before.fingerprint, before.models)
    assert served.state.server.state == "running"


async def test_so_does_one_whose_sample_fails(served, former):
    served.settings(ECHO + "[server]\ntoken_expiration_minutes = 5\n")
    served.server.replies["POST /predictions/echo"] = refuse
    await served.fail(Up(), InferenceError)
    assert former.calls == ["start"]
    assert load_record(served.project).settings.server.token_expiration_minutes == 60


async def test_a_restart_that_is_interrupted_too(served, former):
    served.target.begun.clear()
    served.target.may_start.clear()
    running = asyncio.ensure_future(served.run(Restart()))
    await served.target.begun.wait()
    for _ in range(10):  # until it has stopped the old one
        await asyncio.sleep(0)
    assert not served.server.is_running
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert former.calls == ["start"]
    assert served.server.is_running


async def test_one_that_is_interrupted_again_while_the_old_one_starts_is_stopped(served, former):
    former.may_start.clear()
    before = Former(target=former, record=load_record(served.project))
    served.server.stop()
    running = asyncio.ensure_future(start_again(served.context, before, "no memory"))
    await former.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert served.state.server.state == "stopped"


async def test_an_old_server_that_does_not_start_either_is_said_to_be_gone(served, former):
    former.fails["start"] = ServerError("no memory")
    served.server.broken["echo"] = "KeyError: 'threshold'"
    await served.fail(Restart(), ServerError, "KeyError")
    assert served.one(WarningRaised).text == "the previous server does not start again either: no memory"
    assert served.state.server.state == "stopped"


async def test_a_model_that_was_added_while_the_old_server_ran_is_served_again_too(served, former):
    served.settings(ECHO + '[models.other]\nhandler = "other.py"\n')
    served.write("other.py", OTHER)
    await served.up()
    before = load_record(served.project).models
    served.server.broken["other"] = "KeyError: 'threshold'"
    served.server.good.clear()
    served.server.good.add(before["echo"].sha256)
    served.server.stop()
    await start_again(served.context, Former(target=former, record=load_record(served.project)), "no memory")
    assert load_record(served.project).models == before
    assert before.keys() == {"echo", "other"}
    not_ready, again = served.all(WarningRaised)[-2:]
    assert not_ready.text.startswith("other of the previous server is not ready: KeyError")
    assert again.text.startswith("the previous server was started again")
    assert served.state.server.state == "running"


async def test_requests_are_waited_for_a_bounded_time(served, monkeypatch):
    monkeypatch.setattr(drain, "MAX_DRAIN", 0.2)
    served.server.named("echo").pending = 3
    await served.up()
    assert "requests to echo 1.0 were still worked on" in served.one(WarningRaised).text


async def test_a_restart_waits_for_requests_too(served, monkeypatch):
    monkeypatch.setattr(drain, "MAX_DRAIN", 0.2)
    served.server.named("echo").pending = 3
    await served.run(Restart())
    assert "requests to echo 1.0 were still worked on" in served.one(WarningRaised).text


async def test_requests_that_go_on_coming_are_told_from_those_that_were_there(served, monkeypatch):
    monkeypatch.setattr(drain, "MAX_WAIT_FOR_GAP", 0.2)
    model = served.server.named("echo")
    thread = "W-9000-echo_1.0"

    def describe(_: httpx.Request) -> httpx.Response:
        served.server.log(thread, "org.pytorch.serve.wlm.WorkerThread", "Backend response time: 9")
        served.server.log(thread, "org.pytorch.serve.wlm.WorkerThread", "Flushing req.cmd PREDICT repeats 1 to backend")
        return httpx.Response(200, json=[model.described()])

    served.server.replies["GET /models/echo/all"] = describe
    await served.up()
    assert "go on coming" in served.one(WarningRaised).text
    assert "version in asteria.toml" in served.one(WarningRaised).hint


@pytest.mark.parametrize("operation", [Up(), Restart()], ids=["up", "restart"])
async def test_a_request_that_waits_for_its_batch_is_waited_for_and_not_told_as_new_ones(
    served, operation, monkeypatch
):
    monkeypatch.setattr(drain, "MAX_WAIT_FOR_GAP", 0.0)
    model = served.server.named("echo")
    model.parameters |= {"batch_size": "2", "max_batch_delay": "400"}
    served.server.log("pool-3-thread-1", "TS_METRICS", "ts_inference_requests_total.Count:1.0|#model_name:echo,x:y|")
    await served.run(operation)
    assert not served.all(WarningRaised)


async def test_what_has_proven_itself_is_kept(served):
    sha256 = load_record(served.project).models["echo"].sha256
    assert kept.is_kept(served.project, "echo", sha256)
