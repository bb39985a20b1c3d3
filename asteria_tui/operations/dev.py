"""`dev`: the models served from their sources, and each save answered in a moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from asteria_tui.config import ModelSettings, Project
from asteria_tui.dev import archive, lease
from asteria_tui.dev.archive import DAY, DevArchive
from asteria_tui.errors import ArchiveError, AsteriaError, BusyError, ServerError, TargetError
from asteria_tui.events import Lane, ModelsChanged, WarningRaised
from asteria_tui.operations.base import Context, Operation, ServerConnection, locked, open_watch, stage
from asteria_tui.operations.down import end_server
from asteria_tui.operations.drain import versions_of
from asteria_tui.operations.held import sockets_of
from asteria_tui.operations.ownership import forget_dev
from asteria_tui.operations.ready import wait_ready
from asteria_tui.operations.replace import REGISTER_SLACK, lent, load, remember, unload
from asteria_tui.operations.samples import Samples
from asteria_tui.operations.saves import Again, Saves
from asteria_tui.operations.start import start_server
from asteria_tui.operations.status import show_models
from asteria_tui.operations.up import up
from asteria_tui.process import uninterrupted
from asteria_tui.targets.record import LoadedModel, ServerRecord, load_record
from asteria_tui.targets.server_config import ServedModel
from asteria_tui.wording import plural


class Dev(Operation, frozen=True, kw_only=True):
    """Until it is cancelled, or somebody else takes the server; then the server is as it was before, or stopped."""

    name: ClassVar[str] = "dev"
    lane: ClassVar[Lane] = "background"
    model: str | None = None
    samples: tuple[str, ...] = ()
    """Sent again after each save; without any, the first one of each model."""
    depth: Literal["live", "worker"] = "live"
    """`worker`: begin the worker anew for each save, for code that can't be loaded twice in one process."""
    hold: Annotated[bool, msgspec.Meta(description="Keep a request that fails waiting for its fix.")] = False
    hold_for: Annotated[int, msgspec.Meta(ge=1, description="Seconds that one is kept at most.")] = 600
    stop: Annotated[bool, msgspec.Meta(description="Stop the server at the end, whatever ran before.")] = False

    async def run(self, context: Context) -> None:
        if context.project.settings.server.target != "local":
            raise TargetError("dev serves on this machine only", hint="--target local; `up` serves in a container")
        again: Again | None = None
        samples = Samples(self.samples)
        hold_for = self.hold_for if self.hold else 0
        async with _owning(context, context.models(self.model), hold_for=hold_for, stop=self.stop) as owned:
            while True:
                served = await owned.serve(is_live=self.depth == "live", again=again)
                async with context.client(served.record) as client:
                    server = ServerConnection(owned.context, client, open_watch(owned.context, look_back=0))
                    saves = Saves(
                        server,
                        served.archives,
                        folder=served.temporary,
                        samples=samples,
                        depth=self.depth,
                        is_owned=owned.is_ours,
                        hold_for=hold_for,
                    )
                    try:
                        await saves.follow(again)
                    except Again as asked:
                        again = asked
                        owned.use(asked.project)
                    else:
                        return


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What `dev` has a server serve."""

    record: ServerRecord
    archives: dict[str, DevArchive]

    temporary: Path
    """Where its workers' sockets are."""


class Owner:
    """Has the server for as long as the lease is there."""

    def __init__(
        self, context: Context, models: dict[str, ModelSettings], held: lease.Lease, before: ServerRecord | None
    ) -> None:
        self.context = context
        self.models = models
        self._lease = held
        self._before = before

    def is_ours(self) -> bool:
        return lease.current(self.context.project) == self._lease

    def use(self, project: Project) -> None:
        """Settings that changed meanwhile."""
        self.context = msgspec.structs.replace(self.context, project=project)
        self.context.target.project = project
        self.models = {name: model for name, model in project.settings.models.items() if name in self.models}

    async def serve(self, *, is_live: bool, again: Again | None) -> Served:
        """The stages start and ready, under the lock of the project; raises AsteriaError."""
        context, project = self.context, self.context.project
        async with locked(project, context.emit):
            archives = {}
            for name, settings in self.models.items():
                can_live = is_live and not archive.obstacle(project, settings)
                archives[name] = await asyncio.to_thread(archive.make, project, name, settings, is_live=can_live)
            models = [served_model(archives[name], settings) for name, settings in self.models.items()]
            started = await start_server(context, models, anew=again is not None and again.depth == "restart")
            async with context.client(started.record) as client:
                server = ServerConnection(context, client, open_watch(context, look_back=0))
                for model in models:
                    is_again = started.is_new or (again is not None and model.name in again.models)
                    if is_again or not await _is_served(server, started.record, model):
                        await _ready(server, model, self.models[model.name], started.record, is_new=started.is_new)
                await show_models(context, client, load_record(project) or started.record)
        record = load_record(project) or started.record
        return Served(record=record, archives=archives, temporary=sockets_of(project, record))

    async def leave(self, *, stop: bool) -> None:
        """The server as it was before; not where somebody else has it by now."""
        context = self.context
        if not self.is_ours():
            return
        async with locked(context.project, context.emit):
            if not self.is_ours():
                return
            lease.end(context.project)
            if stop or self._before is None:
                async with stage(context.emit, "stop"):
                    await end_server(context)
            else:
                await self._serve_plain(self._before)
            forget_dev(context, load_record(context.project))

    async def _serve_plain(self, before: ServerRecord) -> None:
        """Of the sources as they are now; of those that do not work, what was served before."""
        context = self.context
        plain = {name: model for name, model in self.models.items() if name in before.models}
        with contextlib.suppress(AsteriaError):  # which its stage has told
            if plain:
                await up(context, plain)
        record = await context.target.find()
        if record is None:
            return
        async with context.client(record) as client:
            server = ServerConnection(context, client, open_watch(context, look_back=0))
            for name in self.models:
                loaded = record.models.get(name)
                if loaded is None or (loaded.sha256 and not loaded.is_dev):
                    continue
                await unload(server, name)
                remember(context, name, None)
                if name in before.models:
                    await _load_again(server, name, before.models[name], self.models[name])
            context.emit(ModelsChanged(models=tuple(await client.models())))


def served_model(made: DevArchive, settings: ModelSettings) -> ServedModel:
    """With the timeouts of a day: what takes longer than the project allows, `dev` itself ends."""
    for_server = msgspec.structs.replace(settings, response_timeout=DAY, startup_timeout=DAY)
    return ServedModel(
        name=made.name, version=made.version, file=made.file, sha256="", settings=for_server, is_dev=True
    )


@contextlib.asynccontextmanager
async def _owning(
    context: Context, models: dict[str, ModelSettings], *, hold_for: int, stop: bool
) -> AsyncIterator[Owner]:
    """Raises BusyError while another `dev` lives."""
    project = context.project
    async with locked(project, context.emit):
        other = lease.current(project)
        if other is not None:
            raise BusyError(
                f"dev runs already (pid {other.owner.pid})",
                detail=f"it serves {', '.join(other.models)}",
                hint="end it there; `asteria-tui up` or `down` takes the server from it",
            )
        before = _plain(await context.target.find())
        try:
            held = lease.take(project, tuple(models), hold_for)
        except OSError as error:
            raise ArchiveError("the lease of dev cannot be written", detail=error.strerror or str(error)) from error
    owner = Owner(context, models, held, before)
    try:
        yield owner
    finally:
        await uninterrupted(owner.leave(stop=stop))


def _plain(record: ServerRecord | None) -> ServerRecord | None:
    """Without what a `dev` that was killed had it serve."""
    if record is None:
        return None
    models = {name: loaded for name, loaded in record.models.items() if not loaded.is_dev}
    return msgspec.structs.replace(record, models=models)


async def _is_served(server: ServerConnection, record: ServerRecord, model: ServedModel) -> bool:
    """Just so, by the `dev` that goes on: what changed in its folder, its workers see by themselves."""
    if record.models.get(model.name) != LoadedModel.of(model):
        return False
    return any(one.is_ready and one.version == model.version for one in await versions_of(server, model.name))


async def _ready(
    server: ServerConnection, model: ServedModel, settings: ModelSettings, record: ServerRecord, *, is_new: bool
) -> None:
    """Loaded and with its workers, within the time that the project gives it."""
    async with stage(server.context.emit, "ready", model.name) as report:
        limit = settings.startup_timeout
        if is_new:
            found = await wait_ready(server, model.name, model.version, record.started_at, limit)
        else:
            try:
                async with asyncio.timeout(limit + REGISTER_SLACK):
                    replacement = await load(server, model)
            except TimeoutError:
                raise ServerError(
                    f"no worker of {model.name} was ready within {limit} s",
                    hint="startup_timeout in asteria.toml gives it longer",
                ) from None
            await replacement.accept()
            found = replacement.found  # type: ignore[assignment]
        report.summary = f"{plural(found.ready_workers, 'worker') if found else ''}, from the sources"


async def _load_again(server: ServerConnection, name: str, loaded: LoadedModel, settings: ModelSettings) -> None:
    context = server.context
    try:
        async with lent(context.project, name, loaded) as file:
            model = ServedModel(name=name, version=loaded.version, file=file, sha256=loaded.sha256, settings=settings)
            await load(server, model)
        remember(context, name, loaded)
        context.emit(WarningRaised(text=f"{name} serves its last good archive again ({loaded.sha256[:12]})"))
    except AsteriaError as error:
        context.emit(WarningRaised(text=f"{name} is not served: {error.title}"))
