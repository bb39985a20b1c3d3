"""The HTTP client of one TorchServe: management and inference, each call with its token and its timeout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from asteria_tui.bounds import MIB
from asteria_tui.errors import InferenceError, ServerError, TokenError
from asteria_tui.events import Key, KeyKind, Model, Worker
from asteria_tui.inference.content import parsed
from asteria_tui.inference.path import model_path, prediction_path
from asteria_tui.inference.request import Request
from asteria_tui.server.answers import Answer, BrokenAnswerError, error_of
from asteria_tui.server.keys import KeyRing
from asteria_tui.server.schema import (
    BadAnswerError,
    Description,
    Descriptions,
    ModelPage,
    RawDescriptions,
    WorkerDescription,
    typed,
)

if TYPE_CHECKING:
    import httpx

CALL_TIMEOUT = 15.0
"""Seconds, for management calls that start no worker."""
MODELS_TIMEOUT = 60.0
"""Seconds for the descriptions of all models, which are asked for one by one."""
PAGE_SIZE = 100
"""TorchServe's own limit of a page (docs/torchserve.md section 2)."""
MAX_PAGES = 100
MAX_MANAGEMENT_BODY = 16 * MIB
MAX_BODY = 256 * MIB
"""Bytes of an answer to a prediction; TorchServe sends 6.5 MB unless `max_response_size` says otherwise."""
SOURCES_HEADER = "x-asteria-sources"
"""Of the loader of a dev archive (`dev/loader/worker.py`)."""
MAX_HEADER = 200
"""Characters that are kept of a header's value."""
# Never the error's own text: it quotes the header that it is about.
_REASONS = {
    "RemoteProtocolError": "it broke off, or what it sent is no HTTP",
    "LocalProtocolError": "the request cannot be sent as HTTP",
    "DecodingError": "the body is not compressed in the way that its header says",
    "UnsupportedProtocol": "the address is not one of HTTP",
}


Receive = Callable[[bytes], None]


class Client:
    """`async with Client(…) as client`; raises the errors of `answers`, ServerError where nobody answers."""

    def __init__(
        self, inference: str, management: str, keys: KeyRing | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`keys` is None for a server without token authorization; `transport` is how it is reached, if not by TCP."""
        self.inference = inference
        self.management = management
        self.keys = keys
        self._transport = transport
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def models(self) -> list[Model]:
        """Every registered version of every model, workers included."""
        try:
            async with asyncio.timeout(MODELS_TIMEOUT):
                return [model for name in await self._names() for model in await self._described(name)]
        except TimeoutError:
            raise ServerError(f"the models were not all described within {MODELS_TIMEOUT:.0f} s") from None

    async def _names(self) -> dict[str, None]:
        names: dict[str, None] = {}
        parameters: dict[str, str | int] = {"limit": PAGE_SIZE}
        for _ in range(MAX_PAGES):
            page = typed(await self._manage("GET", "/models", parameters), ModelPage, "GET /models")
            names |= dict.fromkeys(model.model_name for model in page.models)
            if page.next_page_token is None:
                return names
            if page.next_page_token == parameters.get("next_page_token"):
                break
            parameters["next_page_token"] = page.next_page_token
        raise BadAnswerError("the server's list of models does not end", detail=f"{len(names)} models were named")

    async def _described(self, name: str) -> list[Model]:
        try:
            return await self.describe(name)
        except BadAnswerError:
            raise
        except ServerError:  # whoever is unregistered between the two calls is no news
            return []

    async def describe(self, name: str, version: str = "all") -> list[Model]:
        """All versions of a model, or one; raises ServerError for an unknown one."""
        answer, asked = await self._describe(name, version)
        return [_model(item) for item in typed(answer, Descriptions, asked)]

    async def _describe(self, name: str, version: str, parameters: Mapping[str, str] = {}) -> tuple[Answer, str]:
        path = _path(name, version)
        return await self._manage("GET", path, parameters), f"GET {path}"

    async def describe_raw(self, name: str, version: str = "all", *, customized: bool = False) -> list[dict[str, Any]]:
        """As TorchServe tells it; `customized` asks the handler for its own description too."""
        parameters = {"customized": "true"} if customized else {}
        answer, asked = await self._describe(name, version, parameters)
        return typed(answer, RawDescriptions, asked)

    async def default_version(self, name: str) -> str:
        """The version that a request without one goes to; raises ServerError for an unknown model."""
        path = _path(name)
        return typed(await self._manage("GET", path), Descriptions, f"GET {path}")[0].model_version

    async def register(self, file: str, name: str | None, parameters: Mapping[str, int], timeout: float) -> Answer:
        """Loads an archive of the store and waits for its workers; never with a body (docs/torchserve.md section 2)."""
        query: dict[str, str | int] = {"url": file, "synchronous": "true", **parameters}
        if name is not None:
            query["model_name"] = name
        return await self._manage("POST", "/models", query, timeout)

    async def unregister(self, name: str, version: str | None = None) -> Answer:
        return await self._manage("DELETE", _path(name, version), timeout=120)

    async def scale(self, name: str, workers: int, version: str | None = None, timeout: float = 150) -> Answer:
        """Waits until that many workers are there."""
        query: dict[str, str | int] = {"min_worker": workers, "max_worker": workers, "synchronous": "true"}
        return await self._manage("PUT", _path(name, version), query, timeout)

    async def set_default(self, name: str, version: str) -> Answer:
        return await self._manage("PUT", f"{_path(name, version)}/set-default")

    async def predict(
        self,
        name: str,
        body: bytes,
        content_type: str | None,
        timeout: float,
        version: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> Answer:
        """The plain one of `infer`."""
        path = prediction_path(name, version)
        return await self.infer(Request(path=path, body=body, content_type=content_type, headers=headers), timeout)

    async def infer(self, request: Request, timeout: float, receive: Receive | None = None) -> Answer:
        """One inference, whatever its status; `receive` gets the body of a good one as it comes.

        Raises InferenceError on a timeout, BrokenAnswerError, TokenError, ServerError.
        """
        headers = dict(request.headers)
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        return await self._call(
            "inference", "POST", request.path, {}, timeout, content=request.body, headers=headers, receive=receive
        )

    async def renew(self, kind: KeyKind) -> dict[KeyKind, Key]:
        """A new token of that kind through the API key; the old one is dead at once; raises TokenError."""
        if self.keys is None:
            raise TokenError("this server runs without token authorization")
        async with self.keys.renewing():
            return await self._renew(self.keys, kind)

    async def _renew(self, ring: KeyRing, kind: KeyKind) -> dict[KeyKind, Key]:
        api = await ring.token("api")
        answer = await self._send(self.management, "GET", "/token", {"type": kind}, CALL_TIMEOUT, api)
        if not answer.is_good:
            raise error_of(answer, f"GET /token?type={kind}")
        # The answer is empty: the new token stands in the file (docs/torchserve.md section 1, "Rotation").
        return await ring.keys()

    async def _manage(
        self, method: str, path: str, query: Mapping[str, str | int] = {}, timeout: float = CALL_TIMEOUT
    ) -> Answer:
        answer = await self._call("management", method, path, query, timeout)
        if not answer.is_good:
            raise error_of(answer, f"{method} {path}")
        return answer

    async def _call(
        self,
        kind: KeyKind,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        timeout: float,
        **request: Any,
    ) -> Answer:
        """Once; and once more with a better token when the first was refused."""
        base = self.inference if kind == "inference" else self.management
        if self.keys is None:
            return await self._send(base, method, path, query, timeout, None, **request)
        key = await self.keys.token(kind)
        if self.keys.is_due(key):
            key = await self._better_key(self.keys, key)
        answer = await self._send(base, method, path, query, timeout, key, **request)
        if answer.type != "InvalidKeyException":
            return answer
        key = await self._better_key(self.keys, key)
        answer = await self._send(base, method, path, query, timeout, key, **request)
        if answer.type == "InvalidKeyException":
            raise error_of(answer, f"{method} {path}")
        return answer

    async def _better_key(self, ring: KeyRing, refused: Key) -> Key:
        """Somebody else's renewal stands in the file; otherwise renew it ourselves."""
        async with ring.renewing():
            in_file = (await ring.keys()).get(refused.kind, refused)
            if in_file.token != refused.token and not ring.is_due(in_file):
                return in_file
            return (await self._renew(ring, refused.kind)).get(refused.kind, refused)

    async def _send(
        self,
        base: str,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        timeout: float,
        key: Key | None,
        receive: Receive | None = None,
        **request: Any,
    ) -> Answer:
        """One request, to its end within `timeout` seconds, however slowly the answer comes."""
        httpx = _httpx()
        if self._http is None:
            # Only loopback addresses: a proxy or a certificate store has no part in it.
            self._http = httpx.AsyncClient(trust_env=False, verify=False, transport=self._transport)
        # Management calls have no body (docs/torchserve.md section 2).
        asked, is_prediction = f"{method} {path}", "content" in request
        failure = InferenceError if is_prediction else ServerError
        limit = MAX_BODY if is_prediction else MAX_MANAGEMENT_BODY
        headers = request.pop("headers", {}) | ({"Authorization": f"Bearer {key.token}"} if key else {})
        body = bytearray()
        response: Any = None
        begun = time.perf_counter()

        def broken(title: str) -> BrokenAnswerError | None:
            """Where a good answer has begun: what came of it is not lost."""
            if not body or response is None or not response.is_success:
                return None
            partial = _answer(response, bytes(body), (time.perf_counter() - begun) * 1000, key)
            return BrokenAnswerError(title, detail=f"{asked}: {len(body):,} bytes had come", answer=partial)

        try:
            async with (
                asyncio.timeout(timeout),
                self._http.stream(
                    method, base + path, params=dict(query), timeout=timeout, headers=headers, **request
                ) as response,
            ):
                is_whole = await _read(response, body, limit, receive if response.is_success else None)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise broken(f"the answer did not end within {timeout:.0f} s") or failure(
                f"no answer within {timeout:.0f} s",
                detail=asked,
                hint="`asteria-tui status` shows whether a worker is ready and how many requests wait",
            ) from error
        except httpx.ConnectError as error:
            raise ServerError(
                f"nobody answers at {base}", detail=str(error), hint="`asteria-tui up` starts the server"
            ) from error
        except (httpx.RequestError, httpx.InvalidURL) as error:
            reason = _REASONS.get(type(error).__name__, type(error).__name__)
            raise broken("the server ended the connection in the middle of the answer") or ServerError(
                "the server ended the connection without an answer",
                detail=f"{asked}: {reason}",
                hint="`asteria-tui status` shows whether it still runs",
            ) from error
        if not is_whole:
            raise failure(f"the answer is larger than {limit // MIB} MiB", detail=asked)
        return _answer(response, bytes(body), (time.perf_counter() - begun) * 1000, key)


def _httpx() -> ModuleType:
    """Imported here, for the commands that talk to a server; without its own command line, which is half its cost."""
    import sys

    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its import fails, which httpx expects
    import httpx

    return httpx


async def _read(response: httpx.Response, body: bytearray, limit: int, receive: Receive | None) -> bool:
    """Adds to the body what comes; False for one that is larger than `limit`."""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            return False
        if receive is not None:
            receive(chunk)
    return True


def _answer(response: httpx.Response, content: bytes, milliseconds: float, key: Key | None) -> Answer:
    size = len(content)
    if key is not None and not response.is_success:
        # An error is shown and written down, also one that repeats what it was asked with.
        content = content.replace(key.token.encode(), "•".encode() * 8)
    return Answer(
        status=response.status_code,
        body=parsed(content),
        content=content,
        size=size,
        milliseconds=milliseconds,
        content_type=response.headers.get("content-type", "")[:MAX_HEADER],
        request_id=response.headers.get("x-request-id", "")[:MAX_HEADER],
        sources_sha256=response.headers.get(SOURCES_HEADER, "")[:MAX_HEADER],
    )


def _path(name: str, version: str | None = None) -> str:
    return model_path("/models", name, version)


def _model(item: Description) -> Model:
    queue = item.job_queue_status
    return Model(
        name=item.model_name,
        version=item.model_version,
        workers=tuple(map(_worker, item.workers)),
        min_workers=item.min_workers,
        max_workers=item.max_workers,
        batch_size=item.batch_size,
        max_batch_delay=item.max_batch_delay,
        pending_requests=queue.pending_requests if queue else 0,
        queue_capacity=queue.remaining_capacity if queue else None,
        archive=item.model_url,
    )


def _worker(item: WorkerDescription) -> Worker:
    return Worker(
        id=item.id,
        status=item.status,
        pid=item.pid if item.pid > 0 else None,
        memory_bytes=item.memory_usage or None,
    )
