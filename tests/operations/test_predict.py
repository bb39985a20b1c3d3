"""`predict`: what an answer says and belongs to, and why there is none."""

from __future__ import annotations

import asyncio
import hashlib
import json

import httpx
import msgspec
import pytest

from asteria_tui.errors import ConfigError, InferenceError, ServerError, TokenError
from asteria_tui.events import CommandRan, Predicted, StageFailed, StageFinished
from asteria_tui.inference.payload import Payload, read_payload
from asteria_tui.operations import ready
from asteria_tui.operations.predict import How, Predict
from asteria_tui.targets.record import load_record, save_record
from asteria_tui.targets.target import Vitals
from tests.fake_server import REFUSED, error
from tests.operations.conftest import ECHO

BYTES = b"\x89PNG\r\n\x1a\n\x00\xff"
PAYLOAD = Payload(name="first", content=b'{"a": 1}')
PREDICT = Predict(payload=PAYLOAD)
ASKED = "POST /predictions/echo"


@pytest.fixture
async def rig(rig):
    await rig.up()
    return rig


def answers(status, body, **headers):
    return lambda _: httpx.Response(status, content=json.dumps(body), headers=headers)


async def test_an_answer_names_what_it_belongs_to(rig):
    await rig.run(PREDICT)
    answer = rig.one(Predicted)
    loaded = load_record(rig.project).models["echo"]
    assert (answer.model, answer.version, answer.archive_sha256) == ("echo", "1.0", loaded.sha256)
    assert (answer.sample, answer.payload_sha256) == ("first", hashlib.sha256(PAYLOAD.content).hexdigest())
    assert (answer.status, answer.body, answer.request_id) == (200, {"echo": '{"a": 1}'}, "request-1")
    assert rig.one(StageFinished).summary == 'echo {"a": 1}'
    assert [ran.command for ran in rig.all(CommandRan)] == [
        "POST http://127.0.0.1:18080/predictions/echo (first)",
        "8 B, application/json: the handler gets the parsed JSON in data[0]['body']",
    ]


async def test_a_model_that_somebody_else_registered_has_no_known_archive(rig):
    rig.server.register("stranger")
    await rig.run(Predict(payload=PAYLOAD, model="stranger"))
    assert (rig.one(Predicted).version, rig.one(Predicted).archive_sha256) == ("", "")


async def test_without_a_server_nothing_is_sent(rig):
    rig.server.stop()
    failure = await rig.fail(PREDICT, ServerError, "no server of this project")
    assert "up" in failure.hint
    assert rig.events == []


async def test_a_handler_that_raised_is_reported_by_its_line(rig):
    def raises(_):
        rig.server.log_traceback(
            rig.server.named("echo"), "Invoking custom service failed.", "handle", "ValueError: no"
        )
        return error(503, "InternalServerException", "Prediction failed")

    rig.server.replies[ASKED] = raises
    failure = await rig.fail(PREDICT, InferenceError)
    assert failure.title == "ValueError: no, handler.py:2 in handle"
    assert failure.detail == "the handler raised an exception"
    assert rig.one(Predicted).cause == failure.cause == rig.one(StageFailed).cause
    assert failure.cause.phase == "inference"
    # The worker goes on with the code that it has loaded.
    assert failure.hint == "fix handler.py:2, then `asteria-tui up && asteria-tui predict first`"


async def test_a_cause_from_before_is_not_this_request_s(rig):
    rig.server.log_traceback(rig.server.named("echo"), "Invoking custom service failed.", "handle", "ValueError: no")
    rig.server.replies[ASKED] = lambda _: error(503, "InternalServerException", "Prediction failed")
    failure = await rig.fail(PREDICT, InferenceError, "the handler raised an exception")
    assert failure.cause is None


@pytest.mark.parametrize(
    ("status", "message", "title"),
    [
        (503, "Invalid model predict output", "must return a list"),
        (503, "number of batch response mismatched", "another number of items"),
        (503, "Unsupported model output data type.", "neither dict, list, str nor bytes"),
        (500, "Worker died.", "the worker ended"),
        (507, "Out of resources", "ran out of memory"),
    ],
)
async def test_what_torchserve_says_of_a_handler_in_words(rig, status, message, title):
    rig.server.replies[ASKED] = lambda _: error(status, "InternalServerException", message)
    failure = await rig.fail(PREDICT, InferenceError, title)
    assert failure.detail == f"{ASKED}: {status} {message}"


async def test_a_worker_that_was_killed_for_memory_is_reported_so(rig):
    def killed(_):
        rig.target.now = Vitals(
            memory_bytes=1, cpu_seconds=0, out_of_memory_at=load_record(rig.project).started_at + 60
        )
        return error(500, "InternalServerException", "Worker died.")

    rig.server.replies[ASKED] = killed
    failure = await rig.fail(PREDICT, InferenceError, "memory limit")
    assert failure.detail == "the worker ended while it worked on the request"


async def test_a_full_queue_and_no_worker_are_told_apart(rig):
    model = rig.server.named("echo")
    model.queue_capacity, model.pending = 0, 7
    failure = await rig.fail(PREDICT, InferenceError, "the queue of echo is full")
    assert failure.detail.startswith("7 requests wait")
    model.workers = 0
    model.queue_capacity = 100
    failure = await rig.fail(PREDICT, ServerError, "echo has no worker")
    assert "models scale echo 1" in failure.hint
    # What neither explains is reported as the server says it.
    model.workers = 1
    rig.server.replies[ASKED] = lambda _: error(503, "ServiceUnavailableException", "has no worker")
    await rig.fail(PREDICT, InferenceError, "the model gave no answer")


@pytest.mark.parametrize(
    ("body", "said"),
    [({"error": "9 numbers"}, "9 numbers"), ({"code": 422, "reason": "x"}, "reason"), ("plain", "plain")],
)
async def test_a_status_that_the_handler_chose_is_the_model_s_answer(rig, body, said):
    rig.server.replies[ASKED] = answers(422, body)
    failure = await rig.fail(PREDICT, InferenceError, "the model answered 422")
    assert said in failure.detail
    assert rig.one(Predicted).status == 422


async def test_a_body_that_is_too_large_is_refused_without_a_word(rig):
    rig.server.replies[ASKED] = lambda _: httpx.Response(413)
    failure = await rig.fail(PREDICT, InferenceError, "larger than the server takes")
    assert "max_request_size" in failure.hint


async def test_an_unknown_model(rig):
    await rig.fail(Predict(payload=PAYLOAD, model="ecco"), ServerError, "no such model")


async def test_a_token_that_was_renewed_elsewhere_is_taken_from_the_file(rig):
    rig.server.tokens["inference"] = "IIIIIII9"
    refused = iter([error(400, "InvalidKeyException", REFUSED)])
    usual = rig.server._usual
    rig.server.replies[ASKED] = lambda request: next(refused, None) or usual(request)
    await rig.run(PREDICT)
    assert rig.one(Predicted).status == 200


async def test_a_token_that_is_refused_is_renewed_once_and_then_believed(rig):
    rig.server.replies[ASKED] = lambda _: error(400, "InvalidKeyException", REFUSED)
    failure = await rig.fail(PREDICT, TokenError, "refused the token")
    assert rig.server.calls == [ASKED, "GET /token", ASKED]
    assert "restart" in failure.hint
    assert rig.all(Predicted) == []


def ends_soon(rig):
    """The server runs for so long that its tokens are about to expire."""
    record = load_record(rig.project)
    save_record(rig.project, msgspec.structs.replace(record, started_at=record.started_at - 3580))
    rig.server.tokens_written_at -= 3580
    rig.server.expires_at = rig.server.tokens_written_at + 3600
    rig.server.calls = []


async def test_a_token_that_is_about_to_expire_is_renewed_before(rig):
    ends_soon(rig)
    await rig.run(PREDICT)
    assert rig.server.calls == ["GET /token", ASKED]


async def test_a_missing_key_file_is_named(rig):
    rig.target.is_missing_keys = True
    await rig.fail(PREDICT, ServerError, "no key_file.json of its own yet")


async def test_no_answer_in_time(rig):
    def late(request):
        raise httpx.ReadTimeout("", request=request)

    rig.server.replies[ASKED] = late
    failure = await rig.fail(PREDICT, InferenceError, "no answer within 130 s")
    assert "status" in failure.hint


@pytest.mark.parametrize(
    ("broken", "title"),
    [
        (httpx.ConnectError("refused"), "nobody answers at http://127.0.0.1:18080"),
        (httpx.RemoteProtocolError("cut"), "ended the connection"),
    ],
)
async def test_a_connection_that_breaks(rig, broken, title):
    def cut(_):
        raise broken

    rig.server.replies[ASKED] = cut
    await rig.fail(PREDICT, ServerError, title)


class Held:
    """A request that is not answered until the test says so."""

    def __init__(self, rig, monkeypatch):
        monkeypatch.setattr(ready, "LOOK_EVERY", 0.01)
        self.arrived, self.may_answer = asyncio.Event(), asyncio.Event()
        rig.server.replies[ASKED] = self._reply
        self.is_cancelled = False

    async def _reply(self, _):
        self.arrived.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        return httpx.Response(200, json=1)


@pytest.fixture
def held(rig, monkeypatch):
    return Held(rig, monkeypatch)


async def test_a_slow_answer_is_waited_for_while_a_worker_is_ready(rig, held):
    asked = asyncio.Event()
    usual = rig.server._usual

    def describe(request):
        asked.set()
        return usual(request)

    rig.server.replies["GET /models/echo/all"] = describe
    running = asyncio.ensure_future(rig.run(PREDICT))
    await asked.wait()
    held.may_answer.set()
    await running
    assert rig.one(Predicted).body == 1


async def test_a_request_that_would_never_be_answered_is_given_up(rig, held):
    model = rig.server.named("echo")
    model.status = "UNLOADING"
    rig.server.broken["echo"] = "KeyError: 'threshold'"
    rig.server.fail_to_load(model)
    failure = await rig.fail(PREDICT, ServerError, "KeyError: 'threshold'")
    assert "would never be answered" in failure.detail
    assert held.is_cancelled


async def test_a_worker_that_only_starts_again_is_waited_for(rig, held):
    """What failed before it was last ready was fixed."""
    model = rig.server.named("echo")
    rig.server.broken["echo"] = "KeyError: 'threshold'"
    rig.server.fail_to_load(model)
    await asyncio.sleep(0.002)  # the log's clock counts milliseconds
    rig.server.log_ready(model)
    model.status = "UNLOADING"
    described = 0
    usual = rig.server._usual

    def describe(request):
        nonlocal described
        described += 1
        if described == 10:
            held.may_answer.set()
        return usual(request)

    rig.server.replies["GET /models/echo/all"] = describe
    await rig.run(PREDICT)
    assert rig.one(Predicted).status == 200


async def test_a_server_that_ends_meanwhile(rig, held):
    running = asyncio.ensure_future(rig.fail(PREDICT, ServerError, "ended while it worked"))
    await held.arrived.wait()
    rig.server.stop()
    failure = await running
    assert failure.detail == "the console's last words"
    assert held.is_cancelled


async def test_an_interruption_ends_the_request(rig, held):
    running = asyncio.ensure_future(rig.run(PREDICT))
    await held.arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert held.is_cancelled
    assert rig.one(StageFailed).title == "interrupted"


async def test_a_server_without_token_authorization_is_asked_without_a_key(rig):
    rig.settings(
        '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\n'
        '[server.properties]\ndisable_token_authorization = "true"\n'
    )
    rig.server.has_tokens = False
    rig.target.is_missing_keys = True
    await rig.up()
    await rig.run(PREDICT)
    assert rig.one(Predicted).status == 200


async def test_a_project_without_a_model_has_nothing_to_ask(rig):
    rig.settings("")
    await rig.fail(PREDICT, ConfigError)


async def test_two_at_once_renew_a_token_once(rig):
    """Each renewal ends the token before it: whoever comes second takes the first one's."""
    ends_soon(rig)
    await asyncio.gather(PREDICT.run(rig.context), PREDICT.run(rig.context))
    assert rig.server.calls.count("GET /token") == 1
    assert [answer.status for answer in rig.all(Predicted)[-2:]] == [200, 200]


async def test_bytes_are_told_as_bytes_and_kept_whole(rig, tmp_path):
    rig.server.replies[ASKED] = lambda _: httpx.Response(200, content=BYTES)
    chunks = []
    file = tmp_path / "out.png"
    await rig.run(Predict(payload=PAYLOAD, how=How(receive=chunks.append, save_as=file)))
    answer = rig.one(Predicted)
    assert (answer.body, answer.content, b"".join(chunks), file.read_bytes()) == (None, BYTES, BYTES, BYTES)
    assert rig.one(StageFinished).summary.startswith(f"saved {file}: PNG image, 10 B, 89 50")
    rig.server.replies[ASKED] = lambda _: httpx.Response(422, content=b"not \xff")
    failure = await rig.fail(Predict(payload=PAYLOAD, how=How(receive=chunks.append, save_as=file)), InferenceError)
    assert failure.detail == "not \ufffd"
    assert (b"".join(chunks), file.read_bytes()) == (BYTES, BYTES)


async def test_a_payload_without_a_type_is_sent_without_one(rig):
    headers = []

    def seen(request):
        headers.append({name for name, _ in request.headers.items()})
        return httpx.Response(200)

    rig.server.replies[ASKED] = seen
    rig.settings(f'{ECHO}content_type = ""\n')
    payload = read_payload(rig.project, "echo", None)
    await rig.run(Predict(payload=payload, how=How(headers={"X-One": "1"})))
    assert (payload.content_type, "content-type" in headers[0], "x-one" in headers[0]) == (None, False, True)


async def test_what_had_come_of_an_answer_is_kept_with_the_cause(rig):
    class Breaks(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"part 0\n"
            raise httpx.RemoteProtocolError("gone")

    def breaks(_):
        rig.server.log_traceback(
            rig.server.named("echo"), "Invoking custom service failed.", "handle", "ValueError: no"
        )
        return httpx.Response(200, stream=Breaks())

    rig.server.replies[ASKED] = breaks
    failure = await rig.fail(PREDICT, InferenceError)
    assert failure.title == "ValueError: no, handler.py:2 in handle"
    assert failure.detail == "the server ended the connection in the middle of the answer"
    assert (rig.one(Predicted).body, rig.one(Predicted).cause) == ("part 0\n", failure.cause)
