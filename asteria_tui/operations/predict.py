"""The stage `predict`: one inference, and why it failed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
import time
from typing import ClassVar

from asteria_tui.config import ModelSettings
from asteria_tui.errors import AsteriaError, ConfigError, InferenceError
from asteria_tui.events import Cause, CommandRan, Frame, Predicted
from asteria_tui.inference.path import prediction_path
from asteria_tui.inference.payload import Payload, first_sample, sample_files
from asteria_tui.operations.base import Context, Operation, ServerConnection, StageReport, open_watch, stage
from asteria_tui.operations.held import held_for
from asteria_tui.operations.ready import (
    explain_503,
    is_reloaded,
    replaced,
    watch_answer,
    with_log_cause,
    with_oom_reason,
)
from asteria_tui.server.answers import Answer, error_of
from asteria_tui.targets.record import LoadedModel, load_record
from asteria_tui.wording import short

TOO_LARGE = 413
"""TorchServe's own answer in spite of its empty body (docs/torchserve.md section 7)."""
SUMMARY_WIDTH = 60
WORKER_ENDED = "Worker died."
"""Also where the model was unregistered while a worker was in the middle of the request."""
ANSWER_SLACK = 10.0
"""Seconds beyond the model's own response_timeout, after which TorchServe ends the worker."""


class Predict(Operation, frozen=True, kw_only=True):
    """Sends one payload to a model of the project, by default the first, or to any other that the server has."""

    name: ClassVar[str] = "predict"
    payload: Payload
    model: str | None = None

    async def run(self, context: Context) -> None:
        record = await context.running()
        name = context.project.model()[0] if self.model is None else self.model
        settings = context.project.settings.models.get(name, ModelSettings())
        async with context.client(record) as client:
            server = ServerConnection(context, client, open_watch(context, look_back=0))
            await predict(server, name, self.payload, settings)


async def predict(server: ServerConnection, name: str, payload: Payload, settings: ModelSettings) -> Predicted:
    """Sends one payload and emits the answer, good or bad; raises InferenceError, ServerError, TokenError."""
    async with stage(server.context.emit, "predict", name) as report:
        try:
            return await _predict(server, name, payload, settings, report)
        except AsteriaError as error:
            if error.cause and error.cause.frame and error.cause.frame.is_project:
                error.hint = _way_on(server.context, name, payload, settings, error.cause.frame)
            raise


def _way_on(context: Context, name: str, payload: Payload, settings: ModelSettings, frame: Frame) -> str:
    """The worker goes on with the code that it has loaded: sending alone would ask that for ever."""
    where = f"fix {frame.file}:{frame.line}"
    loaded = _loaded(context, name)
    if loaded is not None and loaded.is_dev:
        return f"{where} and save it: the next request is answered by the new code"
    models = context.project.settings.models
    try:
        is_sample = payload.name in sample_files(context.project, settings)
    except ConfigError:
        is_sample = False
    if not is_sample or name not in models:
        return f"{where}, then `asteria-tui up`, and send it again"
    model = "" if name == next(iter(models)) else f" --model {shlex.quote(name)}"
    return f"{where}, then `asteria-tui up && asteria-tui predict {shlex.quote(payload.name)}{model}`"


async def smoke_test(
    server: ServerConnection, name: str, settings: ModelSettings, loaded: LoadedModel | None = None
) -> Predicted | None:
    """The same with the model's first sample; a model without one is not tested, and that is reported.

    `loaded` is a version that is not the default one yet.
    """
    async with stage(server.context.emit, "predict", name) as report:
        payload = first_sample(server.context.project, settings)
        if payload is None:
            report.summary = "not tested: no sample to send (samples in asteria.toml)"
            return None
        return await _predict(server, name, payload, settings, report, loaded)


async def _predict(
    server: ServerConnection,
    name: str,
    payload: Payload,
    settings: ModelSettings,
    report: StageReport,
    chosen: LoadedModel | None = None,
) -> Predicted:
    version = chosen.version if chosen else None
    path = prediction_path(name, version)
    server.context.emit(CommandRan(command=f"POST {server.client.inference}{path} ({payload.name})"))
    loaded = chosen or _loaded(server.context, name)
    begun = time.time()
    answer = await _answer(server, name, payload, settings, loaded, version)
    answered_at = time.time()
    error = None if answer.is_good else await _error(server, name, answer, begun, loaded)
    predicted = predicted_of(answer, name, payload, loaded, error.cause if error else None, at=answered_at)
    server.context.emit(predicted)
    if error is not None:
        raise error
    report.summary = short(answer.body, SUMMARY_WIDTH)
    return predicted


def predicted_of(
    answer: Answer, name: str, payload: Payload, loaded: LoadedModel | None, cause: Cause | None, *, at: float
) -> Predicted:
    """What came back, and what it belongs to."""
    return Predicted(
        at=at,
        model=name,
        version=loaded.version if loaded else "",
        archive_sha256=loaded.sha256 if loaded else "",
        sample=payload.name,
        payload_sha256=hashlib.sha256(payload.content).hexdigest(),
        status=answer.status,
        milliseconds=round(answer.milliseconds, 3),
        size=answer.size,
        content_type=answer.content_type,
        request_id=answer.request_id,
        body=answer.body,
        cause=cause,
        sources_sha256=answer.sources_sha256,
    )


def _loaded(context: Context, name: str) -> LoadedModel | None:
    """What the server has under that name, where it was us who had it loaded."""
    record = load_record(context.project)
    return record.models.get(name) if record else None


async def _answer(
    server: ServerConnection,
    name: str,
    payload: Payload,
    settings: ModelSettings,
    loaded: LoadedModel | None,
    version: str | None,
) -> Answer:
    timeout = settings.response_timeout + ANSWER_SLACK
    if loaded is not None and loaded.is_dev:
        timeout += held_for(server.context.project)
    sending = asyncio.ensure_future(
        server.client.predict(name, payload.content, payload.content_type, timeout, version)
    )
    try:
        await watch_answer(server, name, sending, loaded)
        return await sending
    except BaseException:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, AsteriaError):
            await sending
        raise


async def _error(
    server: ServerConnection, name: str, answer: Answer, begun: float, loaded: LoadedModel | None
) -> AsteriaError:
    if loaded is not None and answer.message == WORKER_ENDED and is_reloaded(server, name, loaded):
        return replaced(name, loaded)
    asked = f"POST {prediction_path(name)}"
    if not answer.type and answer.status != TOO_LARGE:
        # No error type of TorchServe's: the handler chose this answer itself.
        reason = answer.body.get("error", answer.body) if isinstance(answer.body, dict) else answer.body
        return InferenceError(f"the model answered {answer.status}", detail=str(reason), hint="fix the payload")
    error = error_of(answer, asked)
    if answer.type == "ServiceUnavailableException":
        return await explain_503(server, name, error)
    if isinstance(error, InferenceError):
        return await with_oom_reason(server, await with_log_cause(server, error, name, begun, "inference", ""), begun)
    return error
