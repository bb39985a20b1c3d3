"""`models`: the management API."""

from __future__ import annotations

from typing import ClassVar

from asteria_tui.config import MODEL_NAME
from asteria_tui.errors import ConfigError, InferenceError
from asteria_tui.events import Lane, ModelDescribed
from asteria_tui.operations.base import Context, Operation
from asteria_tui.operations.status import show_models
from asteria_tui.server.client import Client
from asteria_tui.targets.record import ServerRecord, load_record, save_record, with_model

WORKER_TIMEOUT = 300.0
"""Seconds for a call that waits for workers to load a model of any size."""


class ListModels(Operation, frozen=True, kw_only=True):
    """Every version of every model, with its workers."""

    name: ClassVar[str] = "models list"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> None:
        record = await context.running()
        async with context.client(record) as client:
            await show_models(context, client, record)


class DescribeModel(Operation, frozen=True, kw_only=True):
    """All that the server says of a model, with the handler's own description where a worker can give it."""

    name: ClassVar[str] = "models show"
    is_about_server: ClassVar[bool] = True
    model: str

    async def run(self, context: Context) -> None:
        async with context.client(await context.running()) as client:
            try:
                versions = await client.describe_raw(self.model, customized=True)
            except InferenceError:
                versions = await client.describe_raw(self.model)
        context.emit(ModelDescribed(model=self.model, versions=tuple(versions)))


class ModelChange(Operation, frozen=True, kw_only=True):
    """One call of the management API that changes what is served, then the models as they are after it."""

    lane: ClassVar[Lane] = "workflow"
    is_about_server: ClassVar[bool] = True

    async def run(self, context: Context) -> None:
        record = await context.running()
        async with context.client(record) as client:
            await self.change(client)
            record = self.recorded(record)
            known = load_record(context.project)
            if known is not None and self.recorded(known) != known:
                save_record(context.project, self.recorded(known))
            await show_models(context, client, record)

    async def change(self, client: Client) -> None:
        raise NotImplementedError

    def recorded(self, record: ServerRecord) -> ServerRecord:
        """The record of the server after it: what somebody took away on purpose is not missed."""
        return record


class RegisterModel(ModelChange, frozen=True, kw_only=True):
    """Loads an archive of the store and starts its workers."""

    name: ClassVar[str] = "models register"
    archive: str
    """Its file name in the store."""
    model: str | None = None
    """Instead of the name in the archive."""
    workers: int = 1
    batch_size: int = 1
    max_batch_delay: int = 100
    """Milliseconds."""

    async def change(self, client: Client) -> None:
        if self.model is not None and not MODEL_NAME.fullmatch(self.model):
            # The server takes any name, and then knows no way to ask for it (docs/torchserve.md section 2).
            raise ConfigError(f"{self.model!r} is not a valid model name", hint="letters, digits, `_`, `-` and `.`")
        parameters = {
            "initial_workers": self.workers,
            "batch_size": self.batch_size,
            "max_batch_delay": self.max_batch_delay,
        }
        await client.register(self.archive, self.model, parameters, timeout=WORKER_TIMEOUT)


class UnregisterModel(ModelChange, frozen=True, kw_only=True):
    """Stops the workers of a model, or of one version, and forgets it."""

    name: ClassVar[str] = "models unregister"
    model: str
    version: str | None = None

    async def change(self, client: Client) -> None:
        await client.unregister(self.model, self.version)

    def recorded(self, record: ServerRecord) -> ServerRecord:
        loaded = record.models.get(self.model)
        is_gone = loaded is not None and self.version in {None, loaded.version}
        return with_model(record, self.model, None) if is_gone else record


class ScaleModel(ModelChange, frozen=True, kw_only=True):
    """Starts or stops workers, and waits until it is done."""

    name: ClassVar[str] = "models scale"
    model: str
    workers: int
    version: str | None = None

    async def change(self, client: Client) -> None:
        await client.scale(self.model, self.workers, self.version)


class SetDefaultVersion(ModelChange, frozen=True, kw_only=True):
    name: ClassVar[str] = "models default"
    model: str
    version: str

    async def change(self, client: Client) -> None:
        await client.set_default(self.model, self.version)
