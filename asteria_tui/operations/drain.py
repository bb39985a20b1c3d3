"""When a model that is to go has answered its requests.

The management API shows how many wait; that a worker is in the middle of one, the log alone tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection

from asteria_tui.errors import ServerError
from asteria_tui.events import Model, Stage, StageProgressed, WarningRaised
from asteria_tui.logs.in_flight import InFlight
from asteria_tui.operations.base import ServerConnection

MAX_DRAIN = 30.0
"""Seconds that requests in flight are waited for."""
POLL = 0.1
QUIET = 0.25
"""Seconds without a new request after which none is between the queue and a worker, where it waits for no others."""
MAX_WAIT_FOR_GAP = 3.0
"""Seconds that a gap between requests is waited for, where new ones go on coming."""
LOSSLESS = "none is lost where version in asteria.toml changes: both are served then until the old one is idle"


async def drain(
    server: ServerConnection,
    name: str,
    versions: Collection[str],
    stage: Stage,
    *,
    takes_new: bool,
    has_log: bool = True,
    hint: str = LOSSLESS,
) -> None:
    """Waits until no request to these versions waits or is worked on, at most `MAX_DRAIN` seconds.

    `takes_new`: new requests go on coming to them; then it is enough that those of the beginning were answered.
    `has_log`: our log is that of this server. `hint`: how none would be lost.
    """
    emit = server.context.emit
    which = f"{name} {', '.join(versions)}"
    begun = time.monotonic()
    reported, requests = 0.0, 0
    in_flight = InFlight(server.context.project.logs_dir) if has_log else None
    first: int | None = None
    while (waited := time.monotonic() - begun) < MAX_DRAIN:
        found = [one for one in await versions_of(server, name) if one.version in versions]
        if not any(one.is_ready for one in found):
            return  # nobody would answer
        requests, answered, arrived_at = _seen(name, found, in_flight)
        first = requests + answered if first is None else first
        silent = time.time() - arrived_at if takes_new else waited
        if not requests and silent >= QUIET + _batch_delay(found):
            return
        is_coming = requests > 0 or silent < waited
        if takes_new and is_coming and waited >= MAX_WAIT_FOR_GAP and answered >= first:
            emit(WarningRaised(text=f"requests to {which} go on coming, and some are lost", hint=hint))
            return
        if waited - reported >= 1:
            reported = waited
            text = f"waiting for requests to {which}"
            emit(StageProgressed(stage=stage, model=name, text=text, done=waited, total=MAX_DRAIN, unit="s"))
        await asyncio.sleep(POLL)
    if requests:
        emit(WarningRaised(text=f"requests to {which} were still worked on after {MAX_DRAIN:.0f} s"))


async def versions_of(server: ServerConnection, name: str) -> list[Model]:
    with contextlib.suppress(ServerError):
        return await server.client.describe(name)
    return []


def _batch_delay(versions: list[Model]) -> float:
    """Seconds that a request may wait for others, in no queue and at no worker."""
    return max((one.max_batch_delay / 1000 for one in versions if one.batch_size > 1), default=0.0)


def _seen(name: str, versions: list[Model], in_flight: InFlight | None) -> tuple[int, int, float]:
    """Requests that wait or are worked on, those that were seen to be answered, and when the last one came."""
    waiting = sum(one.pending_requests for one in versions)
    if in_flight is None:
        return waiting, 0, 0.0
    in_flight.look()
    workers = [worker.id for one in versions for worker in one.workers]
    busy = sum(in_flight.is_busy(worker) for worker in workers)
    return waiting + busy, sum(in_flight.answered[worker] for worker in workers), in_flight.arrived_at(name)
