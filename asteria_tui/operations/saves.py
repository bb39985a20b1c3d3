"""From a save to the answer of the new code: the cheapest safe depth, the samples again, one event."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from asteria_tui import config
from asteria_tui.config import FILE_NAME, ModelSettings, Project
from asteria_tui.dev import archive
from asteria_tui.dev.archive import DevArchive
from asteria_tui.dev.changes import Files
from asteria_tui.dev.connection import Workers
from asteria_tui.dev.loader.worker import MAX_STATS
from asteria_tui.dev.messages import Answered, AnyMessage, Failed, Failure, Hello, Loaded, LoadFailed, Started
from asteria_tui.errors import AsteriaError, ConfigError, InferenceError
from asteria_tui.events import Cause, Depth, Predicted, Reloaded, SampleAnswer, WarningRaised
from asteria_tui.inference.difference import differences
from asteria_tui.inference.payload import Payload, first_sample, from_file, sample_files
from asteria_tui.logs.notify import POLL, Changes
from asteria_tui.operations.base import ServerConnection, locked
from asteria_tui.operations.predict import ANSWER_SLACK, WORKER_ENDED, predicted_of
from asteria_tui.process import uninterrupted
from asteria_tui.targets.record import load_record

SETTLE = 0.002
"""Seconds that a writer gets to end what it has begun; the loader waits for one that takes longer."""
TELL_TIMEOUT = 1.0
"""Seconds that what a worker says may come later than its answer."""
POLITE_TIMEOUT = 2.0
"""Seconds that a worker gets to end."""
MAX_TOLD = 1000
"""Answers that are remembered by their request."""


class Again(Exception):  # noqa: N818 no error: what is asked for
    """A save that the models have to be loaded anew for, or the server."""

    def __init__(self, project: Project, depth: Depth, reason: str, file: str) -> None:
        super().__init__(reason)
        self.project = project
        self.depth = depth
        self.reason = reason
        self.file = file
        self.begun = time.time()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker said of one request."""

    pid: int
    message: Answered | Failed


class Saves:
    """Follows the files of some models that are served from their sources."""

    def __init__(
        self,
        server: ServerConnection,
        archives: dict[str, DevArchive],
        *,
        folder: Path,
        samples: tuple[str, ...],
        depth: Depth,
        is_owned: Callable[[], bool],
        answers: dict[tuple[str, str], SampleAnswer],
    ) -> None:
        """`answers` are the last good ones by model and sample; they are kept up to date."""
        self.server = server
        self.context = server.context
        self.project = server.context.project
        self.archives = archives
        self.samples = samples
        self.depth = depth
        self.is_owned = is_owned
        self.workers = Workers(folder, self._hear)
        self.files = Files()
        self._modules: dict[str, tuple[Path, ...]] = dict.fromkeys(archives, ())
        """What the workers of a model have imported of the project."""
        self._loads: dict[int, Loaded | LoadFailed] = {}
        self._told: dict[str, Told] = {}
        self._is_told = asyncio.Event()
        self._working: dict[int, tuple[float, Started]] = {}
        self._ended: set[int] = set()
        """Workers that were told to end."""
        self._sources: dict[str, str] = {}
        """The SHA-256 of what was announced last."""
        self._is_broken: set[str] = set()
        self._answers = answers

    # -- the loop -----------------------------------------------------------------------------------------------

    async def follow(self, again: Again | None = None) -> None:
        """Until it is cancelled; raises Again, and AsteriaError where somebody else has the server by now.

        `again` is what the models were loaded for.
        """
        own = [self.workers.folder, self.project.state_dir, self.project.root]
        self._watch()
        try:
            await self.workers.connect()
            for name in self.archives:
                await self._ask_first(name, again)
            changes = Changes([*own, *self.files.folders])
            try:
                await self._follow(changes, own)
            finally:
                changes.close()
        finally:
            await self.workers.close()

    async def _follow(self, changes: Changes, own: list[Path]) -> None:
        is_polling = False
        while True:
            changes.forget()
            if not self.is_owned():
                raise AsteriaError("another asteria-tui has the server now", hint="`asteria-tui dev` takes it again")
            await self.workers.connect()
            await self._end_late()
            if changed := self.files.changed():
                await asyncio.sleep(SETTLE)
                await self.saved({*changed, *self.files.changed()})
                self._watch()
                changes.watch([*own, *self.files.folders])
                continue
            await changes.wait()
            if changes.is_out_of_watches and not is_polling:
                is_polling = True
                text = f"the system can watch no more folders: files are looked at every {POLL * 1000:.0f} ms"
                self.context.emit(WarningRaised(text=text, hint="fs.inotify.max_user_watches is the limit on Linux"))

    def _watch(self) -> None:
        files = {path for name in self.archives for path in self._files_of(name)}
        self.files.watch({*files, self.project.root / FILE_NAME})

    def _files_of(self, name: str) -> set[Path]:
        return {*self.archives[name].files, *self._modules[name]}

    async def saved(self, files: Iterable[Path]) -> None:
        """Brings a save into service, and tells what it did; raises Again."""
        changed = set(files)
        if self.project.root / FILE_NAME in changed:
            await self._use_settings()
        for name in self.archives:
            of_model = sorted(changed & self._files_of(name))
            if of_model:
                await self._reload(name, of_model)

    async def _use_settings(self) -> None:
        """What asteria.toml says by now: models are loaded with it, a server of other settings is begun anew."""
        try:
            settings = config.load(self.project.root).settings
        except ConfigError as error:
            self.context.emit(WarningRaised(text=error.title, hint=error.hint))
            return
        before = self.project.settings
        # The target was chosen when the server was started.
        server = msgspec.structs.replace(settings.server, target=before.server.target)
        settings = msgspec.structs.replace(settings, server=server)
        if settings != before and self.archives.keys() <= settings.models.keys():
            is_of_server = settings.server != before.server or settings.stores != before.stores
            reason = f"{'server' if is_of_server else 'model'} settings are others"
            project = Project(root=self.project.root, settings=settings)
            raise Again(project, "restart" if is_of_server else "roll", reason, FILE_NAME)

    async def _reload(self, name: str, files: list[Path]) -> None:
        begun = time.time()
        saved_at = self.files.saved_at(files)
        lines = {file: self.files.first_line(file) for file in files}
        first = next((file for file in files if lines[file] is not None), files[0])
        depth, reason = self._depth(name, files)
        if depth == "worker":
            await self._new_workers(name)
        elif len(self._files_of(name)) > MAX_STATS:
            archive.tell(self.archives[name], self.project)
        seen = await self._ask(name)
        if isinstance(seen.load, LoadFailed) and seen.load.depth == "worker" and depth == "live":
            depth, reason = "worker", seen.load.message or seen.load.exception
            await self._new_workers(name)
            seen = await self._ask(name)
        failed = seen.load if isinstance(seen.load, LoadFailed) else None
        is_news = seen.sources != self._sources.get(name) or depth != "live"
        if failed is None and not is_news and name not in self._is_broken:
            return  # written again, and the same
        self._sources[name] = seen.sources
        (self._is_broken.add if failed else self._is_broken.discard)(name)
        since = saved_at if begun - 1 < saved_at <= begun else begun
        self.context.emit(
            Reloaded(
                model=name,
                file=self.project.relative(first),
                line=lines[first],
                files=len(files),
                depth=depth,
                reason=reason,
                milliseconds=round((time.time() - since) * 1000, 3),
                sources_sha256=seen.sources,
                cause=self._cause(name, failed) if failed else None,
                samples=() if failed else seen.samples,
            )
        )

    def _depth(self, name: str, files: list[Path]) -> tuple[Depth, str]:
        """The cheapest that is safe, and why it is not a cheaper one; raises Again."""
        settings = self._settings(name)
        if settings.requirements_file and self.project.path(settings.requirements_file) in files:
            raise Again(self.project, "restart", "requirements are others", settings.requirements_file)
        if settings.config_file and self.project.path(settings.config_file) in files:
            return "worker", f"{settings.config_file} is read when a worker starts"
        if self.depth == "worker":
            return "worker", "as asked for"
        found = archive.obstacle(self.project, settings)
        return ("worker", found) if found else ("live", "")

    def _settings(self, name: str) -> ModelSettings:
        return self.project.settings.models[name]

    async def _new_workers(self, name: str) -> None:
        """All of a model, at once: requests that come meanwhile are refused."""
        settings = self._settings(name)
        async with locked(self.project, self.context.emit):
            made = archive.make(
                self.project,
                name,
                settings,
                is_live=self.depth == "live" and not archive.obstacle(self.project, settings),
            )
            self.archives[name] = made
            await self.server.client.scale(name, 0)
            timeout = settings.startup_timeout + ANSWER_SLACK
            await uninterrupted(self._scaled(name, settings.workers, timeout))
        await self.workers.connect()

    async def _scaled(self, name: str, workers: int, timeout: float) -> None:
        await self.server.client.scale(name, workers, timeout=timeout)

    # -- the samples --------------------------------------------------------------------------------------------

    async def _ask_first(self, name: str, again: Again | None) -> None:
        """What later answers are compared with."""
        seen = await self._ask(name)
        self._sources[name] = seen.sources
        failed = seen.load if isinstance(seen.load, LoadFailed) else None
        if failed is not None:
            self._is_broken.add(name)
        if again is None and failed is None:
            return
        event = Reloaded(model=name, sources_sha256=seen.sources, cause=self._cause(name, failed) if failed else None)
        if again is not None:
            milliseconds = round((time.time() - again.begun) * 1000, 3)
            event = msgspec.structs.replace(
                event, file=again.file, depth=again.depth, reason=again.reason, milliseconds=milliseconds
            )
        self.context.emit(msgspec.structs.replace(event, samples=() if failed else seen.samples))

    async def _ask(self, name: str) -> Seen:
        """Each pinned sample in turn; without any, the handler's own description, which reaches a worker too."""
        payloads = self._payloads(name)
        answers = []
        last: Told | None = None
        for payload in payloads:
            await self.workers.connect()
            try:
                predicted, told = await self._send(name, payload)
            except InferenceError as error:  # none in time
                await self._end_late()
                cause = Cause(exception=error.title, message=error.detail, model=name)
                answers.append(SampleAnswer(sample=payload.name, status=0, milliseconds=0.0, cause=cause))
                continue
            last = told or last
            answers.append(self._compared(predicted))
        if not payloads:
            with contextlib.suppress(AsteriaError):
                await self.server.client.describe_raw(name, customized=True)
        load = self._loads.get(last.pid) if last else next(reversed(self._loads.values()), None)
        sources = last.message.sources if last else (load.sources if load else "")
        return Seen(load=load, sources=sources, samples=tuple(answers))

    def _payloads(self, name: str) -> list[Payload]:
        settings = self._settings(name)
        try:
            if not self.samples:
                first = first_sample(self.project, settings)
                return [first] if first else []
            known = sample_files(self.project, settings)
            return [from_file(known[sample], sample) for sample in self.samples if sample in known]
        except ConfigError as error:
            self.context.emit(WarningRaised(text=error.title, hint=error.hint))
            return []

    async def _send(self, name: str, payload: Payload) -> tuple[Predicted, Told | None]:
        settings = self._settings(name)
        record = load_record(self.project)
        loaded = record.models.get(name) if record else None
        timeout = settings.response_timeout + ANSWER_SLACK
        answer = await self.server.client.predict(name, payload.content, payload.content_type, timeout)
        if answer.message == WORKER_ENDED:  # perhaps of something else: the next one tells
            await self.workers.connect()
            answer = await self.server.client.predict(name, payload.content, payload.content_type, timeout)
        told = await self._until_told(answer.request_id)
        failed = told.message if told is not None and isinstance(told.message, Failed) else None
        cause = self._cause(name, failed, "inference") if failed else None
        predicted = predicted_of(answer, name, payload, loaded, cause, at=time.time())
        if told is not None:
            predicted = msgspec.structs.replace(predicted, sources_sha256=told.message.sources)
        self.context.emit(predicted)
        return predicted, told

    def _compared(self, predicted: Predicted) -> SampleAnswer:
        key = (predicted.model, predicted.sample)
        before = self._answers.get(key)
        answer = SampleAnswer(
            sample=predicted.sample,
            status=predicted.status,
            milliseconds=predicted.milliseconds,
            milliseconds_before=before.milliseconds if before else None,
            body=predicted.body,
            differences=differences(before.body, predicted.body) if before and predicted.is_good else (),
            is_first=before is None,
            cause=predicted.cause,
        )
        if predicted.is_good:
            self._answers[key] = answer
        return answer

    # -- the workers --------------------------------------------------------------------------------------------

    def _hear(self, pid: int, message: AnyMessage) -> None:
        if isinstance(message, Loaded):
            model = self.workers.models.get(pid)
            if model in self._modules:
                self._modules[model] = tuple(Path(file) for file in message.modules)
        if isinstance(message, Loaded | LoadFailed):
            self._loads.pop(pid, None)
            self._loads[pid] = message
        elif isinstance(message, Started):
            self._working[pid] = (time.monotonic(), message)
        elif isinstance(message, Answered | Failed):
            self._working.pop(pid, None)
            for request in message.requests:
                self._told[request] = Told(pid=pid, message=message)
            while len(self._told) > MAX_TOLD:
                del self._told[next(iter(self._told))]
            self._is_told.set()
        elif isinstance(message, Hello):
            self._working.pop(pid, None)

    async def _until_told(self, request: str) -> Told | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELL_TIMEOUT):
                while request not in self._told:
                    self._is_told.clear()
                    await self._is_told.wait()
        return self._told.get(request)

    async def _end_late(self) -> None:
        """Workers that have worked on one request for longer than the project allows: the server would wait a day."""
        for pid, (begun, _) in list(self._working.items()):
            model = self.workers.models.get(pid)
            limit = self._settings(model).response_timeout if model is not None else 0
            late = time.monotonic() - begun - limit
            if model is None:
                del self._working[pid]
            elif late > 0 and pid not in self._ended:
                self._ended.add(pid)
                text = f"a request to {model} took longer than response_timeout ({limit} s): its worker is begun anew"
                self.context.emit(WarningRaised(text=text))
                _send(pid, signal.SIGTERM)
            elif late > POLITE_TIMEOUT:
                # TorchServe takes the end by this one for a lack of memory (docs/torchserve.md section 7).
                _send(pid, signal.SIGKILL)

    def _cause(self, name: str, failure: Failure, phase: str = "load") -> Cause:
        return failure.cause(str(self.project.root), name, phase)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples told of the code in service."""

    load: Loaded | LoadFailed | None
    """The last one of the worker that answered."""
    sources: str
    samples: tuple[SampleAnswer, ...]
