"""TorchServe's HTTP side as docs/torchserve.md describes it, in memory, behind httpx's mock transport."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import time
import zipfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from asteria_tui.archive.files import sha256_of
from asteria_tui.targets.server_config import Ports, ServedModel

PORTS = Ports(inference=18080, management=18081, metrics=18082, grpc_inference=17070, grpc_management=17071)
REFUSED = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"
UNPACKED = "/srv/demo/tmp/models/0123456789abcdef0123456789abcdef"
"""Where a server has the files of an archive."""

Handle = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


def error(status: int, type_: str, message: str) -> httpx.Response:
    """As TorchServe words what it refuses."""
    return httpx.Response(status, json={"code": status, "type": type_, "message": message})


@dataclasses.dataclass
class FakeModel:
    """One version of a registered model."""

    name: str
    version: str
    file: str
    workers: int = 1
    status: str = "READY"
    queue_capacity: int = 100
    pending: int = 0
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)

    def described(self) -> dict[str, object]:
        workers = [
            {"id": str(9000 + number), "status": self.status, "memoryUsage": 1000, "pid": 70 + number}
            for number in range(self.workers)
        ]
        return {
            "modelName": self.name,
            "modelVersion": self.version,
            "modelUrl": self.file,
            "minWorkers": self.workers,
            "maxWorkers": self.workers,
            "batchSize": int(self.parameters.get("batch_size", 1)),
            "maxBatchDelay": int(self.parameters.get("max_batch_delay", 100)),
            "workers": workers,
            "jobQueueStatus": {"remainingCapacity": self.queue_capacity, "pendingRequests": self.pending},
        }


class FakeServer:
    """Knows archives by the store that it reads, keys, and what a test scripts."""

    def __init__(self, store: Path, records: Path) -> None:
        self.store = store
        self.records = records
        """The file that its log goes to."""
        self.is_running = False
        self.models: dict[str, dict[str, FakeModel]] = {}
        self.defaults: dict[str, str] = {}
        self.calls: list[str] = []
        """Method and path of each request that had the right key."""
        self.tokens = {"management": "MMMMMMM0", "inference": "IIIIIII0", "API": "AAAAAAA0"}
        self.has_tokens = True
        self.expires_at = time.time() + 3600
        self.tokens_written_at = 0.0
        self.broken: dict[str, str] = {}
        """The exception that a model's handler raises in `initialize`, but in an archive that did well before."""
        self.good: set[str] = set()
        self.is_slow = False
        """No worker gets ready by itself."""
        self.replies: dict[str, Handle] = {}
        """What is answered in place of the usual, by method and path."""
        self.transport = httpx.MockTransport(self._answer)

    # -- its life -----------------------------------------------------------------------------------------------

    def start(self, models: list[ServedModel]) -> None:
        self.is_running = True
        self.tokens_written_at = time.time()
        self.models.clear()
        self.defaults.clear()
        for model in models:
            found = self._add(model.name, model.version, model.file, model.settings.workers)
            if self._is_broken(found):
                found.status = "UNLOADING"
                self.fail_to_load(found)
            elif self.is_slow:
                found.status = "UNLOADING"
            else:
                self.log_ready(found)

    def stop(self) -> None:
        self.is_running = False

    def register(self, name: str, version: str = "1.0", workers: int = 1) -> FakeModel:
        """As somebody else would have done it."""
        return self._add(name, version, f"{name}.mar", workers)

    def key_file(self) -> bytes:
        expires = datetime.fromtimestamp(self.expires_at, UTC).isoformat().replace("+00:00", "Z")
        keys = {kind: {"key": token, "expiration time": expires} for kind, token in self.tokens.items()}
        del keys["API"]["expiration time"]
        return json.dumps(keys).encode()

    def named(self, name: str) -> FakeModel:
        """The default version."""
        return self.models[name][self.defaults[name]]

    def _add(self, name: str, version: str, file: str, workers: int) -> FakeModel:
        found = FakeModel(name=name, version=version, file=file, workers=workers)
        self.models.setdefault(name, {})[version] = found
        self.defaults.setdefault(name, version)
        return found

    # -- its log ------------------------------------------------------------------------------------------------

    def log(self, thread: str, logger: str, text: str, level: str = "INFO") -> None:
        self.records.parent.mkdir(parents=True, exist_ok=True)
        record = {"t": math.ceil(time.time() * 1000), "l": level, "th": thread, "lg": logger, "m": text, "x": ""}
        with self.records.open("a") as file:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")

    def log_ready(self, model: FakeModel) -> None:
        thread = f"W-9000-{model.name}_{model.version}"
        text = f"{thread} State change WORKER_STARTED -> WORKER_MODEL_LOADED"
        self.log(thread, "org.pytorch.serve.wlm.WorkerThread", text, "DEBUG")

    def fail_to_load(self, model: FakeModel) -> None:
        self.log_traceback(model, "Backend worker process died.", "initialize", self.broken[model.name])

    def log_traceback(self, model: FakeModel, heading: str, function: str, exception: str, line: int = 2) -> None:
        thread = f"W-9000-{model.name}_{model.version}-stdout"
        lines = (
            heading,
            "Traceback (most recent call last):",
            f'  File "{UNPACKED}/handler.py", line {line}, in {function}',
            "    raise",
            exception,
            "Python runtime: 3.11.7",  # what ends a traceback
        )
        for text in lines:
            self.log(thread, "MODEL_LOG", text)

    # -- its answers --------------------------------------------------------------------------------------------

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if not self.is_running:
            raise httpx.ConnectError("All connection attempts failed", request=request)
        path = request.url.raw_path.decode().partition("?")[0]
        is_renewal = "/token" in path
        kind = "inference" if request.url.port == PORTS.inference else "API" if is_renewal else "management"
        if self.has_tokens and request.headers.get("authorization") != f"Bearer {self.tokens[kind]}":
            return error(400, "InvalidKeyException", REFUSED)
        self.calls.append(f"{request.method} {path}")
        scripted = self.replies.get(f"{request.method} {path}")
        found = (scripted or self._usual)(request)
        return await found if inspect.isawaitable(found) else found

    def _usual(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        for method, pattern, answer in (
            ("GET", r"/token", self._renew),
            ("GET", r"/models", self._list),
            ("POST", r"/models", self._register),
            ("PUT", r"/models/([^/]+)/([^/]+)/set-default", self._set_default),
            ("GET", r"/models/([^/]+)(?:/([^/]+))?", self._describe),
            ("PUT", r"/models/([^/]+)(?:/([^/]+))?", self._scale),
            ("DELETE", r"/models/([^/]+)(?:/([^/]+))?", self._unregister),
            ("POST", r"/predictions/([^/]+)(?:/([^/]+))?", self._predict),
        ):
            if request.method == method and (found := re.fullmatch(pattern, path)):
                return answer(request, *found.groups())
        return error(404, "ResourceNotFoundException", "Requested resource is not found, please refer to API document.")

    def _renew(self, request: httpx.Request) -> httpx.Response:
        kind = request.url.params["type"]
        self.tokens[kind] = f"{self.tokens[kind][:-1]}{int(self.tokens[kind][-1]) + 1}"
        self.tokens_written_at = time.time()
        self.expires_at = time.time() + 3600
        return httpx.Response(200)

    def _list(self, request: httpx.Request) -> httpx.Response:
        begin, limit = int(request.url.params.get("next_page_token", 0)), int(request.url.params["limit"])
        names = list(self.models)
        page = {"models": [{"modelName": name} for name in names[begin : begin + limit]]}
        more = {"nextPageToken": str(begin + limit)} if begin + limit < len(names) else {}
        return httpx.Response(200, json=page | more)

    def _found(self, name: str, version: str | None) -> list[FakeModel] | httpx.Response:
        if name not in self.models:
            return error(404, "ModelNotFoundException", f"Model not found: {name}")
        if version == "all":
            return list(self.models[name].values())
        version = version or self.defaults[name]
        if version not in self.models[name]:
            return error(
                404, "ModelVersionNotFoundException", f"Model version: {version} does not exist for model: {name}"
            )
        return [self.models[name][version]]

    def _describe(self, request: httpx.Request, name: str, version: str | None) -> httpx.Response:
        found = self._found(name, version)
        if isinstance(found, httpx.Response):
            return found
        described = [model.described() for model in found]
        if "customized" in request.url.params:
            if any(model.workers == 0 for model in found):
                return _no_worker(name)
            described = [one | {"customizedMetadata": {"of": name}} for one in described]
        return httpx.Response(200, json=described)

    def _register(self, request: httpx.Request) -> httpx.Response:
        parameters = dict(request.url.params)
        file = parameters.pop("url")
        try:
            with zipfile.ZipFile(self.store / file) as archive:
                manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
        except FileNotFoundError:
            return error(404, "ModelNotFoundException", f"Model not found at: {file}")
        name, version = parameters.get("model_name", manifest["modelName"]), manifest["modelVersion"]
        if version in self.models.get(name, {}):
            return error(
                409, "ConflictStatusException", f"Model version {version} is already registered for model {name}"
            )
        model = self._add(name, version, file, int(parameters.get("initial_workers", 0)))
        model.parameters = parameters
        if self._is_broken(model):
            self.fail_to_load(model)
            model.workers = 0
            if not self.broken[name].startswith("RuntimeError"):
                self._remove(name, version)
            return error(500, "InternalServerException", f"Failed to start workers for model {name} version: {version}")
        self.log_ready(model)
        text = f'Model "{name}" Version: {version} registered with {model.workers} initial workers'
        return httpx.Response(200, json={"status": text})

    def _is_broken(self, model: FakeModel) -> bool:
        """By its archive, whatever name that has in the store."""
        sha256 = sha256_of(self.store / model.file)
        if sha256 not in self.good and model.name in self.broken:
            return True
        self.good.add(sha256)
        return False

    def _unregister(self, request: httpx.Request, name: str, version: str | None) -> httpx.Response:
        found = self._found(name, version)
        if isinstance(found, httpx.Response):
            return found
        [model] = found
        if model.version == self.defaults[name] and len(self.models[name]) > 1:
            return error(403, "InvalidModelVersionException", f"Cannot remove default version for model {name}")
        self._remove(name, model.version)
        return httpx.Response(200, json={"status": f'Model "{name}" unregistered'})

    def _remove(self, name: str, version: str) -> None:
        del self.models[name][version]
        if not self.models[name]:
            del self.models[name], self.defaults[name]

    def _scale(self, request: httpx.Request, name: str, version: str | None) -> httpx.Response:
        found = self._found(name, version)
        if isinstance(found, httpx.Response):
            return found
        found[0].workers = int(request.url.params["min_worker"])
        text = f"Workers scaled to {found[0].workers} for model: {name}"
        return httpx.Response(200, json={"status": text})

    def _set_default(self, request: httpx.Request, name: str, version: str) -> httpx.Response:
        found = self._found(name, version)
        if isinstance(found, httpx.Response):
            return found
        self.defaults[name] = version
        return httpx.Response(200, json={"status": f'Default version successfully updated for model "{name}"'})

    def _predict(self, request: httpx.Request, name: str, version: str | None) -> httpx.Response:
        found = self._found(name, version)
        if isinstance(found, httpx.Response):
            return found
        if not found[0].workers or not found[0].queue_capacity:
            return _no_worker(name)
        return httpx.Response(200, json={"echo": request.content.decode()}, headers={"x-request-id": "request-1"})


def _no_worker(name: str) -> httpx.Response:
    return error(
        503,
        "ServiceUnavailableException",
        f'Model "{name}" has no worker to serve inference request. Please use scale workers API to add workers.',
    )
