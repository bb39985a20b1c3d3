"""What the log holds of one prediction: its access line, worker, metrics and, where it failed, its traceback.

A request's id (`x-request-id`) stands in the log only where the request succeeded: `Sending response for jobId`
on the worker's thread, and `requestID:` of its metrics. A failed one leaves an access line without an id and a
traceback, so its time, model and status find those (seen in a real run of TorchServe 0.12.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from asteria_tui.errors import ConfigError
from asteria_tui.events import Cause, LogRecord, Predicted
from asteria_tui.logs.cause import SourceMap
from asteria_tui.logs.causes import Causes
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.history import Log
from asteria_tui.logs.read import records as read

_ACCESS = re.compile(r'\S+ "(?P<method>\S+) (?P<uri>.*) \S+" (?P<status>\d{1,3}) (?P<milliseconds>\d{1,12})$')
_SLACK = 0.25
"""Seconds by which the clocks and threads that write the lines of one request may differ."""


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """What the log holds of one request."""

    worker: str | None = None
    access: LogRecord | None = None
    records: tuple[LogRecord, ...] = ()
    """In the order of the log: what names the id, and what the worker logged meanwhile."""
    cause: Cause | None = None


def trace(records: Iterable[LogRecord], predicted: Predicted, sources: SourceMap | None = None) -> Traced:
    """What `records`, which span the time of the request, hold of the answer `predicted`."""
    end = predicted.at + _SLACK
    start = predicted.at - predicted.milliseconds / 1000 - _SLACK
    near = [record for record in records if record.time is not None and start <= record.time <= end]
    request_id = predicted.request_id
    named = [record for record in near if request_id and request_id in record.text]
    worker = next((record.worker for record in named if record.worker), None)
    access = _access(near, predicted, worker)
    worker = worker or (access.worker if access is not None else None)
    of_worker = [record for record in near if worker is not None and record.worker == worker]
    shown = tuple(record for record in near if record in named or record is access or record in of_worker)
    cause = None if predicted.is_good else _cause(of_worker, predicted.at, sources)
    return Traced(worker=worker, access=access, records=shown, cause=cause)


async def trace_request(
    logs: Sequence[Log], request_id: str, answers: Iterable[Predicted], sources: SourceMap | None = None
) -> Traced:
    """What `logs` hold of the request; `answers` are those that are known, of which a failed one must be.

    Raises:
        ConfigError: neither they nor the logs name it.
    """
    answer = next((one for one in answers if one.request_id == request_id), None)
    if answer is None:
        answer = find(
            [record async for batch in read(logs, Filter(request=request_id)) for record in batch], request_id
        )
    if answer is None:
        raise ConfigError(
            f"no request {request_id} is known",
            detail="it is neither among the last answers of this project nor in the log",
            hint="`asteria-tui predict --json` shows the request_id of an answer; --run -1 looks into an earlier run",
        )
    return trace(await _around(logs, answer), answer, sources)


async def _around(logs: Sequence[Log], answer: Predicted) -> list[LogRecord]:
    """The records from a second before the request was sent to a second after its answer."""
    found: list[LogRecord] = []
    async for batch in read(logs, Filter(since=answer.at - answer.milliseconds / 1000 - 1)):
        found += batch
        if batch[-1].time and batch[-1].time > answer.at + 1:
            break
    return found


def find(records: Iterable[LogRecord], request_id: str) -> Predicted | None:
    """The request of this id, as far as the log alone shows: only a successful one is named there."""
    for record in records:
        if request_id in record.text and record.time is not None and record.model is not None:
            return Predicted(at=record.time, model=record.model, status=200, milliseconds=0.0, request_id=request_id)
    return None


def _access(near: Sequence[LogRecord], predicted: Predicted, worker: str | None) -> LogRecord | None:
    """The access line of the request: of its model, status and worker, the nearest in time."""
    fitting: list[LogRecord] = []
    for record in near:
        match = _ACCESS.match(record.text) if record.source == "access" else None
        if match is None or int(match["status"]) != predicted.status:
            continue
        path = match["uri"].partition("?")[0].split("/")
        if predicted.model in path and (worker is None or record.worker in (None, worker)):
            fitting.append(record)
    return min(fitting, key=lambda record: abs((record.time or 0.0) - predicted.at), default=None)


def _cause(of_worker: Sequence[LogRecord], at: float, sources: SourceMap | None) -> Cause | None:
    """The failure that the worker logged nearest to the answer."""
    seen = Causes(sources)
    seen.feed(of_worker)
    seen.flush()
    return min(seen.rows, key=lambda cause: abs(cause.last_at - at), default=None)
