"""From a save to the answer of the new code: the cheapest safe depth, the samples again, one event."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from asteria_tui import config
from asteria_tui.config import FILE_NAME, ModelSettings, Project
from asteria_tui.dev import archive
from asteria_tui.dev.archive import DevArchive
from asteria_tui.dev.changes import Files
from asteria_tui.dev.hearing import Hearing
from asteria_tui.dev.loader.worker import MAX_STATS
from asteria_tui.dev.messages import LoadFailed
from asteria_tui.dev.stack import place_in
from asteria_tui.errors import AsteriaError, ConfigError, ServerError
from asteria_tui.events import Depth, Reloaded, WarningRaised
from asteria_tui.logs.notify import POLL, Changes
from asteria_tui.operations.base import ServerConnection, locked
from asteria_tui.operations.held import HeldRequests
from asteria_tui.operations.predict import ANSWER_SLACK
from asteria_tui.operations.samples import Samples, Seen
from asteria_tui.process import uninterrupted

TRY_TIMEOUT = 2.0
"""Seconds that a held request gets to be answered by the code of a save, before it is told what the save did."""
SETTLE = 0.002
"""Seconds that a writer gets to end what it has begun; the loader waits for one that takes longer."""
STACK_LINES = 12
FIND_EVERY = 2.0
"""Seconds between two looks whether the server lives."""
LOOK_EVERY = 0.5
"""Seconds between two looks at the workers while a sample is answered."""
# What is said of an operator, a metric, a class that is registered for the second time.
_ONCE_ONLY = re.compile(r"already|duplicate|multiple times|more than once|twice", re.IGNORECASE)


class Again(Exception):  # noqa: N818 no error: what is asked for
    """A save that some models have to be loaded anew for, or the whole server."""

    def __init__(self, project: Project, depth: Depth, reason: str, file: str, models: frozenset[str]) -> None:
        super().__init__(reason)
        self.project = project
        self.depth = depth
        self.reason = reason
        self.file = file
        self.models = models
        self.begun = time.time()


class Saves:
    """Follows the files of some models that are served from their sources."""

    def __init__(
        self,
        server: ServerConnection,
        archives: dict[str, DevArchive],
        *,
        folder: Path,
        samples: Samples,
        depth: Depth,
        is_owned: Callable[[], bool],
        hold_for: int = 0,
    ) -> None:
        self.server = server
        self.context = server.context
        self.project = server.context.project
        self.archives = archives
        self.samples = samples
        self.depth = depth
        self.is_owned = is_owned
        self.held = HeldRequests(server.context.project, server.context.emit)
        self.hearing = Hearing(folder, archives, hold_for=hold_for, hear_held=self.held.hear)
        self.files = Files()
        self._sources: dict[str, str] = {}
        """The SHA-256 of what was announced last."""
        self._is_broken: set[str] = set()
        self._found_at = time.monotonic()

    # -- the loop -----------------------------------------------------------------------------------------------

    async def follow(self, again: Again | None = None) -> None:
        """Until it is cancelled or somebody else has the server; raises Again, and AsteriaError.

        `again` is what the models were loaded for.
        """
        own = [self.hearing.workers.folder, self.project.state_dir, self.project.root]
        self._watch()
        changes = Changes([*own, *self.files.folders])
        try:
            for name in self.archives:
                await self._ask_first(name, again if again and name in again.models else None)
            await self._follow(changes, own)
        except AsteriaError:
            if self.is_owned():
                raise  # else it is of what the new owner does
        finally:
            changes.close()
            await self.hearing.workers.close()
            self.held.keep(())
        self.context.emit(WarningRaised(text="another asteria-tui has the server now: dev ends"))

    async def _follow(self, changes: Changes, own: list[Path]) -> None:
        is_polling = False
        while self.is_owned():
            await self.hearing.workers.connect()
            self.held.keep(self.hearing.workers.models)
            await self._end_late()
            await self._require_server()
            changed, others = self.files.changed(changes.forget()), await self._with_other_names()
            if changed or others:
                await asyncio.sleep(SETTLE)
                await self.saved({*changed, *self.files.changed()}, others)
                self._watch()
                changes.watch([*own, *self.files.folders])
                continue
            await changes.wait()
            if changes.is_out_of_watches and not is_polling:
                is_polling = True
                text = f"the system can watch no more folders: files are looked at every {POLL * 1000:.0f} ms"
                self.context.emit(WarningRaised(text=text, hint="fs.inotify.max_user_watches is the limit on Linux"))

    async def _require_server(self) -> None:
        if time.monotonic() - self._found_at >= FIND_EVERY:
            self._found_at = time.monotonic()
            if await self.context.target.find() is None and self.is_owned():
                raise ServerError("the server ended", detail=self.context.target.describe_end())

    def _watch(self) -> None:
        files = {path for name in self.archives for path in self._files_of(name)}
        self.files.watch({*files, self.project.root / FILE_NAME})

    def _files_of(self, name: str) -> set[Path]:
        return {*self.archives[name].files, *self.hearing.modules[name]}

    async def _with_other_names(self) -> dict[str, set[Path]]:
        """The files that came or went, of each model whose settings name whole folders."""
        if not self.files.has_other_names():
            return {}
        found: dict[str, set[Path]] = {}
        for name, before in list(self.archives.items()):
            if self._settings(name).extra_files:
                try:
                    self.archives[name] = await asyncio.to_thread(self._make, name)
                except AsteriaError:
                    continue  # such as one that is just being renamed
                if others := set(self.archives[name].files) ^ set(before.files):
                    found[name] = others
        return found

    async def _end_late(self) -> None:
        limits = {name: self._settings(name).response_timeout for name in self.archives}
        for late in await self.hearing.end_late(limits):
            where = place_in(late.stack, self.project.root)
            limit = f"response_timeout ({limits[late.model]} s){f' at {where}' if where else ''}"
            text = f"a request to {late.model} took longer than {limit}: its worker is begun anew"
            self.context.emit(WarningRaised(text=text, hint="\n".join(late.stack.splitlines()[:STACK_LINES])))

    # -- a save -------------------------------------------------------------------------------------------------

    async def saved(self, changed: set[Path], others: dict[str, set[Path]]) -> None:
        """Brings a save into service, and tells what it did; `others` are files that came or went. Raises Again."""
        of_settings = await self._use_settings() if self.project.root / FILE_NAME in changed else frozenset()
        for name in self.archives:
            of_model = sorted({*(changed & self._files_of(name)), *others.get(name, ())})
            if name in of_settings:
                of_model.append(self.project.root / FILE_NAME)
            if of_model:
                await self._reload(name, of_model)

    async def _use_settings(self) -> frozenset[str]:
        """The models whose sources are others by what asteria.toml says now; raises Again for what is more."""
        try:
            settings = config.load(self.project.root).settings
        except ConfigError as error:
            self.context.emit(WarningRaised(text=error.title, hint=error.hint))
            return frozenset()
        before = self.project.settings
        # The target was chosen when the server was started.
        server = msgspec.structs.replace(settings.server, target=before.server.target)
        project = Project(root=self.project.root, settings=msgspec.structs.replace(settings, server=server))
        if server != before.server or settings.stores != before.stores:
            raise Again(project, "restart", "settings of the server are others", FILE_NAME, frozenset(self.archives))
        others = frozenset(
            name for name in self.archives if settings.models.get(name, before.models[name]) != before.models[name]
        )
        served = [name for name in others if _served(settings.models[name]) != _served(before.models[name])]
        if served:
            raise Again(project, "roll", f"settings of {', '.join(served)} are others", FILE_NAME, frozenset(served))
        if others:
            self.project = project
            for name in others:
                self.archives[name] = await asyncio.to_thread(self._make, name)
        return others

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
        seen = await self._ask(name) if await self._is_free(name) else None
        if seen is None:
            return
        if depth == "live" and seen.failure is not None and _wants_new_process(seen.failure):
            depth, reason = "worker", seen.failure.message or seen.failure.exception
            await self._new_workers(name)
            seen = await self._ask(name)
        is_other = seen.sources != self._sources.get(name) or self.project.root / FILE_NAME in files
        is_news = is_other or depth != "live"
        if seen.failure is None and not is_news and name not in self._is_broken:
            return  # written again, and the same
        since = saved_at if begun - 1 < saved_at <= begun else begun
        self._tell(
            Reloaded(
                model=name,
                file=self.project.relative(first),
                line=lines[first],
                files=len(files),
                depth=depth,
                reason=reason,
                milliseconds=round((time.time() - since) * 1000, 3),
            ),
            seen,
        )

    async def _is_free(self, name: str) -> bool:
        """Whether a sample can be answered. While every worker holds a request, that is what a save is tried on."""
        end = time.monotonic() + TRY_TIMEOUT
        while self.held.blocks(name) and time.monotonic() < end:
            await self.held.until_news(LOOK_EVERY)
        return not self.held.blocks(name)

    def _depth(self, name: str, files: list[Path]) -> tuple[Depth, str]:
        """The cheapest that is safe, and why it is not a cheaper one; raises Again."""
        settings = self._settings(name)
        if settings.requirements_file and self.project.path(settings.requirements_file) in files:
            reason = f"{settings.requirements_file} is another"
            raise Again(self.project, "restart", reason, settings.requirements_file, frozenset(self.archives))
        if settings.config_file and self.project.path(settings.config_file) in files:
            return "worker", f"{settings.config_file} is read when a worker starts"
        if self.depth == "worker":
            return "worker", "as asked for"
        found = archive.obstacle(self.project, settings)
        return ("worker", found) if found else ("live", "")

    def _settings(self, name: str) -> ModelSettings:
        return self.project.settings.models[name]

    def _make(self, name: str) -> DevArchive:
        settings = self._settings(name)
        is_live = self.depth == "live" and not archive.obstacle(self.project, settings)
        return archive.make(self.project, name, settings, is_live=is_live)

    async def _new_workers(self, name: str) -> None:
        """All of a model, at once: requests that come meanwhile are refused."""
        settings = self._settings(name)
        async with locked(self.project, self.context.emit):
            self.archives[name] = await asyncio.to_thread(self._make, name)
            await uninterrupted(self._scaled_anew(name, settings))

    async def _scaled_anew(self, name: str, settings: ModelSettings) -> None:
        client = self.server.client
        await client.scale(name, 0)
        await client.scale(name, settings.workers, timeout=settings.startup_timeout + ANSWER_SLACK)

    # -- what is told -------------------------------------------------------------------------------------------

    async def _ask(self, name: str) -> Seen:
        asking = asyncio.ensure_future(self.samples.ask(self.server, self.hearing, name, self._settings(name)))
        try:
            while not asking.done():
                await asyncio.wait([asking], timeout=LOOK_EVERY)
                await self._end_late()
            return await asking
        finally:
            asking.cancel()

    async def _ask_first(self, name: str, again: Again | None) -> None:
        """What later answers are compared with."""
        seen = await self._ask(name)
        event = Reloaded(model=name, files=0)
        if again is not None:
            event = Reloaded(
                model=name,
                file=again.file,
                depth=again.depth,
                reason=again.reason,
                milliseconds=round((time.time() - again.begun) * 1000, 3),
            )
        if again is not None or seen.failure is not None:
            self._tell(event, seen)
        self._sources[name] = seen.sources

    def _tell(self, event: Reloaded, seen: Seen) -> None:
        failed = seen.failure
        self._sources[event.model] = seen.sources
        (self._is_broken.add if failed else self._is_broken.discard)(event.model)
        self.context.emit(
            msgspec.structs.replace(
                event,
                sources_sha256=seen.sources,
                cause=failed.cause(str(self.project.root), event.model) if failed else None,
                samples=() if failed else seen.samples,
            )
        )


def _served(settings: ModelSettings) -> tuple[object, ...]:
    """What a server is told of a model when it loads it."""
    return (
        settings.version,
        settings.workers,
        settings.batch_size,
        settings.max_batch_delay,
        settings.runtime,
        settings.config_file,
        settings.requirements_file,
    )


def _wants_new_process(failure: LoadFailed) -> bool:
    """Whether the code would load in one, as far as what it raised tells."""
    return failure.depth == "worker" or bool(_ONCE_ONLY.search(failure.message))
