"""Every fact that can happen, as one frozen struct each, and the plain records that they carry.

`--json` prints exactly these, one object a line, tagged by `event`. A recorded list of them replays in tests,
in the screen and in a bug report: `decode(encode(event)) == event`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

Stage = Literal["package", "store", "image", "start", "ready", "keys", "predict", "stop"]
"""The steps of a workflow, in order."""
Lane = Literal["workflow", "request", "background"]
"""What an operation may run beside (docs/design.md section 3): a workflow is alone in its lane."""
ServerState = Literal["stopped", "starting", "running", "unwell", "stopping"]
KeyKind = Literal["inference", "management", "api"]
Source = Literal["server", "worker", "access", "metrics", "console"]
Place = Literal["source", "primary", "mirror", "container", "server"]
Stream = Literal["", "stdout", "stderr"]
Phase = Literal["start", "load", "inference", ""]
Depth = Literal["live", "worker", "roll", "restart"]
"""How much is begun anew for a change: the handler in its worker, the worker, the model, the server."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A plain value inside an event."""


class Key(Record, frozen=True, kw_only=True):
    """A token of `key_file.json`; `token` is masked in every event unless it was asked for."""

    kind: KeyKind
    token: str
    expires_at: float | None = None
    """Seconds since the epoch; the API key never expires."""


class Worker(Record, frozen=True, kw_only=True):
    """One Python process of TorchServe that holds one copy of a model."""

    id: str
    """The port number that TorchServe names it by, such as `9000`."""
    status: str
    """`READY` or `UNLOADING`: the API knows no other (docs/torchserve.md section 0 item 5)."""
    pid: int | None = None
    memory_bytes: int | None = None
    cause: Cause | None = None
    """Why it is not ready, where the log tells."""

    @property
    def is_ready(self) -> bool:
        return self.status == "READY"


class Model(Record, frozen=True, kw_only=True):
    """One version of a model that the server has registered."""

    name: str
    version: str
    workers: tuple[Worker, ...] = ()
    min_workers: int = 0
    max_workers: int = 0
    batch_size: int = 1
    max_batch_delay: int = 0
    """Milliseconds that a request waits for others of its batch."""
    pending_requests: int = 0
    queue_capacity: int | None = None
    archive: str | None = None
    sha256: str | None = None
    """Of the archive that we registered; None for a model that somebody else registered, empty where `is_dev`."""
    is_dev: bool = False
    """It is served by `dev`: each answer is of the sources as they are on disk."""

    @property
    def ready_workers(self) -> int:
        return sum(worker.is_ready for worker in self.workers)

    @property
    def is_ready(self) -> bool:
        return self.ready_workers > 0


class Frame(Record, frozen=True, kw_only=True):
    """One frame of a traceback."""

    file: str
    """Relative to the project where the file is the project's own."""
    line: int
    function: str
    code: str = ""
    is_project: bool = False


class Cause(Record, frozen=True, kw_only=True):
    """The root exception of one traceback of a worker, and how often it came."""

    exception: str
    """The class, such as `ValueError` or `torch.OutOfMemoryError`."""
    message: str
    frame: Frame | None = None
    """The innermost frame of the user's own source, else the innermost one."""
    phase: Phase = ""
    """What failed: the server's or worker's start, loading the model, an inference; empty when unknown."""
    workers: tuple[str, ...] = ()
    """`W-9000`, the latest one last."""
    model: str | None = None
    count: int = 1
    first_at: float = 0.0
    last_at: float = 0.0
    retry_in: float | None = None
    """Seconds until TorchServe starts the worker again."""
    traceback: str = ""
    """The whole of it, joined, root first."""

    @property
    def worker(self) -> str | None:
        """The worker that it happened in last."""
        return self.workers[-1] if self.workers else None

    @property
    def headline(self) -> str:
        """`ValueError: boom, handler/my_handler.py:41 in initialize`, always one line."""
        what = ": ".join(filter(None, (self.exception, " ".join(self.message.split()))))
        if self.frame is None:
            return what
        return f"{what}, {self.frame.file}:{self.frame.line} in {self.frame.function}"


class LogRecord(Record, frozen=True, kw_only=True, gc=False):
    """One record of a log: what TorchServe wrote in one go, continuation lines included."""

    time: float | None
    """Seconds since the epoch; None when the line carries no time."""
    level: str = ""
    """`DEBUG`, `INFO`, `WARN`, `ERROR`; empty when unknown."""
    thread: str = ""
    logger: str = ""
    source: Source = "server"
    stream: Stream = ""
    """Of the worker process, where the record is one of its lines."""
    worker: str | None = None
    """`W-9000`."""
    model: str | None = None
    version: str | None = None
    pid: int | None = None
    text: str = ""


class ChainLink(Record, frozen=True, kw_only=True):
    """One place in the chain from a model's sources to what the server has loaded."""

    model: str
    place: Place
    name: str
    """A path, or the container's or server's name."""
    sha256: str | None = None
    """None where there is nothing."""
    modified_at: float | None = None
    """Seconds since the epoch."""
    matches: bool = msgspec.field(default=True, name="is_whole")
    """Whether it holds what the link before it holds."""
    fix: str = ""
    """The command that fixes it, where it is broken."""


class SourceState(Record, frozen=True, kw_only=True):
    """The sources of one model as they are on disk."""

    model: str
    sha256: str = ""
    """Of the archive that they make; empty when they make none."""
    store_sha256: str = ""
    """Of the archive in the primary store; empty when there is none."""
    error: str = ""
    """Why they make none."""
    changed_at: float | None = None
    """The time of the newest file, in seconds since the epoch."""
    newest: str = ""
    """That file, relative to the project."""


class Difference(Record, frozen=True, kw_only=True):
    """One value of an answer that is another one in the next answer."""

    path: str
    """`score`, `[0].labels[2]`; empty where the answer as a whole is another one."""
    before: Any = None
    """None where there was nothing."""
    after: Any = None
    """None where there is nothing any more."""


class SampleAnswer(Record, frozen=True, kw_only=True):
    """What one sample was answered after a reload, and what that changed."""

    sample: str
    status: int
    milliseconds: float
    milliseconds_before: float | None = None
    """None where it was not sent before, or answered with an error."""
    body: Any = None
    differences: tuple[Difference, ...] = ()
    is_first: bool = False
    """There is nothing to compare it with."""
    cause: Cause | None = None
    """Why it failed."""

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 the success class of RFC 9110


class WorkerUsage(Record, frozen=True, kw_only=True):
    """What one worker process uses."""

    pid: int
    memory_bytes: int
    cpu_percents: tuple[int, ...] = ()
    """Of one core, at the last looks, two seconds apart, the newest last."""


class ModelTraffic(Record, frozen=True, kw_only=True):
    """The requests to one model in the last minute, whoever sent them; figures are as exact as they are shown."""

    model: str
    per_second: float = 0.0
    """Of the last five seconds."""
    p50: float = 0.0
    """Milliseconds from arrival to answer, of the minute."""
    p95: float = 0.0
    requests: int = 0
    failures: int = 0
    """Those that were not answered with 2xx."""
    waiting: int = 0
    """How many are not answered yet."""
    counts: tuple[int, ...] = ()
    """Requests in each second, the last one last."""
    latencies: tuple[float, ...] = ()
    """The median of each second in milliseconds; 0 where there was no request."""
    failed: tuple[int, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=_snake):
    """One fact. `at` is in seconds since the epoch."""

    at: float = msgspec.field(default_factory=time.time)
    operation: str = ""
    """The id of the operation that caused it; empty for a fact outside any."""


class OperationStarted(Event, frozen=True, kw_only=True):
    name: str
    lane: Lane
    parameters: dict[str, str | int | bool | None] = {}
    """Those that are plain values; of a payload its name, never what it holds."""
    origin: str = ""
    """`command line` where another process does it; empty for what this one does."""


class OperationFinished(Event, frozen=True, kw_only=True):
    name: str
    exit_code: int = 0
    """Not 0 where what was asked was done and the answer is no: `status` of a server that is not well."""
    seconds: float = 0.0


class OperationFailed(Event, frozen=True, kw_only=True):
    """How an operation ended that raised; it says all there is to say, also of the stage that failed."""

    name: str
    stage: str = ""
    """The first of its stages that failed, which has reported the same; empty where none did."""
    model: str | None = None
    title: str
    detail: str = ""
    hint: str = ""
    exit_code: int = 1
    seconds: float = 0.0
    cause: Cause | None = None
    crash_report: str = ""
    """The file to paste, where the failure is a bug of ours."""


class StageStarted(Event, frozen=True, kw_only=True):
    stage: Stage
    model: str | None = None


class StageProgressed(Event, frozen=True, kw_only=True):
    stage: Stage
    model: str | None = None
    text: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""


class StageFinished(Event, frozen=True, kw_only=True):
    stage: Stage
    model: str | None = None
    summary: str = ""
    seconds: float = 0.0
    unchanged: bool = False
    """Nothing was to be done: it was right already."""


class StageFailed(Event, frozen=True, kw_only=True):
    stage: str
    """A `Stage`; recordings of version 0.1 name a command here that failed outside any."""
    model: str | None = None
    title: str
    detail: str = ""
    hint: str = ""
    exit_code: int = 1
    seconds: float = 0.0
    cause: Cause | None = None


class Checked(Event, frozen=True, kw_only=True):
    """What one check of `up --dry-run` found."""

    name: str
    summary: str = ""
    """What was seen, where all is well."""
    title: str = ""
    """What is wrong; empty where all is well."""
    detail: str = ""
    hint: str = ""
    exit_code: int = 0
    """That `up` would end with."""


class WarningRaised(Event, frozen=True, kw_only=True, tag="noticed"):
    """Something the user should know that stops nothing."""

    text: str
    hint: str = ""


class CommandRan(Event, frozen=True, kw_only=True):
    """A real command or request behind an action, to show and to copy; tokens are masked."""

    command: str


class ArchiveBuilt(Event, frozen=True, kw_only=True):
    model: str
    path: str
    sha256: str
    size: int
    members: int
    changed: bool = True


class StoresCompared(Event, frozen=True, kw_only=True):
    """The chain of each model, in order."""

    links: tuple[ChainLink, ...] = ()

    @property
    def first_broken(self) -> ChainLink | None:
        return next((link for link in self.links if not link.matches), None)


class ServerChanged(Event, frozen=True, kw_only=True):
    state: ServerState
    target: str = ""
    reason: str = ""
    pid: int | None = None
    container: str = ""
    started_at: float | None = None
    inference: str = ""
    management: str = ""
    metrics: str = ""
    memory_bytes: int | None = None
    """Of all its processes, as the target counts them."""
    cpu_percent: float | None = None
    """Of one core, between two looks two seconds apart: the screen fills it, `status` looks once and leaves it empty.

    A second look that says something would cost `status` a second, whatever the target.
    """
    restarts: int | None = None
    """Of the container, where there is one."""
    exit_code: int | None = None
    """Of a server that ended by itself."""
    out_of_memory: bool = False
    """The container's memory limit was reached, and a process killed for it."""


class KeysChanged(Event, frozen=True, kw_only=True):
    keys: tuple[Key, ...] = ()


class ModelsChanged(Event, frozen=True, kw_only=True):
    models: tuple[Model, ...] = ()


class ModelDescribed(Event, frozen=True, kw_only=True):
    """All that the server says of each version of a model, the handler's own description included."""

    model: str
    versions: tuple[dict[str, Any], ...] = ()


class SourcesChanged(Event, frozen=True, kw_only=True):
    """The sources of the models as they are now, each time one of their files changed."""

    sources: tuple[SourceState, ...] = ()


class MetricsSampled(Event, frozen=True, kw_only=True):
    metrics: dict[str, float] = {}


class WorkersSampled(Event, frozen=True, kw_only=True):
    """What the worker processes use, each time that a figure as it is shown has changed."""

    workers: tuple[WorkerUsage, ...] = ()
    """Those whose processes the target can tell apart."""


class TrafficChanged(Event, frozen=True, kw_only=True):
    """The last minute of requests, each time that a figure as it is shown has changed."""

    models: tuple[ModelTraffic, ...] = ()
    """Those that were asked in it."""
    metrics: tuple[tuple[str, float, str], ...] = ()
    """Name, last value and unit of what handlers measure of their own."""

    def of(self, model: str) -> ModelTraffic | None:
        return next((one for one in self.models if one.model == model), None)


class Predicted(Event, frozen=True, kw_only=True):
    """An answer came back, good or bad."""

    model: str
    version: str = ""
    """Of the model that answered, as far as the server's record says."""
    archive_sha256: str = ""
    """Of the archive that the server had loaded when it answered; empty when unknown."""
    sample: str = ""
    """The payload's name."""
    payload_sha256: str = ""
    """Of the payload's bytes."""
    status: int
    milliseconds: float
    size: int = 0
    content_type: str = ""
    request_id: str = ""
    body: Any = None
    """The parsed JSON where it is JSON, else text; None where it is neither."""
    content: bytes = b""
    """The body where it is neither JSON nor text; base64 in JSON."""
    cause: Cause | None = None
    sources_sha256: str = ""
    """Of the sources that made it, as the answer itself says; empty where the model is not served by `dev`."""

    def is_of(self, payload_sha256: str) -> bool:
        """Whether it answers that payload, as far as is known."""
        return self.payload_sha256 in {"", payload_sha256}

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 the success class of RFC 9110


class HeldFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame of the project's own code that an exception came through."""

    file: str
    line: int
    function: str
    first: int = 1
    """The number of the first line of `source`."""
    source: tuple[str, ...] = ()
    locals: dict[str, str] = {}
    """Shortened, and without secrets."""


class RequestHeld(Event, frozen=True, kw_only=True):
    """A request failed and waits in its worker for a fix, its caller with it; told again for each failed try."""

    model: str
    pid: int
    """Of the worker."""
    requests: tuple[str, ...] = ()
    """Ids; those of a batch wait together."""
    cause: Cause
    frames: tuple[HeldFrame, ...] = ()
    """The innermost one last."""
    until: float = 0.0
    """When it is given up, Unix time."""
    is_last_worker: bool = False
    """Whether everybody else waits for it, as no other worker of the model is free."""


class RequestReleased(Event, frozen=True, kw_only=True):
    """What was held is answered: by new code, or with its error."""

    model: str
    pid: int
    requests: tuple[str, ...] = ()
    is_good: bool = True
    seconds: float = 0.0
    """That its caller has waited."""


class Reloaded(Event, frozen=True, kw_only=True):
    """What a save of the sources did: told only when it was read from an answer, or from the worker itself."""

    model: str
    file: str = ""
    """The one that changed, relative to the project; of several the first."""
    line: int | None = None
    """The first that is another one; None where the file is no text."""
    files: int = 1
    depth: Depth = "live"
    reason: str = ""
    """Why it was not the cheapest depth; empty where it was."""
    milliseconds: float = 0.0
    """From the save to the answer of the new code."""
    sources_sha256: str = ""
    """Of the code that is in service now."""
    cause: Cause | None = None
    """Why the new code does not load; the code of before is in service, where there was any."""
    samples: tuple[SampleAnswer, ...] = ()


AnyEvent = (
    OperationStarted
    | OperationFinished
    | OperationFailed
    | StageStarted
    | StageProgressed
    | StageFinished
    | StageFailed
    | Checked
    | WarningRaised
    | CommandRan
    | ArchiveBuilt
    | StoresCompared
    | ServerChanged
    | KeysChanged
    | ModelsChanged
    | ModelDescribed
    | SourcesChanged
    | MetricsSampled
    | WorkersSampled
    | TrafficChanged
    | Predicted
    | Reloaded
    | RequestHeld
    | RequestReleased
)

Emit = Callable[[Event], None]
"""Where the facts of an operation go; safe to call from any thread."""

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


# Beyond ASCII JSON leaves all characters as they are; in a terminal some of these act: controls, and those that turn
# the direction of writing or end a line (UAX #9). JSON's own structure holds none of them.
_HALF = re.compile("[\ud800-\udfff]")
_ACTING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def encode(value: object) -> bytes:
    """An event, a record or any plain value as one line of JSON, without the line end."""
    try:
        line = msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a character, as the names of files may hold
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        line = _HALF.sub("\ufffd", text).encode()
    if line.isascii() and b"\x7f" not in line:
        return line
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()


def decode(line: bytes | str) -> AnyEvent:
    """The event of one line of `--json`; raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(line)
