"""What TorchServe's management API answers, as structs: the one place where an answer becomes typed.

Source: docs/torchserve.md section 2. Keys that are not read here are passed over.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from asteria_tui.errors import ServerError
from asteria_tui.server.answers import Answer

Typed = TypeVar("Typed")
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class BadAnswerError(ServerError):
    """The server answered something that TorchServe never would."""


class ListedModel(msgspec.Struct, frozen=True, rename="camel"):
    model_name: Text


class ModelPage(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /models`."""

    models: tuple[ListedModel, ...]
    next_page_token: Text | None = None


class WorkerDescription(msgspec.Struct, frozen=True, rename="camel"):
    id: Text
    status: Text
    pid: Number = -1
    memory_usage: Number = 0


class QueueStatus(msgspec.Struct, frozen=True, rename="camel"):
    pending_requests: Number = 0
    remaining_capacity: Number | None = None


class Description(msgspec.Struct, frozen=True, rename="camel"):
    """One version of `GET /models/NAME/VERSION`."""

    model_name: Text
    model_version: Text
    model_url: Text | None = None
    min_workers: Number = 0
    max_workers: Number = 0
    batch_size: Number = 1
    max_batch_delay: Number = 0
    workers: tuple[WorkerDescription, ...] = ()
    job_queue_status: QueueStatus | None = None


Descriptions = Annotated[tuple[Description, ...], msgspec.Meta(min_length=1)]
RawDescriptions = Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]


def typed(answer: Answer, kind: type[Typed], asked: str) -> Typed:
    """The body as that type; raises BadAnswerError; `asked` says what for."""
    try:
        return msgspec.convert(answer.body, kind)
    except msgspec.ValidationError as error:
        raise BadAnswerError(
            "the server's answer is not one of TorchServe",
            detail=f"{asked}: {error}",
            hint="`asteria-tui status` shows the address: something else may answer there",
        ) from error
