"""The requests that a server answered, as its own record file tells them: each once, with its exact times.

On the thread of a worker the lines of one request follow each other, those of a batch request by request:

    Sending response for jobId …    its id; of a failed request there is none
    /127.0.0.1:57532 "POST /predictions/m HTTP/1.1" 200 9     milliseconds only
    Waiting time ns: …, Backend time ns: …    of a failed one `Inference time ns`, which holds the waiting

What no worker answered (no such model, a full queue, management) is one access line on a thread of the network. Seen
in real runs of TorchServe 0.12.0, see docs/torchserve.md section 4.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec

from asteria_tui.events import Cause
from asteria_tui.logs.history import RECORDS_FILE
from asteria_tui.logs.tail import Tail
from asteria_tui.logs.text import sanitize

REQUESTS_KEPT = 1_000
LOOK_BACK = 2 << 20
"""Bytes of the past that are read at first: the last minute of a server that is not busy."""
MAX_READ = 4 << 20
"""Bytes that one look reads; of what pours in faster the newest lines come later, none is left out."""
THREADS_KEPT = 1_024
MODELS_KEPT = 64
SLACK = 0.5
"""Seconds by which the traceback of a failed request and its access line may differ."""
_NANOSECONDS = 1_000_000
"""Of a millisecond."""
_NOT_FOUND = 404

# Quotes are escaped in a thread's name and in a message: nothing that a handler prints can have this form.
_LINE = re.compile(
    rb'\{"t":(?P<t>\d{1,15}),"l":"[A-Z]*","th":"(?P<thread>[^"]*)","lg":"(?:'
    rb'ACCESS_LOG","m":"\S+ \\"(?P<method>[A-Z]{1,16}) (?P<path>\S{1,2000}) \S+\\" (?P<status>\d{3}) (?P<ms>\d{1,12})"'
    rb'|org\.pytorch\.serve\.job\.RestJob","m":"Waiting time ns: (?P<waited>\d{1,18}), '
    rb'(?P<what>Backend|Inference) time ns: (?P<took>\d{1,18})"'
    rb'|org\.pytorch\.serve\.wlm\.WorkerThread","m":"(?P<end>Backend response time)'
    rb'|org\.pytorch\.serve\.wlm\.BatchAggregator","m":"Sending response for jobId (?P<id>[\w-]{1,64})"'
    rb'|TS_METRICS","m":"ts_inference_requests_total\.[^"]*?#model_name:(?P<arrived>[^,"|]{1,200}),'
    # The first comes for every metric; the second only for those that metrics.yaml names.
    rb'|(?:org\.pytorch\.serve\.wlm\.WorkerLifeCycle","m":"result=\[METRICS\]|MODEL_METRICS","m":")(?P<metric>[^:"|]{1,100})\.(?P<unit>\w{1,20}):(?P<value>[-+\w.]{1,40})\|'
    rb")"
)
_MODEL = re.compile(
    r"/(?:predictions|explanations)/(?P<model>[^/?]+)(?:/(?P<version>[^/?]+))?"
    r"|/v1/models/(?P<kserve1>[^/?:]+):|/v2/models/(?P<kserve2>[^/?]+)(?:/versions/[^/?]+)?/infer"
)
_WORKER = re.compile(r"W-(\d+)-(.+)_([^_]+)\Z")
_OF_TORCHSERVE = frozenset({"PredictionTime", "HandlerTime"})
"""Metrics that TorchServe's own code measures for every model."""


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request that was answered, well or not."""

    at: float
    """When it was answered, in seconds since the epoch."""
    method: str
    path: str
    status: int
    total_ns: int
    """From its arrival to its answer; in whole milliseconds where `is_exact` is not set."""
    queue_ns: int = 0
    backend_ns: int = 0
    is_exact: bool = False
    model: str = ""
    """The model that was asked for an inference; empty for any other question, the monitor's own among them."""
    version: str = ""
    """Of the worker that answered, else as the path says."""
    worker: str = ""
    """`W-9000`; empty where none answered."""
    request_id: str = ""

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 the success class of RFC 9110


class _Answering(msgspec.Struct, gc=False):
    """What the thread of a worker has said of the request that it is answering."""

    request_id: str = ""
    request: Request | None = None


class Traffic:
    """Takes the record file in, line by line; the last requests stay in `requests`."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self.waiting: dict[str, int] = {}
        """By model: how many have arrived and are not answered yet."""
        self.metrics: dict[str, tuple[float, str]] = {}
        """The last value of each metric that a handler measures of its own, and its unit."""
        self._threads: dict[bytes, _Answering] = {}
        self._names: dict[bytes, tuple[str, str, str]] = {}

    def feed(self, data: bytes) -> list[Request]:
        """The requests that were completed by these whole lines, in the order of their answers."""
        found: list[Request] = []
        for line in data.splitlines():
            match = _LINE.match(line)
            if match is not None:
                found += self._take(match)
        self.requests.extend(found)
        return found

    def _take(self, match: re.Match[bytes]) -> Iterator[Request]:
        thread = match["thread"]
        if match["status"]:
            yield from self._answered(thread, match)
        elif match["what"]:
            answering = self._threads.pop(thread, None)
            if answering is not None and answering.request is not None:
                yield _timed(answering.request, int(match["waited"]), int(match["took"]), match["what"] == b"Backend")
        elif match["end"]:
            yield from self._closed(thread)
        elif match["id"]:
            yield from self._closed(thread)
            self._remember(thread, _Answering(request_id=match["id"].decode()))
        elif match["arrived"]:
            model = _text(match["arrived"])
            if model in self.waiting or len(self.waiting) < MODELS_KEPT:
                self.waiting[model] = self.waiting.get(model, 0) + 1
        else:
            self._measured(_text(match["metric"]), match["value"], _text(match["unit"]))

    def _answered(self, thread: bytes, match: re.Match[bytes]) -> Iterator[Request]:
        """An access line: complete by itself, unless a worker's thread says more of it."""
        worker, model, version = self._name(thread)
        path = _text(match["path"])
        asked = _MODEL.match(path)
        name = unquote(asked["model"] or asked["kserve1"] or asked["kserve2"]) if asked else ""
        request = Request(
            at=int(match["t"]) / 1000,
            method=match["method"].decode(),
            path=path,
            status=int(match["status"]),
            total_ns=int(match["ms"]) * _NANOSECONDS,
            model=name or (model if path == "/invocations" else ""),
            version=version or unquote((asked["version"] if asked else "") or ""),
            worker=worker,
        )
        if self.waiting.get(name) and request.status != _NOT_FOUND:  # such a one was not counted
            self.waiting[name] -= 1
        if not worker:
            yield request
            return
        before = self._threads.get(thread)
        request_id = before.request_id if before is not None and before.request is None else ""
        yield from self._closed(thread)
        self._remember(thread, _Answering(request=msgspec.structs.replace(request, request_id=request_id)))

    def _closed(self, thread: bytes) -> Iterator[Request]:
        """The request before on that thread, of which no time line came."""
        before = self._threads.pop(thread, None)
        if before is not None and before.request is not None:
            yield before.request

    def _remember(self, thread: bytes, answering: _Answering) -> None:
        if len(self._threads) >= THREADS_KEPT:
            self._threads.clear()
        self._threads[thread] = answering

    def _measured(self, name: str, value: bytes, unit: str) -> None:
        if name in _OF_TORCHSERVE or (name not in self.metrics and len(self.metrics) >= MODELS_KEPT):
            return
        try:
            self.metrics[name] = (float(value), unit)
        except ValueError:
            return

    def _name(self, thread: bytes) -> tuple[str, str, str]:
        """Worker, model and version that the name of a thread holds; the name is cut after 25 characters of both."""
        known = self._names.get(thread)
        if known is None:
            match = _WORKER.match(_text(thread))
            known = (f"W-{match[1]}", match[2], match[3]) if match else ("", "", "")
            if len(self._names) >= THREADS_KEPT:
                self._names.clear()
            self._names[thread] = known
        return known


class TrafficReader:
    """Reads the record file of the current run on, through rotation and a new run."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self.is_new = True
        """Whether nothing was read yet of the run that is read now."""
        self._open()

    def _open(self) -> None:
        self.traffic = Traffic()
        self._run = self._logs.resolve()
        file = self._run / RECORDS_FILE
        size = file.stat().st_size if file.is_file() else 0
        self._tail = Tail(file, max(0, size - LOOK_BACK))
        self.is_new = True

    def poll(self) -> list[Request]:
        """The requests that were answered since the last call; raises TargetError where the file cannot be read."""
        if self._logs.resolve() != self._run:
            self._tail.close()
            self._open()
        else:
            self.is_new = False
        found: list[Request] = []
        read = 0
        while read < MAX_READ and (data := self._tail.read()):
            read += len(data)
            found += self.traffic.feed(data)
        return found


def cause_of(request: Request, causes: Iterable[Cause]) -> Cause | None:
    """The cause of a failed request: of its worker, the one that came nearest to its answer."""
    near = [
        cause
        for cause in causes
        if request.worker in cause.workers and abs(cause.last_at - request.at) <= SLACK and not request.is_good
    ]
    return min(near, key=lambda cause: abs(cause.last_at - request.at), default=None)


def _timed(request: Request, waited: int, took: int, is_backend: bool) -> Request:
    """A good answer's line names the backend alone, a failed one's the whole."""
    total = waited + took if is_backend else took
    return msgspec.structs.replace(
        request, total_ns=total, queue_ns=min(waited, total), backend_ns=max(0, total - waited), is_exact=True
    )


def _text(data: bytes) -> str:
    return sanitize(data.decode(errors="replace"))
