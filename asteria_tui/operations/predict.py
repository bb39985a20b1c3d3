"""The stage `predict`: one inference, and why it failed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import msgspec

from asteria_tui.config import ModelSettings
from asteria_tui.errors import AsteriaError, ConfigError, InferenceError
from asteria_tui.events import Cause, CommandRan, Frame, Predicted
from asteria_tui.files import write_atomically
from asteria_tui.inference.content import summary
from asteria_tui.inference.payload import Payload, first_sample, sample_files
from asteria_tui.inference.request import Call, Envelope, Request, path_of, what_the_handler_gets
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
from asteria_tui.server.answers import Answer, BrokenAnswerError, error_of
from asteria_tui.server.client import Receive
from asteria_tui.targets.record import LoadedModel, load_record
from asteria_tui.wording import short, size

TOO_LARGE = 413
"""TorchServe's own answer in spite of its empty body (docs/torchserve.md section 7)."""
SUMMARY_WIDTH = 60
WORKER_ENDED = "Worker died."
"""Also where the model was unregistered while a worker was in the middle of the request."""
ANSWER_SLACK = 10.0
"""Seconds beyond the model's own response_timeout, after which TorchServe ends the worker."""


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks beside its payload, and where the answer goes."""

    version: str | None = None
    call: Call = "predict"
    envelope: Envelope | None = None
    headers: Mapping[str, str] = {}
    receive: Receive | None = None
    """Gets the body of a good answer as it comes."""
    save_as: Path | None = None
    """Where the body of a good answer is kept, whole or not at all."""

    def path(self, model: str) -> str:
        return path_of(model, version=self.version, call=self.call, envelope=self.envelope)


PLAIN = How()


class Predict(Operation, frozen=True, kw_only=True):
    """Sends one payload to a model of the project, by default the first, or to any other that the server has."""

    name: ClassVar[str] = "predict"
    payload: Payload
    model: str | None = None
    how: How = PLAIN

    async def run(self, context: Context) -> None:
        record = await context.running()
        name = context.project.model()[0] if self.model is None else self.model
        settings = context.project.settings.models.get(name, ModelSettings())
        async with context.client(record) as client:
            server = ServerConnection(context, client, open_watch(context, look_back=0))
            await predict(server, name, self.payload, settings, self.how)


async def predict(
    server: ServerConnection, name: str, payload: Payload, settings: ModelSettings, how: How = PLAIN
) -> Predicted:
    """Sends one payload and emits the answer, good or bad; raises InferenceError, ServerError, TokenError."""
    async with stage(server.context.emit, "predict", name) as report:
        try:
            return await _predict(server, name, payload, settings, report, how)
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
        how = How(version=loaded.version if loaded else None)
        return await _predict(server, name, payload, settings, report, how, loaded)


async def _predict(
    server: ServerConnection,
    name: str,
    payload: Payload,
    settings: ModelSettings,
    report: StageReport,
    how: How,
    chosen: LoadedModel | None = None,
) -> Predicted:
    request = Request(path=how.path(name), body=payload.content, content_type=payload.content_type, headers=how.headers)
    context = server.context
    context.emit(CommandRan(command=f"POST {server.client.inference}{request.path} ({payload.name})"))
    context.emit(CommandRan(command=_sent(request)))
    loaded = chosen or _loaded(context, name, how.version)
    begun = time.time()
    error: AsteriaError | None = None
    broken: AsteriaError | None = None
    try:
        answer = await _answer(server, name, request, settings, loaded, how)
    except BrokenAnswerError as told:
        answer, broken = told.answer, told.plain
    answered_at = time.time()  # looking for the cause takes its time, too
    if broken is not None:
        error = await with_log_cause(server, broken, name, begun, "inference", "")
    elif not answer.is_good:
        error = await _error(server, name, request, answer, begun, loaded)
    predicted = predicted_of(answer, name, payload, loaded, error.cause if error else None, at=answered_at)
    context.emit(predicted)
    if error is not None:
        raise error
    report.summary = _said(answer)
    if how.save_as is not None:
        _save(how.save_as, answer)
        report.summary = f"saved {how.save_as}: {summary(answer.content, answer.content_type)}"
    return predicted


def _sent(request: Request) -> str:
    """What goes out, and what TorchServe makes of it."""
    names = "".join(f", {name}" for name in request.headers)
    kind = request.content_type or "no content type"
    got = what_the_handler_gets(request.content_type, request.body)
    return f"{size(len(request.body))}, {kind}{names}: the handler gets {got}"


def _said(answer: Answer) -> str:
    if answer.body is None and answer.content != b"null":
        return summary(answer.content, answer.content_type)
    return short(answer.body, SUMMARY_WIDTH)


def _save(file: Path, answer: Answer) -> None:
    try:
        write_atomically(file, answer.content, mode=0o666)
    except OSError as error:
        raise ConfigError(f"cannot write {file}", detail=error.strerror or str(error)) from error


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
        content=b"" if answer.body is not None else answer.content,
        cause=cause,
        sources_sha256=answer.sources_sha256,
    )


def _loaded(context: Context, name: str, version: str | None = None) -> LoadedModel | None:
    """What the server has under that name, where it was us who had it loaded, and no other version is asked for."""
    record = load_record(context.project)
    loaded = record.models.get(name) if record else None
    return None if loaded is not None and version not in {None, loaded.version} else loaded


async def _answer(
    server: ServerConnection,
    name: str,
    request: Request,
    settings: ModelSettings,
    loaded: LoadedModel | None,
    how: How,
) -> Answer:
    timeout = settings.response_timeout + ANSWER_SLACK
    if loaded is not None and loaded.is_dev:
        timeout += held_for(server.context.project)
    sending = asyncio.ensure_future(server.client.infer(request, timeout, how.receive))
    try:
        await watch_answer(server, name, sending, loaded)
        return await sending
    except BaseException:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, AsteriaError):
            await sending
        raise


async def _error(
    server: ServerConnection, name: str, request: Request, answer: Answer, begun: float, loaded: LoadedModel | None
) -> AsteriaError:
    if loaded is not None and answer.message == WORKER_ENDED and is_reloaded(server, name, loaded):
        return replaced(name, loaded)
    asked = f"POST {request.path}"
    if not answer.type and answer.status != TOO_LARGE:
        # No error type of TorchServe's: the handler chose this answer itself.
        reason = answer.body.get("error", answer.body) if isinstance(answer.body, dict) else answer.message
        return InferenceError(f"the model answered {answer.status}", detail=str(reason), hint="fix the payload")
    error = error_of(answer, asked)
    if answer.type == "ServiceUnavailableException":
        return await explain_503(server, name, error)
    if isinstance(error, InferenceError):
        return await with_oom_reason(server, await with_log_cause(server, error, name, begun, "inference", ""), begun)
    return error
