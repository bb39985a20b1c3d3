"""A model gives up its place only when its successor has passed its smoke test.

Another version is loaded beside the old one, tested, made the default, and only then the old one goes. TorchServe holds
a version once (docs/torchserve.md section 2), so the same version, or a second one where memory is short, is loaded in
place of the old one, whose archive is loaded again when that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection

import msgspec

from asteria_tui.archive import kept
from asteria_tui.archive.stores import unpacked_size
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import ArchiveError, AsteriaError, ServerError
from asteria_tui.events import Model, Stage, WarningRaised
from asteria_tui.operations.base import Context, ServerConnection, stage
from asteria_tui.operations.checks import require_room
from asteria_tui.operations.drain import drain, versions_of
from asteria_tui.operations.predict import smoke_test
from asteria_tui.operations.ready import wait_ready, with_log_cause, with_oom_reason
from asteria_tui.process import uninterrupted
from asteria_tui.targets.record import LoadedModel, ServerRecord, load_record, save_record, with_model
from asteria_tui.targets.server_config import ServedModel

REGISTER_SLACK = 30.0
"""Seconds beyond the model's own startup_timeout."""
SPARE_MEMORY = 1.25
"""Of what a worker takes: so much must be free for another one beside it."""
SPARE_DISK = 2**20


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was loaded and is ready, while what it replaces can still come back: `accept` it or `reject` it."""

    server: ServerConnection
    model: ServedModel
    before: LoadedModel | None = None
    """What we had loaded under its name, where that was well."""
    old: tuple[str, ...] = ()
    """The versions that go: ours, and the one whose number it takes."""
    others: tuple[str, ...] = ()
    """The versions that stay, because somebody else registered them."""
    is_beside: bool = False
    is_recorded: bool = True
    """Whether the server is the project's own."""
    found: Model | None = None
    """As the server described it when it was ready."""

    @property
    def loaded(self) -> LoadedModel:
        return LoadedModel.of(self.model)

    async def smoke_test(self) -> None:
        """Raises what the model's sample finds; then nothing new is kept that took the place of what was good."""
        try:
            # Beside another one it answers by its version only.
            is_default = not (self.is_beside or self.others)
            await smoke_test(self.server, self.model.name, self.model.settings, None if is_default else self.loaded)
        except (AsteriaError, asyncio.CancelledError):
            await self.reject()
            raise

    async def accept(self) -> None:
        """It has passed its smoke test: it takes the requests, and the old ones go when they have answered theirs."""
        if self.is_beside:
            try:
                await uninterrupted(self._take_over())
            except asyncio.CancelledError as interruption:
                if interruption.__cause__ is None:  # it has taken over
                    await uninterrupted(self._end_old())
                raise
            try:
                await self.drain("predict")
            finally:
                await uninterrupted(self._end_old())
        elif self.others:
            await self.server.client.set_default(self.model.name, self.model.version)
        if self.others:
            self._warn(f"{self.model.name} {', '.join(self.others)}, registered by hand, is served too")
        if self.is_recorded:
            await keep(self.server.context, self.model)

    async def _take_over(self) -> None:
        try:
            await self.server.client.set_default(self.model.name, self.model.version)
        except AsteriaError:
            await self.reject()
            raise
        self._remember(self.loaded)

    async def _end_old(self) -> None:
        for version in self.old:
            await self.server.client.unregister(self.model.name, version)

    async def drain(self, during: Stage) -> None:
        await drain(
            self.server,
            self.model.name,
            self.old,
            during,
            takes_new=not self.is_beside,
            has_log=self.is_recorded,
        )

    async def reject(self, *, is_ready: bool = True) -> None:
        """It has not: what was there before serves on, or again, and that is said. To its end, also if interrupted.

        Where nothing was there before, a successor that is ready stays.
        """
        await uninterrupted(self._reject(is_ready=is_ready))

    async def _reject(self, *, is_ready: bool) -> None:
        name, project = self.model.name, self.server.context.project
        is_kept = self.before is not None and kept.is_kept(project, name, self.before.sha256)
        if self.is_beside or is_kept or not is_ready:
            # TorchServe would start a broken worker again for five minutes (docs/torchserve.md section 6).
            await end_retries(self.server, self.model)
        if self.is_beside:
            self._warn(f"{name} {', '.join(self.old + self.others)} is still served")
        elif self.before is not None and is_kept:
            self._remember(_wanted(self.before))
            try:
                await self._load_again(self.before)
            except AsteriaError as error:
                self._warn(f"{name} is not served: its last good archive does not load again either ({error.title})")
            else:
                self._warn(f"{name} serves its last good archive again ({self.before.sha256[:12]})")

    async def _load_again(self, before: LoadedModel) -> None:
        name, project = self.model.name, self.server.context.project
        settings = settings_of(before, self.model.settings)
        begun = time.time()
        async with lent(project, name, before) as file:
            old = ServedModel(name=name, version=before.version, file=file, sha256=before.sha256, settings=settings)
            await register(self.server, old)
        await wait_ready(self.server, name, before.version, begun, settings.startup_timeout)
        if self.others:
            await self.server.client.set_default(name, before.version)
        self._remember(before)

    def _remember(self, loaded: LoadedModel) -> None:
        if self.is_recorded:
            remember(self.server.context, self.model.name, loaded)

    def _warn(self, text: str) -> None:
        self.server.context.emit(WarningRaised(text=text))


async def replace_model(server: ServerConnection, model: ServedModel, *, is_recorded: bool = True) -> None:
    """The stages ready and predict of a model that takes the place of what is served under its name."""
    async with stage(server.context.emit, "ready", model.name):
        replacement = await load(server, model, is_recorded=is_recorded)
    await replacement.smoke_test()
    await replacement.accept()


async def load(server: ServerConnection, model: ServedModel, *, is_recorded: bool = True) -> Replacement:
    """Has the server load an archive and waits for its workers.

    Raises:
        ServerError: with its cause; what was served before is so again, where that was well.
    """
    context = server.context
    record = load_record(context.project) if is_recorded else None
    if record is not None and record.target == "local" and not model.is_dev:
        size = await asyncio.to_thread(unpacked_size, context.project.primary_store / model.file)
        require_room(context.project.state_dir, size + SPARE_DISK, f"the unpacked archive of {model.name}")
    found = await versions_of(server, model.name)
    before = record.models.get(model.name) if record else None
    if before is not None and not any(one.version == before.version and one.is_ready for one in found):
        before = None
    ours = {model.version, record.models[model.name].version if model.name in record.models else ""} if record else None
    versions = tuple(one.version for one in found)
    replacement = Replacement(
        server=server,
        model=model,
        before=before,
        old=tuple(version for version in versions if ours is None or version in ours),
        others=tuple(version for version in versions if ours is not None and version not in ours),
        is_recorded=is_recorded,
    )
    if await _fits_beside(server, record, model, found):
        try:
            return await _loaded(msgspec.structs.replace(replacement, is_beside=True))
        except AsteriaError as error:
            if not _is_out_of_memory(error):
                raise
            context.emit(
                WarningRaised(text=f"memory does not hold two versions of {model.name}: the old one goes first")
            )
    await replacement.drain("ready")
    if record is not None:
        remember(context, model.name, _wanted(replacement.loaded))
    try:
        await unload(server, model.name, replacement.old)
    except (AsteriaError, asyncio.CancelledError):
        await replacement.reject(is_ready=False)
        raise
    loaded = await _loaded(replacement)
    if record is not None:
        remember(context, model.name, replacement.loaded)
    return loaded


async def _loaded(replacement: Replacement) -> Replacement:
    """Registers it and waits until it is ready; rejects it when it fails or we are interrupted."""
    server, model = replacement.server, replacement.model
    begun = time.time()
    try:
        await register(server, model)
        found = await wait_ready(server, model.name, model.version, begun, model.settings.startup_timeout)
    except AsteriaError as error:
        explained = error
        if isinstance(error, ServerError) and error.cause is None:
            explained = await with_log_cause(server, error, model.name, begun, "load", "start")
        explained = await with_oom_reason(server, explained, begun)
        await replacement.reject(is_ready=False)
        raise explained from error
    except asyncio.CancelledError:
        await replacement.reject(is_ready=False)
        raise
    return msgspec.structs.replace(replacement, found=found)


async def register(server: ServerConnection, model: ServedModel) -> None:
    """Raises ServerError; a full disk is told from a damaged archive, for which TorchServe has one text."""
    timeout = model.settings.startup_timeout + REGISTER_SLACK
    try:
        await server.client.register(model.file, model.name, model.register_parameters, timeout)
    except ServerError as error:
        if "Failed to save model" in error.detail:
            record = load_record(server.context.project)
            if record is not None and record.target == "local":
                size = unpacked_size(server.context.project.primary_store / model.file)
                require_room(server.context.project.state_dir, size, f"the unpacked archive of {model.name}")
        raise


@contextlib.asynccontextmanager
async def lent(project: Project, name: str, loaded: LoadedModel) -> AsyncIterator[str]:
    """`kept.in_store`, found by a thread; raises ArchiveError."""
    with contextlib.ExitStack() as stack:
        found = kept.in_store(project, name, loaded.file, loaded.sha256)
        # To its end: what is lent is known to the stack then.
        yield await uninterrupted(asyncio.to_thread(stack.enter_context, found))


async def unload(server: ServerConnection, name: str, versions: Collection[str] | None = None) -> None:
    """These versions or all; the default one can only be removed last (docs/torchserve.md section 2)."""
    served = [found.version for found in await versions_of(server, name)]
    going = [version for version in served if versions is None or version in versions]
    staying = [version for version in served if version not in going]
    if not going:
        return
    default = await server.client.default_version(name)
    if default in going and staying:
        await server.client.set_default(name, staying[0])
    for version in sorted(going, key=lambda version: version == default):
        await server.client.unregister(name, version)


async def end_retries(server: ServerConnection, model: ServedModel) -> None:
    with contextlib.suppress(AsteriaError):
        await server.client.unregister(model.name, model.version)


def remember(context: Context, name: str, loaded: LoadedModel | None) -> None:
    """In the record of the server; what is not in it, somebody else had loaded."""
    record = load_record(context.project)
    if record is not None:
        save_record(context.project, with_model(record, name, loaded))


def _wanted(model: LoadedModel) -> LoadedModel:
    """Not there: `status` says so until it is."""
    return msgspec.structs.replace(model, sha256="")


async def keep(context: Context, model: ServedModel) -> None:
    """Keeps the archive of a model that has passed its smoke test, for the day when its successor does not."""
    if model.is_dev:
        return
    try:
        file = context.project.primary_store / model.file
        await uninterrupted(asyncio.to_thread(kept.keep, context.project, model.name, file, model.sha256))
    except ArchiveError as error:
        context.emit(WarningRaised(text=error.title, hint=error.detail))


def settings_of(loaded: LoadedModel, settings: ModelSettings) -> ModelSettings:
    """The settings with what it was served with."""
    served = {
        "workers": "minWorkers",
        "batch_size": "batchSize",
        "max_batch_delay": "maxBatchDelay",
        "response_timeout": "responseTimeout",
        "startup_timeout": "startupTimeout",
    }
    known = {field: loaded.parameters[key] for field, key in served.items() if key in loaded.parameters}
    return msgspec.structs.replace(settings, version=loaded.version, **known)


async def _fits_beside(
    server: ServerConnection, record: ServerRecord | None, model: ServedModel, old: list[Model]
) -> bool:
    """Whether there is something to keep, under another version, and memory for both as far as is known."""
    if not any(one.is_ready for one in old) or any(one.version == model.version for one in old):
        return False
    worker = max((worker.memory_bytes or 0 for one in old for worker in one.workers), default=0)
    vitals = await server.context.target.vitals(record) if record else None
    if vitals is None or vitals.available_bytes is None:
        return True
    return worker * model.settings.workers * SPARE_MEMORY <= vitals.available_bytes


def _is_out_of_memory(error: AsteriaError) -> bool:
    text = f"{error.title} {error.detail} {error.cause.exception if error.cause else ''}".lower()
    return any(word in text for word in ("out of memory", "outofmemory", "memoryerror", "memory limit"))
