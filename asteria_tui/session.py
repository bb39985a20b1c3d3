"""One live piece of work on a project: runs workflows, owns the target, and `events()` is the one stream.

A renderer opens a Session, asks for actions, and shows what comes. The Session is opened around the screen, never
inside it, so that leaving the screen cuts no clean-up short.
"""

from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from asteria_tui import config
from asteria_tui.config import FILE_NAME, MODEL_NAME, Archiver, ModelSettings, Project, TargetName
from asteria_tui.errors import ArchiveError, AsteriaError, ConfigError, ExitCode, InferenceError, ServerError
from asteria_tui.events import Cause, Event, KeyKind, LogBatch, Predicted, ServerChanged, StageFailed, Step
from asteria_tui.inference.answers import recall, remember
from asteria_tui.state import State, reduce

if TYPE_CHECKING:
    from asteria_tui.discovery import Discovery
    from asteria_tui.inference.payload import Payload
    from asteria_tui.logs.watch import CauseWatch
    from asteria_tui.operations.base import Context
    from asteria_tui.server.client import Client
    from asteria_tui.targets.record import ServerRecord
    from asteria_tui.targets.target import Target

WORKER_TIMEOUT = 300.0
"""Seconds for a call that waits for workers to load a model of any size."""
MAX_WAITING = 10_000
"""Events that may wait for a slow reader; beyond that log batches are dropped, never anything else."""


def open_project(root: Path, overrides: Mapping[str, Any] | None = None, *, is_about_server: bool = False) -> Project:
    """The project in `root`; without an asteria.toml the one that its server was started with.

    `is_about_server`: a broken asteria.toml does not keep a running server from being looked at or stopped.

    Raises:
        ConfigError: there is neither, or the settings are wrong.
    """
    root = root.resolve()
    record = _last_record(Project(root=root, settings=config.Settings()))
    chosen = dict(overrides or {})
    if record is not None and chosen.get("server.target") is None:
        # What was started last is what the later commands are about.
        chosen["server.target"] = record.target
    if record is not None and not (root / FILE_NAME).exists():
        return Project(root=root, settings=record.settings)
    try:
        return config.load(root, chosen)
    except ConfigError:
        if record is not None and is_about_server:
            return Project(root=root, settings=record.settings)
        raise


def _last_record(project: Project) -> ServerRecord | None:
    if not project.state_dir.exists():
        return None
    from asteria_tui.targets.record import load_record  # costs 40 ms with what it needs

    return load_record(project)


def archive_project(root: Path, file: Path, overrides: Mapping[str, Any] | None = None) -> Project:
    """A project that serves one ready-made archive, whatever lies in `root`; raises ConfigError, ArchiveError."""
    from asteria_tui.archive.inspect import inspect

    root = root.resolve()
    if not file.is_file():
        raise ConfigError(f"no archive at {file}")
    report = inspect(file)
    name, version = report.model_name or file.stem, report.version or "1.0"
    if not MODEL_NAME.fullmatch(name) or "/" in version:
        raise ArchiveError(
            f"{file} holds a model that can't be served by its name",
            detail=f"name {name!r}, version {version!r}",
            hint="letters, digits, `_`, `-` and `.`: package it again with another --model-name or --version",
        )
    settings = (
        config.load(root, overrides).settings if (root / FILE_NAME).exists() else config.settings_from({}, overrides)
    )
    # A store of its own: a foreign archive never takes the place of one of the project's.
    stores = config.StoreSettings(primary=".asteria/model_store")
    model = ModelSettings(archive=str(file.resolve()), version=version)
    return Project(root=root, settings=msgspec.structs.replace(settings, models={name: model}, stores=stores))


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An asteria.toml that is not written yet."""

    root: Path
    discovery: Discovery
    """With the reason for each value."""
    text: str


def propose(root: Path) -> Proposal:
    """The asteria.toml for what lies in `root`; raises ConfigError where that is nothing."""
    from asteria_tui.discovery import discover, to_toml

    discovery = discover(root.resolve())
    return Proposal(root=root.resolve(), discovery=discovery, text=to_toml(discovery))


def initialize(proposal: Proposal) -> Path:
    """Writes it; raises ConfigError where there is one already, or it cannot be written."""
    from asteria_tui.discovery import write

    return write(proposal.root, proposal.discovery)


def export_compose(project: Project, directory: Path) -> list[Path]:
    """Writes a compose file and what it mounts; raises ConfigError."""
    from asteria_tui.export.compose import export

    return export(project, directory)


class Session:
    """Not thread-safe but for `emit`, which any thread may call."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.state = State()
        self._performing = 0
        self._watch: tuple[Path, CauseWatch] | None = None
        self._waiting: collections.deque[Event] = collections.deque()
        self._news = asyncio.Event()
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @cached_property
    def target(self) -> Target:
        """Opened when first used: the screen paints before psutil or Docker are loaded."""
        from asteria_tui.targets.registry import open_target

        return open_target(self.project)

    @cached_property
    def work(self) -> Context:
        from asteria_tui.operations.base import Context

        return Context(self.project, self.target, self.emit)

    @property
    def records_file(self) -> Path:
        """Where the records of the last server lie, once it was started."""
        from asteria_tui.logs.history import RECORDS_FILE

        return self.project.logs_dir / RECORDS_FILE

    def choose_target(self, name: TargetName) -> None:
        """From now on TorchServe runs there; a server that runs elsewhere goes on running. Raises TargetError."""
        from asteria_tui.targets.registry import open_target

        server = msgspec.structs.replace(self.project.settings.server, target=name)
        settings = msgspec.structs.replace(self.project.settings, server=server)
        project = Project(root=self.project.root, settings=settings)
        open_target(project)
        self.project = project
        for cached in ("target", "work"):
            vars(self).pop(cached, None)
        self.emit(ServerChanged(state="stopped", target=name))

    def recall(self) -> None:
        """Brings the last answers of earlier sessions back."""
        self.state = msgspec.structs.replace(self.state, predictions=tuple(recall(self.project.state_dir)))

    def emit(self, event: Event) -> None:
        """One more fact, for the state and for whoever reads `events()`."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.emit, event)
            return
        self.state = reduce(self.state, event)
        if isinstance(event, Predicted):
            remember(self.project.state_dir, event)
        if isinstance(event, LogBatch) and len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append(event)
        self._news.set()

    async def events(self) -> AsyncIterator[Event]:
        """Every event in order, until `close`; for one reader."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._is_closed:
                return
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    async def perform(self, action: Awaitable[ExitCode | None], stage: Step) -> ExitCode:
        """Runs one action to its end; whatever it raises becomes exactly one StageFailed."""
        self._performing += 1
        try:
            return await action or ExitCode.DONE
        except AsteriaError as error:
            if not error.is_reported:
                from asteria_tui.operations.base import failure

                self.emit(failure(error, stage))
            return error.exit_code
        except asyncio.CancelledError:
            if not self._was_told_of_interruption():
                self.emit(StageFailed(stage=stage, title="interrupted", exit_code=ExitCode.INTERRUPTED))
            return ExitCode.INTERRUPTED
        finally:
            self._performing -= 1

    def _was_told_of_interruption(self) -> bool:
        failed = [stage.failure for stage in self.state.stages if stage.failure]
        return any(told.exit_code == ExitCode.INTERRUPTED for told in failed)

    # -- the workflows ------------------------------------------------------------------------------------------

    def chosen_models(self, name: str | None) -> dict[str, ModelSettings]:
        """The named model, or all of the project; raises ConfigError."""
        if name is not None:
            return dict([self.project.model(name)])
        self.project.model()
        return dict(self.project.settings.models)

    async def up(self, name: str | None = None, archiver: Archiver = "own") -> None:
        from asteria_tui.operations import serve

        await serve.up(self.work, self.chosen_models(name), archiver)

    async def restart(self, name: str | None = None) -> None:
        from asteria_tui.operations import serve

        await serve.restart(self.work, self.chosen_models(name))

    async def down(self) -> None:
        from asteria_tui.operations import serve

        await serve.down(self.work)

    async def package(self, name: str | None = None, archiver: Archiver = "own") -> None:
        from asteria_tui.operations.package import package
        from asteria_tui.operations.serve import locked

        async with locked(self.work):
            await package(self.work, self.chosen_models(name), archiver)

    async def stores(self, name: str | None = None, *, sync: bool = False) -> ExitCode:
        """The chain from sources to the loaded model as an event; FAILED when it is broken."""
        from asteria_tui.operations.serve import locked
        from asteria_tui.operations.stores import compare_stores, sync_stores

        if not sync:
            return await compare_stores(self.work, self.chosen_models(name))
        async with locked(self.work):
            return await sync_stores(self.work, self.chosen_models(name))

    async def build_image(
        self, *, wheelhouse: Path | None = None, base: str | None = None, torch_index: str | None = None
    ) -> None:
        from asteria_tui.operations.image import build_image

        await build_image(self.work, wheelhouse=wheelhouse, base=base, torch_index=torch_index)

    async def predict(self, payload: Payload, name: str | None = None) -> Predicted:
        """Sends one payload to a model of the project, or to any other that the server has."""
        from asteria_tui.operations.base import ServerConnection, open_watch
        from asteria_tui.operations.predict import predict

        record = await self.running()
        name = name or self.project.model()[0]
        settings = self.project.settings.models.get(name, ModelSettings())
        async with self.work.client(record) as client:
            watch = open_watch(self.work, look_back=0)
            return await predict(ServerConnection(self.work, client, watch), name, payload, settings)

    # -- looking ------------------------------------------------------------------------------------------------

    async def running(self) -> ServerRecord:
        """The server of this project; raises ServerError where none runs."""
        record = await self.target.find()
        if record is None:
            raise ServerError("no server of this project is running", hint="`asteria-tui up` starts one")
        return record

    async def status(self) -> ExitCode:
        """What runs and whether it is well, as events; UNWELL when it is not."""
        from asteria_tui.operations.status import check_status

        return await check_status(self.work)

    async def causes(self) -> tuple[Cause, ...]:
        """Every cause that the current log tells, each once, the newest last; read by a thread."""
        from asteria_tui.operations.base import open_watch

        if self._watch is None or self._watch[0] != self.records_file:
            self._watch = (self.records_file, open_watch(self.work))
        return tuple(await asyncio.to_thread(self._watch[1].rows))

    def source_of(self, traceback: str, model: str | None) -> tuple[str, int] | None:
        """The file and line of the project that a traceback in the log came from; None if none is the project's."""
        from asteria_tui.archive.source_map import source_map
        from asteria_tui.logs.cause import telling_frame

        frame = telling_frame(traceback, model, source_map(self.project))
        return (frame.file, frame.line) if frame is not None and frame.is_project else None

    async def monitor(self) -> None:
        """Looks at the server every two seconds, emits what is new, and holds its peace while an action runs."""
        from asteria_tui.operations.monitor import monitor

        await monitor(lambda: self.work, lambda: self.state, lambda: self._performing > 0)

    async def keys(self, *, reveal: bool = False, renew: KeyKind | None = None) -> None:
        from asteria_tui.operations.serve import show_keys

        async with self.work.client(await self.running()) as client:
            if renew is not None:
                await client.renew(renew)
            await show_keys(self.work, client, reveal=reveal)

    async def describe(self, name: str) -> list[dict[str, Any]]:
        """All that the server tells of a model, with the handler's own description where a worker can give it."""
        async with self.work.client(await self.running()) as client:
            try:
                return await client.describe_raw(name, customized=True)
            except InferenceError:
                return await client.describe_raw(name)

    async def list_models(self) -> None:
        await self._manage(lambda client: client.models())

    async def register(self, file: str, name: str | None, parameters: Mapping[str, int]) -> None:
        """`parameters` by the names of the register API, such as `initial_workers`; raises ConfigError."""
        if name is not None and not MODEL_NAME.fullmatch(name):
            # The server takes any name, and then knows no way to ask for it (facts/torchserve section 2).
            raise ConfigError(f"{name!r} is not a valid model name", hint="letters, digits, `_`, `-` and `.`")
        await self._manage(lambda client: client.register(file, name, parameters, timeout=WORKER_TIMEOUT))

    async def unregister(self, name: str, version: str | None) -> None:
        await self._manage(lambda client: client.unregister(name, version))

    async def scale(self, name: str, workers: int, version: str | None) -> None:
        await self._manage(lambda client: client.scale(name, workers, version))

    async def set_default(self, name: str, version: str) -> None:
        await self._manage(lambda client: client.set_default(name, version))

    async def _manage(self, act: Callable[[Client], Awaitable[object]]) -> None:
        """One call of the management API, then the models as they are after it."""
        from asteria_tui.operations.status import show_models

        record = await self.running()
        async with self.work.client(record) as client:
            await act(client)
            await show_models(self.work, client, record)
