"""The causes in a log, each once with its count: tracebacks, deaths, a server that cannot start."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from asteria_tui.events import Cause, LogRecord, Phase
from asteria_tui.logs.cause import SourceMap, cause_of
from asteria_tui.logs.traceback import SILENCE, Block, Joiner

# What the server itself logs about a worker (WorkerThread.java of TorchServe 0.12.0, docs/torchserve.md section 6).
_STATE = re.compile(r"W-\d+-.* State change (\w+) -> (\w+)$")
_RETRY = re.compile(r"Retry worker: \d+ in (\d{1,9}) seconds\.")
_FAILED_AGAIN = "Auto recovery failed again"
# What the worker raises after it has logged the cause itself: `500 - Unknown exception` (model_service_worker.py).
_AFTERMATH = re.compile(r"5\d\d - (?:Unknown exception|System out of memory)$")
_DIED = "Worker died"
_DIED_MESSAGE = "no traceback: it was killed, ran out of memory, ended itself or closed its output"
_JAVA = re.compile(r"^ ?(?:[\w$]+\.)+([\w$]+(?:Exception|Error))(?:: (.*))?$", re.MULTILINE)
# An answer over max_response_size: Java closes the connection on a thread of its own, the worker dies of that.
_TOO_LONG = re.compile(r"TooLongFrameException: ([^\t]+?)(?=\n\t|$)")
_DISCONNECTED = re.compile(r"(\d+) Worker disconnected\.")
_CONNECTION_ENDED = ("BrokenPipeError", "ConnectionResetError")
_WORKER_ERROR = "Backend worker error"
_MODEL_DROPPED = re.compile(r"Failed to load model: (.+?)(?:\.mar)?$", re.MULTILINE)
# What a server prints that cannot start, on its console only (docs/torchserve.md section 6, "Start failures").
_NO_START = re.compile(
    r"(?P<name>Invalid configuration|java not found|Unrecognized option|Error occurred during initialization of VM"
    r"|Error)(?::|,)?\s+(?P<message>\S.*)"
    r'|(?:Exception in thread "main" )?(?:[\w$]+\.)+(?P<java>[\w$]+(?:Exception|Error)):? ?(?P<text>.*)'
)
_CAUSED_BY = re.compile(r"^Caused by: .*: (.+)$", re.MULTILINE)
_PHASES: dict[str, Phase] = {"WORKER_STARTED": "load", "WORKER_ERROR": "load", "WORKER_MODEL_LOADED": "inference"}
# Parts of a message that differ from time to time though the cause is the same.
_VARIABLE = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4,12}){4}\b|\b[0-9a-f]{12,}\b|\d+(?:\.\d+)?", re.IGNORECASE
)

# One of these stands in every part of a log that holds a cause, or the retry after one.
_SIGNS = tuple(
    b"Traceback (most|State change|Retry worker|Auto recovery|Failed to load|worker error|TooLongFrame".split(b"|")
)
_HEADING = 8_192

_Key = tuple[object, ...]


class Causes:
    """Feed it the records of a server; `rows` are its causes, each once, the newest last."""

    def __init__(self, sources: SourceMap | None = None) -> None:
        self.sources = sources or SourceMap()
        self._joiner = Joiner()
        self._rows: dict[_Key, Cause] = {}
        self._phases: dict[str, Phase] = {}
        self._fatal_at: dict[str, float] = {}
        self._retries: dict[str, float] = {}
        self._reasons: dict[str, tuple[str, str]] = {}
        self._deaths: dict[str, Cause] = {}
        self._too_long: dict[str, str] = {}
        """By thread of the server what it reported of an answer, until it names the worker."""
        self._cut_off: set[str] = set()
        """The workers whose connection the server closed."""
        self._now = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether a traceback or a death is not complete yet."""
        return bool(self._deaths) or self._joiner.is_waiting

    @property
    def rows(self) -> list[Cause]:
        return sorted(self._rows.values(), key=lambda cause: cause.last_at)

    def of_worker(self, worker: str) -> Cause | None:
        """The newest cause of a worker, named `W-9000`."""
        return next((cause for cause in reversed(self.rows) if worker in cause.workers), None)

    def feed(self, records: Iterable[LogRecord]) -> list[Cause]:
        """The causes that these records complete or change, in order."""
        changed: dict[_Key, Cause] = {}
        for record in records:
            for block in self._joiner.feed((record,)):
                self._trace(block, changed)
            if record.source == "server" and record.worker:
                self._of_worker_thread(record, record.worker, changed)
            elif record.source == "server" and self._is_cut_off(record):
                pass  # the thread of the worker will report its death
            elif record.source == "server" and (dropped := _MODEL_DROPPED.match(record.text)):
                self._add(_dropped(record, dropped[1]), changed)
            elif record.source == "console" and (match := _NO_START.match(record.text)):
                self._add(_no_start(record, match, self._now), changed)
            if record.time is not None:
                self._now = record.time
                if self._deaths:
                    self._settle(self._now - 2 * SILENCE, changed)
        return list(changed.values())

    def close_silent(self, now: float) -> list[Cause]:
        """What is complete because nothing more came until `now` (seconds since the epoch)."""
        changed: dict[_Key, Cause] = {}
        for block in self._joiner.close_silent(now):
            self._trace(block, changed)
        self._settle(now - 2 * SILENCE, changed)
        return list(changed.values())

    def flush(self) -> list[Cause]:
        """What is open at the end of a log."""
        changed: dict[_Key, Cause] = {}
        for block in self._joiner.flush():
            self._trace(block, changed)
        self._settle(float("inf"), changed)
        return list(changed.values())

    def _trace(self, block: Block, changed: dict[_Key, Cause]) -> None:
        cause = cause_of(block, self.sources)
        worker = block.worker
        if worker in self._cut_off and cause.exception in _CONNECTION_ENDED:
            return
        if worker and block.phase != "inference":
            # A worker survives what an inference raises; any other traceback explains why it dies.
            previous = self._fatal_at.get(worker, 0.0)
            self._fatal_at[worker] = block.last_at
            self._deaths.pop(worker, None)
            if _AFTERMATH.match(cause.message) and block.first_at - previous < 2 * SILENCE:
                return
        self._add(msgspec.structs.replace(cause, retry_in=self._retries.get(worker or "")), changed)

    def _is_cut_off(self, record: LogRecord) -> bool:
        """Whether the server reports that it could not take an answer, for which it leaves the worker."""
        if too_long := _TOO_LONG.search(record.text):
            self._too_long[record.thread] = too_long[1].replace("\n", ". ")
        elif (gone := _DISCONNECTED.match(record.text)) and record.thread in self._too_long:
            worker = f"W-{gone[1]}"
            self._reasons[worker] = ("TooLongFrameException", self._too_long.pop(record.thread))
            self._cut_off.add(worker)
        else:
            return False
        return True

    def _of_worker_thread(self, record: LogRecord, worker: str, changed: dict[_Key, Cause]) -> None:
        """Deaths, retries and recoveries, which the server reports on the thread of the worker."""
        text = record.text
        if state := _STATE.match(text):
            before, after = state.groups()
            if after == "WORKER_STOPPED":
                self._phases[worker] = _PHASES.get(before, "start")
            elif after == "WORKER_STARTED":
                self._cut_off.discard(worker)
                self._retry(worker, None, changed)
        elif text.startswith(_WORKER_ERROR) and (error := _JAVA.search(text)):
            self._reasons[worker] = (error[1], error[2] or "")
        elif text == _FAILED_AGAIN:
            self._retry(worker, None, changed)
            self._die(record, worker)
        elif retry := _RETRY.match(text):
            self._retry(worker, float(retry[1]), changed)
            self._die(record, worker)

    def _die(self, record: LogRecord, worker: str) -> None:
        """Remember a death; a traceback that comes soon explains it better."""
        at = record.time or 0.0
        if at - self._fatal_at.get(worker, 0.0) < 2 * SILENCE or worker in self._deaths:
            return
        exception, message = self._reasons.pop(worker, (_DIED, _DIED_MESSAGE))
        self._deaths[worker] = Cause(
            exception=exception,
            message=message,
            phase=self._phases.get(worker, "start"),
            workers=(worker,),
            model=record.model,
            first_at=at,
            last_at=at,
        )

    def _settle(self, before: float, changed: dict[_Key, Cause]) -> None:
        """The deaths before `before` stay without a traceback."""
        for worker in [worker for worker, death in self._deaths.items() if death.last_at <= before]:
            death = self._deaths.pop(worker)
            if death.phase == "load" and self._has_traced_load(death.model):
                continue  # Java stopped reading before the traceback came; an earlier one says why
            self._add(msgspec.structs.replace(death, retry_in=self._retries.get(worker)), changed)

    def _has_traced_load(self, model: str | None) -> bool:
        return any(cause.model == model and cause.phase == "load" and cause.traceback for cause in self._rows.values())

    def _retry(self, worker: str, seconds: float | None, changed: dict[_Key, Cause]) -> None:
        """The server will start `worker` again in `seconds`, or has (None)."""
        self._retries.pop(worker, None)
        if seconds is not None:
            self._retries[worker] = seconds
            newest = self.of_worker(worker)
            # A worker survives what an inference raises; its death is reported by itself.
            if newest is not None and newest.phase != "inference":
                self._set_retry(newest, seconds, changed)
            return
        for cause in self.rows:
            if cause.worker == worker:
                self._set_retry(cause, None, changed)

    def _set_retry(self, cause: Cause, seconds: float | None, changed: dict[_Key, Cause]) -> None:
        if cause.retry_in != seconds:
            cause = msgspec.structs.replace(cause, retry_in=seconds)
            self._rows[key_of(cause)] = changed[key_of(cause)] = cause

    def _add(self, cause: Cause, changed: dict[_Key, Cause]) -> None:
        key = key_of(cause)
        known = self._rows.get(key)
        if known is not None:
            cause = msgspec.structs.replace(
                cause,
                count=known.count + 1,
                first_at=min(known.first_at, cause.first_at),
                last_at=max(known.last_at, cause.last_at),
                workers=tuple(worker for worker in known.workers if worker not in cause.workers) + cause.workers,
            )
        self._rows[key] = changed[key] = cause


def key_of(cause: Cause) -> _Key:
    """What makes two causes the same one."""
    frame = cause.frame
    place = (frame.file, frame.line, frame.function) if frame else ()
    return (cause.exception, _VARIABLE.sub("#", cause.message), place, cause.model, cause.phase)


class RelevantParts:
    """Leaves out the parts of a log of JSON records that cannot hold a cause, so that they need no parsing."""

    def __init__(self, causes_: Causes) -> None:
        self._causes = causes_
        self._skipped = b""

    def of(self, data: bytes) -> bytes:
        """What to parse of `data`, the next whole lines of the log; the lines before a traceback name its phase."""
        is_json = data.startswith(b'{"t":')
        if is_json and not self._causes.is_waiting and not any(word in data for word in _SIGNS):
            self._skipped = (self._skipped + data)[-_HEADING:]
            return b""
        before = self._skipped[self._skipped.find(b"\n") + 1 :]
        self._skipped = b""
        return before + data


def _dropped(record: LogRecord, archive: str) -> Cause:
    """An archive that the server could not load at its start: it goes on without it."""
    error = _JAVA.search(record.text)
    at = record.time or 0.0
    return Cause(
        exception=error[1] if error else "Failed to load model",
        message=(error[2] or "") if error else archive,
        phase="load",
        model=archive,
        first_at=at,
        last_at=at,
        traceback=record.text,
    )


def _no_start(record: LogRecord, match: re.Match[str], at: float) -> Cause:
    message = (match["message"] or match["text"] or "").strip()
    deeper = _CAUSED_BY.findall(record.text)
    return Cause(
        exception=match["name"] or match["java"],
        message=f"{message}: {deeper[-1]}" if deeper else message,
        phase="start",
        first_at=at,
        last_at=at,
        traceback=record.text,
    )
