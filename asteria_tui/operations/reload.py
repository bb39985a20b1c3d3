"""`reload`: the sources as they are now take the place of what a model serves, and no request is lost.

TorchServe holds a version once. So where it stays the same, its code is first served as a version of its own beside
the old one, and that makes way for the archive proper (docs/torchserve.md section 2).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import msgspec

from asteria_tui.archive.build import build
from asteria_tui.archive.sources import collect
from asteria_tui.events import Lane, ModelsChanged, WarningRaised
from asteria_tui.operations.base import Context, Operation, Progress, ServerConnection, in_thread, open_watch
from asteria_tui.operations.drain import versions_of
from asteria_tui.operations.ownership import end_dev
from asteria_tui.operations.package import package
from asteria_tui.operations.predict import smoke_test
from asteria_tui.operations.replace import replace_model
from asteria_tui.targets.record import LoadedModel, load_record
from asteria_tui.targets.server_config import ServedModel

STAND_IN = "-reloading"
"""After the version, for the moment between the old code of a version and the new."""


class Reload(Operation, frozen=True, kw_only=True):
    """Package the sources and serve them, of one model or all, without losing a request."""

    name: ClassVar[str] = "reload"
    lane: ClassVar[Lane] = "workflow"
    model: str | None = None

    async def run(self, context: Context) -> None:
        record = await context.running()
        end_dev(context)
        packaged = await package(context, context.models(self.model))
        async with context.client(record) as client:
            server = ServerConnection(context, client, open_watch(context, look_back=0))
            for model in packaged:
                await _reload(server, model)
            context.emit(ModelsChanged(models=tuple(await client.models())))


async def _reload(server: ServerConnection, model: ServedModel) -> None:
    """Raises what the new code does wrong; the old one is served on then."""
    record = load_record(server.context.project)
    versions = await versions_of(server, model.name)
    same = next((found for found in versions if found.version == model.version and found.is_ready), None)
    is_loaded = record is not None and record.models.get(model.name) == LoadedModel.of(model)
    if same is not None and is_loaded:
        await smoke_test(server, model.name, model.settings)
        return
    if same is not None and model.settings.archive is None:
        with _stand_in_file(server.context, model.name) as file:
            await replace_model(server, await _stand_in(server.context, model, file))
    elif same is not None:
        text = f"{model.name} is a ready-made archive of the same version: it is loaded in place"
        server.context.emit(WarningRaised(text=text, hint="requests in the meantime are refused"))
    await replace_model(server, model)


async def _stand_in(context: Context, model: ServedModel, file: str) -> ServedModel:
    version = f"{model.version}{STAND_IN}"
    settings = msgspec.structs.replace(model.settings, version=version)
    sources = await asyncio.to_thread(collect, context.project, model.name, settings)
    target = context.project.primary_store / file

    def write(progress: Progress) -> str:
        return build(sources, target, progress).sha256

    sha256 = await in_thread(write, context.emit, "package", model.name, version)
    return msgspec.structs.replace(model, version=version, file=file, sha256=sha256, settings=settings)


@contextmanager
def _stand_in_file(context: Context, name: str) -> Iterator[str]:
    """Named as `archive.files.PARTIAL` has it: what a killed run leaves is removed by the next one."""
    file = f".{name}.{secrets.token_hex(4)}.partial.mar"
    try:
        yield file
    finally:
        (context.project.primary_store / file).unlink(missing_ok=True)
