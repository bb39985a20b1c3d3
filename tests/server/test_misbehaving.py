"""A server that is none, or one that was made to hurt: each of its answers is an error of ours, soon and small."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from asteria_tui.errors import AsteriaError, ConfigError, InferenceError, ServerError, TokenError
from asteria_tui.server import client as client_module
from asteria_tui.server.client import Client
from asteria_tui.server.keys import KeyRing
from asteria_tui.server.schema import BadAnswerError

TOKEN = "s3cret-t0ken"
KEYS = json.dumps({name: {"key": TOKEN} for name in ("inference", "management", "API")}).encode()


async def flood(writer: asyncio.StreamWriter, head: bytes, part: bytes, pause: float = 0.0) -> None:
    writer.write(head)
    while True:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def serving(answer: bytes | Callable[[asyncio.StreamWriter, bytes], object]) -> AsyncIterator[Client]:
    """A client of a server on loopback that answers each request so."""

    answering: list[asyncio.Task[None]] = []

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer, head)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()

    async def read_keys() -> tuple[bytes, float]:
        return KEYS, time.time()

    server = await asyncio.start_server(answer_one, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ring = KeyRing(read_keys, written_after=0.0, lock_file=Path("nowhere/keys.lock"))
    try:
        async with Client(address, address, ring) as client:
            yield client
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering)
        await asyncio.sleep(0)


def of_a_model(**values: object) -> bytes:
    return http(json.dumps([{"modelName": "m", "modelVersion": "1.0"} | values]).encode())


BAD_LISTS = {
    "null": b'{"models": null}',
    "a list": b"[]",
    "an object": b'{"models": {}}',
    "no name": b'{"models": [{}]}',
    "a number for a name": b'{"models": [{"modelName": 7}]}',
    "nothing": b"",
    "null alone": b"null",
    "text": b"hello",
    "bytes": b"\xff\xfe",
    "too deep": b"[" * 100_000,
    "deep": b'{"models": ' + b"[" * 900 + b"]" * 900 + b"}",
    "digits": b'{"models": [], "nextPageToken": ' + b"1" * 5_000 + b"}",
    "a long name": json.dumps({"models": [{"modelName": "m" * 10_000}]}).encode(),
}


@pytest.mark.parametrize("body", BAD_LISTS.values(), ids=BAD_LISTS)
async def test_a_list_of_models_that_is_none(body):
    async with serving(http(body)) as client:
        with pytest.raises(BadAnswerError, match="not one of TorchServe") as raised:
            await client.models()
    assert len(raised.value.detail) < 500


BAD_DESCRIPTIONS = {
    "an object": http(b"{}"),
    "nobody": http(b"[]"),
    "a number": http(b"[7]"),
    "workers": of_a_model(workers=None),
    "a worker": of_a_model(workers=[7]),
    "a pid": of_a_model(workers=[{"id": "9000", "status": "READY", "pid": 10**30}]),
    "a queue": of_a_model(jobQueueStatus=[]),
    "a version": of_a_model(modelVersion=None),
}


@pytest.mark.parametrize("answer", BAD_DESCRIPTIONS.values(), ids=BAD_DESCRIPTIONS)
async def test_a_description_that_is_none(answer):
    async with serving(answer) as client:
        with pytest.raises(BadAnswerError):
            await client.describe("m")
    async with serving(http(b"{}")) as client:
        for ask in (client.describe_raw, client.default_version):
            with pytest.raises(BadAnswerError):
                await ask("m")


async def test_what_is_not_read_may_be_anything():
    async with serving(of_a_model(gpu=None, jobQueueStatus=None, more={"a": [1]})) as client:
        [model] = await client.describe("m")
    assert (model.name, model.version, model.workers) == ("m", "1.0", ())


async def test_a_page_token_that_repeats_and_one_that_never_ends():
    same = json.dumps({"models": [{"modelName": "m"}], "nextPageToken": "1"}).encode()
    numbers = iter(range(10_000))

    async def other(writer: asyncio.StreamWriter, _: bytes) -> None:
        writer.write(http(json.dumps({"models": [], "nextPageToken": str(next(numbers))}).encode()))
        await writer.drain()

    for answer in (http(same), other):
        async with serving(answer) as client:
            with pytest.raises(BadAnswerError, match="does not end"):
                await client.models()
    assert next(numbers) < 200


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "one byte at a time": (CHUNKED, b"1\r\n \r\n", 0.01),
    "nothing but 1xx": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.0),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"", 0.01),
    "nothing": (b"", b"", 0.01),
}


@pytest.mark.parametrize(("head", "part", "pause"), SLOW.values(), ids=SLOW)
async def test_a_prediction_has_a_total_deadline(head, part, pause):
    async with serving(lambda writer, _: flood(writer, head, part, pause)) as client:
        begun = time.monotonic()
        with pytest.raises(InferenceError, match=r"no answer within 0 s|the answer did not end within 0 s"):
            await client.predict("m", b"1", "application/json", timeout=0.3)
        assert time.monotonic() - begun < 3


async def test_a_management_call_has_one_too(monkeypatch):
    monkeypatch.setattr(client_module, "CALL_TIMEOUT", 0.3)
    monkeypatch.setattr(client_module, "MODELS_TIMEOUT", 0.3)
    async with serving(lambda writer, _: flood(writer, CHUNKED, b"1\r\n \r\n", 0.01)) as client:
        with pytest.raises(ServerError, match=r"not all described within|no answer within"):
            await client.models()


async def test_a_body_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(client_module, "MAX_BODY", 4 * 2**20)
    monkeypatch.setattr(client_module, "MAX_MANAGEMENT_BODY", 4 * 2**20)
    chunk = b"%x\r\n%b\r\n" % (2**16, bytes(2**16))
    async with serving(lambda writer, _: flood(writer, CHUNKED, chunk)) as client:
        tracemalloc.start()
        with pytest.raises(InferenceError, match="larger than 4 MiB"):
            await client.predict("m", b"1", "application/json", timeout=30)
        with pytest.raises(ServerError, match="larger than 4 MiB"):
            await client.describe("m")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 32 * 2**20
    bomb = http(gzip.compress(bytes(50 * 2**20)), "200 OK", "Content-Encoding: gzip")
    async with serving(bomb) as client:
        with pytest.raises(InferenceError, match="larger than 4 MiB"):
            await client.predict("m", b"1", "application/json", timeout=30)


NO_ANSWERS = {
    "bad gzip": http(b"no gzip", "200 OK", "Content-Encoding: gzip"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a bad header": b"HTTP/1.1 200 OK\r\nX-Secret\x00: hunter2\r\n\r\n",
    "a large header": b"HTTP/1.1 200 OK\r\nX-Secret: " + b"hunter2" * 100_000,
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a bad chunk": CHUNKED + b"hunter2\r\n",
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_what_is_no_answer_is_said_without_quoting_it(answer):
    async with serving(answer) as client:
        for ask in (client.models(), client.predict("m", b"1", "application/json", timeout=10)):
            with pytest.raises(ServerError) as raised:
                await ask
            told = f"{raised.value.title} {raised.value.detail} {raised.value.hint}"
            assert "hunter2" not in told
            assert TOKEN not in told


async def test_an_error_that_repeats_the_token_does_not_show_it():
    async def repeat(writer: asyncio.StreamWriter, head: bytes) -> None:
        body = json.dumps({"code": 400, "type": "X", "message": head.decode()}).encode()
        writer.write(http(body, "400 Bad Request"))
        await writer.drain()

    async with serving(repeat) as client:
        answer = await client.predict("m", b"1", "application/json", timeout=10)
        assert "authorization" in answer.message.lower()
        assert TOKEN not in answer.message
        with pytest.raises(AsteriaError) as raised:
            await client.describe("m")
    assert TOKEN not in raised.value.detail


async def test_no_redirect_is_followed_with_a_token():
    asked = []

    async def elsewhere(writer: asyncio.StreamWriter, head: bytes) -> None:
        asked.append(head)
        writer.write(http(b"", "302 Found", "Location: /models/other"))
        await writer.drain()

    async with serving(elsewhere) as client:
        with pytest.raises(ServerError, match="302"):
            await client.describe("m")
        assert (await client.predict("m", b"1", "application/json", timeout=10)).status == 302
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "\udc80", "\x1b[31m"])
async def test_a_name_that_would_be_another_path(name):
    async with serving(http(b"[]")) as client:
        for ask in (client.describe(name), client.unregister("m", name), client.predict(name, b"", "a/b", timeout=1)):
            if name == "" and ask.__name__ == "unregister":
                ask.close()
                continue
            with pytest.raises(ConfigError, match="names no model"):
                await ask


@pytest.mark.parametrize("key", ["", " ", "a b", "a\r\nX: y", "ä", "\x00", "x" * 100_000])
async def test_a_key_that_no_request_could_carry_is_not_quoted(key):
    async def read() -> tuple[bytes, float]:
        return json.dumps({"inference": {"key": key}}).encode(), 1.0

    ring = KeyRing(read, written_after=0.0, lock_file=Path("nowhere/keys.lock"))
    with pytest.raises(TokenError, match="not a valid token") as raised:
        await ring.keys()
    assert raised.value.detail == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["models", "modelName", "modelVersion", "workers", "id", "status", "pid", "nextPageToken"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@seed(11)
@settings(max_examples=60)
@given(VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_answer_is_one_or_an_error_of_ours(body):
    async def ask() -> None:
        async with serving(http(body)) as client:
            for call in (client.models(), client.describe("m"), client.describe_raw("m"), client.default_version("m")):
                with contextlib.suppress(ServerError):
                    await call
            assert (await client.predict("m", b"1", "a/b", timeout=10)).status == 200

    asyncio.run(ask())
