"""The HTTP client of one TorchServe: management and inference, each call with its token and its timeout."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from asteria_tui.errors import InferenceError, ServerError, TokenError
from asteria_tui.events import Key, KeyKind, Model, Worker
from asteria_tui.inference.path import model_path, prediction_path
from asteria_tui.server.answers import Answer, error_of
from asteria_tui.server.keys import KeyRing

if TYPE_CHECKING:
    import httpx

CALL_TIMEOUT = 15.0
"""Seconds, for management calls that start no worker."""
MAX_MODELS = 100
"""TorchServe's own limit of a page (docs/torchserve.md section 2)."""


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
        names: list[str] = []
        parameters: dict[str, str | int] = {"limit": MAX_MODELS}
        while True:
            page = (await self._manage("GET", "/models", parameters)).body
            names += [item["modelName"] for item in page["models"]]
            if "nextPageToken" not in page:
                break
            parameters["next_page_token"] = page["nextPageToken"]
        found = []
        for name in names:
            # Whoever is unregistered between the two calls is no news.
            with contextlib.suppress(ServerError):
                found += await self.describe(name)
        return found

    async def describe(self, name: str, version: str = "all") -> list[Model]:
        """All versions of a model, or one; raises ServerError for an unknown one."""
        return [_model(item) for item in await self.describe_raw(name, version)]

    async def describe_raw(self, name: str, version: str = "all", *, customized: bool = False) -> list[dict[str, Any]]:
        """As TorchServe tells it; `customized` asks the handler for its own description too."""
        parameters = {"customized": "true"} if customized else {}
        answer = await self._manage("GET", _path(name, version), parameters)
        return list(answer.body)

    async def default_version(self, name: str) -> str:
        """The version that a request without one goes to; raises ServerError for an unknown model."""
        return str((await self._manage("GET", _path(name))).body[0]["modelVersion"])

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
        self, name: str, body: bytes, content_type: str, timeout: float, version: str | None = None
    ) -> Answer:
        """One inference, whatever its status; raises InferenceError on a timeout, TokenError, ServerError."""
        path = prediction_path(name, version)
        headers = {"Content-Type": content_type}
        return await self._call("inference", "POST", path, {}, timeout, content=body, headers=headers)

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
        **request: Any,
    ) -> Answer:
        httpx = _httpx()
        if self._http is None:
            # Only loopback addresses: a proxy or a certificate store has no part in it.
            self._http = httpx.AsyncClient(trust_env=False, verify=False, transport=self._transport)
        headers = request.pop("headers", {}) | ({"Authorization": f"Bearer {key.token}"} if key else {})
        begun = time.perf_counter()
        try:
            response = await self._http.request(
                method, base + path, params=dict(query), timeout=timeout, headers=headers, **request
            )
        except httpx.TimeoutException as error:
            kind = InferenceError if path.startswith("/predictions/") else ServerError
            raise kind(
                f"no answer within {timeout:.0f} s",
                detail=f"{method} {path}",
                hint="`asteria-tui status` tells whether a worker is ready and how many requests wait",
            ) from error
        except httpx.ConnectError as error:
            raise ServerError(
                f"nobody answers at {base}", detail=str(error), hint="`asteria-tui up` starts the server"
            ) from error
        except httpx.TransportError as error:
            raise ServerError(
                "the server ended the connection without an answer",
                detail=f"{method} {path}: {str(error) or type(error).__name__}",
                hint="`asteria-tui status` tells whether it still runs",
            ) from error
        return _answer(response, (time.perf_counter() - begun) * 1000)


def _httpx() -> ModuleType:
    """Imported here, for the commands that talk to a server; without its own command line, which is half its cost."""
    import sys

    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its import fails, which httpx expects
    import httpx

    return httpx


def _answer(response: httpx.Response, milliseconds: float) -> Answer:
    body: Any
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, RecursionError):
        body = response.content.decode(errors="replace")
    return Answer(
        status=response.status_code,
        body=body,
        size=len(response.content),
        milliseconds=milliseconds,
        content_type=response.headers.get("content-type", ""),
        request_id=response.headers.get("x-request-id", ""),
    )


def _path(name: str, version: str | None = None) -> str:
    return model_path("/models", name, version)


def _model(item: dict[str, Any]) -> Model:
    queue = item.get("jobQueueStatus", {})
    return Model(
        name=item["modelName"],
        version=item["modelVersion"],
        workers=tuple(_worker(worker) for worker in item.get("workers", ())),
        min_workers=item.get("minWorkers", 0),
        max_workers=item.get("maxWorkers", 0),
        batch_size=item.get("batchSize", 1),
        pending_requests=queue.get("pendingRequests", 0),
        queue_capacity=queue.get("remainingCapacity"),
        archive=item.get("modelUrl"),
    )


def _worker(item: dict[str, Any]) -> Worker:
    pid = item.get("pid", -1)
    return Worker(
        id=str(item["id"]),
        status=item["status"],
        pid=pid if pid > 0 else None,
        memory_bytes=item.get("memoryUsage") or None,
    )
