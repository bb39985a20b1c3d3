"""The pinned samples of models that `dev` serves: sent again, and compared with what they were answered before."""

from __future__ import annotations

import contextlib
import hashlib
import time

import msgspec

from asteria_tui.config import ModelSettings
from asteria_tui.dev.hearing import Hearing, Told
from asteria_tui.dev.loader import OURS_HEADER
from asteria_tui.dev.messages import Failed, Loaded, LoadFailed
from asteria_tui.errors import AsteriaError, ConfigError, InferenceError
from asteria_tui.events import Cause, Predicted, SampleAnswer, WarningRaised
from asteria_tui.inference.content import summary
from asteria_tui.inference.difference import differences
from asteria_tui.inference.payload import Payload, first_sample, from_file, sample_files
from asteria_tui.operations.base import ServerConnection
from asteria_tui.operations.predict import ANSWER_SLACK, WORKER_ENDED, predicted_of
from asteria_tui.targets.record import load_record


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples told of the code in service."""

    load: Loaded | LoadFailed | None
    """The last one of the worker that answered."""
    sources: str
    samples: tuple[SampleAnswer, ...]

    @property
    def failure(self) -> LoadFailed | None:
        return self.load if isinstance(self.load, LoadFailed) else None


class Samples:
    """Those of `names`, or of each model the first one."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._answers: dict[tuple[str, str], SampleAnswer] = {}
        """The last good one of each model and sample."""

    async def ask(self, server: ServerConnection, hearing: Hearing, name: str, settings: ModelSettings) -> Seen:
        """Each in turn; of a model without any, the handler's own description, which reaches a worker too."""
        payloads = self._payloads(server, settings)
        answers = []
        last: Told | None = None
        for payload in payloads:
            try:
                predicted, told = await _send(server, hearing, name, payload, settings)
            except InferenceError as error:  # none in time
                cause = Cause(exception=error.title, message=error.detail, model=name)
                answers.append(SampleAnswer(sample=payload.name, status=0, milliseconds=0.0, cause=cause))
                continue
            last = told or last
            answers.append(self._compared(predicted))
        if not payloads:
            await hearing.workers.connect()
            before = hearing.ended[name]
            with contextlib.suppress(AsteriaError):
                await server.client.describe_raw(name, settings.version, customized=True)
            await hearing.until_next(name, before)
        load = hearing.last_load(name, last)
        sources = last.message.sources if last else (load.sources if load else "")
        return Seen(load=load, sources=sources, samples=tuple(answers))

    def _payloads(self, server: ServerConnection, settings: ModelSettings) -> list[Payload]:
        project = server.context.project
        try:
            if not self.names:
                first = first_sample(project, settings)
                return [first] if first else []
            known = sample_files(project, settings)
            return [from_file(known[sample], sample, settings.content_type) for sample in self.names if sample in known]
        except ConfigError as error:
            server.context.emit(WarningRaised(text=error.title, hint=error.hint))
            return []

    def _compared(self, predicted: Predicted) -> SampleAnswer:
        key = (predicted.model, predicted.sample)
        before = self._answers.get(key)
        answer = SampleAnswer(
            sample=predicted.sample,
            status=predicted.status,
            milliseconds=predicted.milliseconds,
            milliseconds_before=before.milliseconds if before else None,
            body=_body(predicted),
            differences=differences(before.body, _body(predicted)) if before and predicted.is_good else (),
            is_first=before is None,
            cause=predicted.cause,
        )
        if predicted.is_good:
            self._answers[key] = answer
        return answer


def _body(predicted: Predicted) -> object:
    """Bytes that are neither JSON nor text are told by what they are and their hash, so that they can be compared."""
    if not predicted.content:
        return predicted.body
    sha256 = hashlib.sha256(predicted.content).hexdigest()
    return f"{summary(predicted.content, predicted.content_type)}, sha256 {sha256[:12]}"


async def _send(
    server: ServerConnection, hearing: Hearing, name: str, payload: Payload, settings: ModelSettings
) -> tuple[Predicted, Told | None]:
    timeout = settings.response_timeout + ANSWER_SLACK
    context = server.context
    for _ in range(2):
        await hearing.workers.connect()
        answer = await server.client.predict(
            name, payload.content, payload.content_type, timeout, headers={OURS_HEADER: "1"}
        )
        if answer.message != WORKER_ENDED:  # which may have been of something else: the next one tells
            break
    told = await hearing.until_told(answer.request_id)
    failed = told.message if told is not None and isinstance(told.message, Failed) else None
    cause = failed.cause(str(context.project.root), name, "inference") if failed else None
    record = load_record(context.project)
    loaded = record.models.get(name) if record else None
    predicted = predicted_of(answer, name, payload, loaded, cause, at=time.time())
    if told is not None:
        predicted = msgspec.structs.replace(predicted, sources_sha256=told.message.sources)
    context.emit(predicted)
    return predicted, told
