"""Ready, or why not: a worker that answers, or the root exception that keeps it from starting.

`/ping` says Healthy while every worker crash-loops (docs/torchserve.md section 0 item 3), so readiness is read from
describe and the log together.
"""

from __future__ import annotations

import asyncio
import time

from asteria_tui.errors import AsteriaError, InferenceError, ServerError
from asteria_tui.events import Cause, Model, StageProgressed
from asteria_tui.operations.base import ServerConnection, open_watch, with_cause
from asteria_tui.server.answers import Answer
from asteria_tui.targets.record import LoadedModel, load_record

POLL = 0.05
"""Seconds between two looks at the log, which is where news shows first."""
DESCRIBE_EVERY = 0.5
RECORD_EVERY = 0.2
"""Seconds between two looks at our own record while an answer is waited for."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the server meanwhile."""
LAST_MOMENT = 0.5
"""Seconds that an answer may still come after its model was seen to go."""
CAUSE_TIMEOUT = 2.0
"""Seconds that the log may lag behind an answer; a traceback ends with half a second of silence."""


async def wait_ready(server: ServerConnection, name: str, version: str, since: float, timeout: float) -> Model:
    """Waits until a worker of the model is READY; raises ServerError, with the cause as soon as it is known.

    What failed before `since` (seconds since the epoch) is fixed by now, or another matter.
    """
    begun = time.monotonic()
    described = reported = 0.0
    while True:
        cause = latest(server.watch.rows(), name, since, "load", "start")
        if cause is not None:
            raise with_cause(ServerError(f"the worker of {name} does not start"), cause)
        waited = time.monotonic() - begun
        if waited - described >= DESCRIBE_EVERY or server.watch.saw_ready(name):
            described = waited
            model = await _describe(server, name, version)
            if model.is_ready:
                return model
        if waited > timeout:
            raise ServerError(
                f"no worker of {name} was ready within {timeout:.0f} s",
                hint="`asteria-tui logs` shows how far it came; startup_timeout in asteria.toml gives it longer",
            )
        if waited - reported >= 1:
            reported = waited
            server.context.emit(
                StageProgressed(
                    stage="ready", model=name, text="waiting for a worker", done=waited, total=timeout, unit="s"
                )
            )
        await asyncio.sleep(POLL)


async def _describe(server: ServerConnection, name: str, version: str) -> Model:
    try:
        return (await server.client.describe(name, version))[0]
    except AsteriaError as error:
        if await server.context.target.find() is None:
            raise ServerError("the server ended", detail=server.context.target.describe_end()) from error
        raise


async def with_log_cause(
    server: ServerConnection, error: AsteriaError, name: str, since: float, *phases: str
) -> AsteriaError:
    """The same failure with its cause, where the log tells one of after `since` within a moment."""
    end = time.monotonic() + CAUSE_TIMEOUT
    while time.monotonic() < end:
        cause = latest(server.watch.rows(), name, since, *phases)
        if cause is not None:
            return with_cause(error, cause)
        await asyncio.sleep(POLL)
    return error


async def with_oom_reason(server: ServerConnection, error: AsteriaError, since: float) -> AsteriaError:
    """The same failure, explained by the memory limit that a process was killed for since then: no log names it."""
    target = server.context.target
    record = await target.find()
    vitals = await target.vitals(record) if record is not None else None
    if vitals is None or vitals.out_of_memory_at is None or vitals.out_of_memory_at < since:
        return error
    limit = server.context.project.settings.docker.memory
    return type(error)(
        f"a worker was killed: the container's memory limit ({limit}) was reached",
        detail=error.title,
        hint="memory under [docker] in asteria.toml raises it; fewer workers need less",
    )


def latest(causes: list[Cause], name: str, since: float, *phases: str) -> Cause | None:
    """The newest cause of a model in one of the phases, unless it is older than `since`."""
    return next(
        (
            cause
            for cause in reversed(causes)
            if cause.model in {name, None} and cause.phase in phases and cause.last_at >= since
        ),
        None,
    )


async def watch_answer(
    server: ServerConnection, name: str, answer: asyncio.Task[Answer], asked: LoadedModel | None = None
) -> None:
    """Returns when `answer` is done; raises ServerError when it can't come any more.

    TorchServe never answers a request that it queued for a crash-looping model (docs/torchserve.md section 0 item 4),
    nor one that waited when its model was unregistered (docs/torchserve.md section 7). `asked` is what was loaded
    when it was sent.
    """
    not_ready_since: float | None = None
    looked_at = time.monotonic()
    while True:
        await asyncio.wait([answer], timeout=RECORD_EVERY)
        if answer.done():
            return
        if asked is not None and is_reloaded(server, name, asked):
            await _give_up(answer, name, asked)
            return
        if time.monotonic() - looked_at < LOOK_EVERY:
            continue
        looked_at = time.monotonic()
        if await server.context.target.find() is None:
            raise ServerError(
                "the server ended while it worked on the request",
                detail=server.context.target.describe_end(),
                hint="`asteria-tui up` starts it again",
            )
        try:
            models = await server.client.describe(name)
        except ServerError:
            continue  # a server that is too busy to say so may answer all the same
        if asked is not None and all(model.version != asked.version for model in models):
            await _give_up(answer, name, asked)
            return
        if any(model.is_ready for model in models):
            not_ready_since = None
            continue
        not_ready_since = not_ready_since or time.monotonic()
        watch = open_watch(server.context)
        # A cause that a ready worker came after was fixed: this worker may only be starting again.
        cause = latest(watch.rows(), name, watch.ready_at(name), "load", "start")
        if cause is not None and time.monotonic() - not_ready_since >= CAUSE_TIMEOUT:
            raise with_cause(
                ServerError(f"no worker of {name} is ready, and the request would never be answered"), cause
            )


def is_reloaded(server: ServerConnection, name: str, asked: LoadedModel) -> bool:
    """Whether another archive of the same version takes its place: that is recorded before the old one goes."""
    record = load_record(server.context.project)
    now = record.models.get(name) if record else None
    return bool(asked.sha256) and now is not None and now.version == asked.version and now != asked


async def _give_up(answer: asyncio.Task[Answer], name: str, asked: LoadedModel) -> None:
    """Unless the answer is on its way, which is so for a request that a worker was just working on."""
    await asyncio.wait([answer], timeout=LAST_MOMENT)
    if not answer.done():
        raise replaced(name, asked)


def replaced(name: str, asked: LoadedModel) -> ServerError:
    return ServerError(
        f"{name} {asked.version} was replaced while the request waited", hint="send it again: its successor answers"
    )


async def explain_503(server: ServerConnection, name: str, error: AsteriaError) -> AsteriaError:
    """TorchServe has one text for "no worker" and "queue full"; describe tells them apart.

    Seen: docs/torchserve.md section 7.
    """
    models = await server.client.describe(name)
    if any(model.queue_capacity == 0 for model in models):
        waiting = sum(model.pending_requests for model in models)
        return InferenceError(
            f"the queue of {name} is full",
            detail=f"{waiting} requests wait; {error.detail}",
            hint="send slower, add workers (`asteria-tui models scale`), or raise job_queue_size",
        )
    if not any(model.workers for model in models):
        return ServerError(
            f"{name} has no worker",
            detail=error.detail,
            hint=f"`asteria-tui models scale {name} 1` starts one, `asteria-tui up` loads it again",
        )
    return error
