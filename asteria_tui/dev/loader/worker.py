"""One worker of a dev archive: before each request it swaps the handler where the sources have changed."""

from __future__ import annotations

import atexit
import copy
import gc
import importlib
import json
import logging
import os
import platform
import time
import traceback
from typing import Any

from .entry import Handler, import_handler
from .failure import describe
from .files import YOUNG, Files, is_young, signature
from .frames import frames_of
from .hold import Batch, Hold, InvalidResultError
from .link import Link
from .modules import Modules, Territory
from .stack import Stack

SETTINGS_FILE = "asteria_loader.json"
SOURCES_HEADER = "x-asteria-sources"
"""The SHA-256 of the sources that an answer was made by."""
SOCKET = "dev-%d.sock"
"""In the server's temporary folder, with the worker's pid."""
MAX_STATS = 50
"""Files that are looked at before each request; of more, `dev` tells a change by writing the settings anew."""
MAX_LISTED = 20
"""Changed files that a message names."""
MAX_MODULES = 500

logger = logging.getLogger(__name__)


class Worker:
    """Serves the last code that loaded; where none ever did, each request raises what went wrong."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._settings_file = os.path.join(folder, SETTINGS_FILE)
        self._settings_seen = signature(self._settings_file)
        self.settings = self._read_settings()
        self.files = Files()
        self._shown: dict[str, str] = {}
        self.territory = Territory(folder, self.settings["roots"], self._shown)
        self.modules = Modules(self.territory, self.files.read)
        self._use_settings()
        self.handler: Handler | None = None
        self.failure: Exception | None = None
        """Of the last load, where it failed."""
        self.sources = ""
        """The SHA-256 of the sources of `handler`."""
        self.loads = 0
        """How many loads succeeded."""
        self._last_load: dict[str, Any] | None = None
        self._last_failure: dict[str, Any] | None = None
        place = os.path.join(os.environ.get("TEMP", ""), SOCKET % os.getpid())
        self.link = Link(place, self._greeting)
        self.hold = Hold(self.link)
        self.stack = Stack(place + ".stack") if self.link.is_open else None
        atexit.register(self.close)

    def close(self) -> None:
        self.link.close()
        if self.stack is not None:
            self.stack.close()

    # -- requests -----------------------------------------------------------------------------------------------

    def handle(self, data: Any, context: Any) -> Any:
        """A batch; or, without data, the first load."""
        self.link.attend()
        self.refresh(context)
        if data is None:
            return None
        requests = list((context.request_ids or {}).values())
        batch = Batch(data, context)
        is_held = self.hold.seconds > 0 and self.settings["is_live"] and not batch.is_ours
        if is_held:
            batch.keep()
        while True:
            self.link.send("started", requests=requests)
            begun, imported = time.perf_counter(), len(self.modules.loaded)
            answers, error = self._try_batch(batch, context, is_checked=is_held)
            if error is None:
                break
            told = {"requests": requests, "sources": self.sources, **describe(error, self.territory.owns)}
            if not (is_held and batch.may_be_held(error) and self._wait_for_fix(error, told, context)):
                self.link.send("failed", is_too_large=batch.too_large, milliseconds=_since(begun), **told)
                if isinstance(error, InvalidResultError):
                    return error.answers  # TorchServe says it in its own words
                raise error
            batch.restore()
        self.link.send("answered", requests=requests, sources=self.sources, milliseconds=_since(begun))
        if len(self.modules.loaded) > imported:
            self.link.send("imported", modules=self._listed(self.modules.loaded[imported:]))
        return answers

    def _try_batch(self, batch: Batch, context: Any, *, is_checked: bool) -> tuple[Any, Exception | None]:
        """The answers or the error, which is no longer being handled: what a fix raises is not chained to it."""
        try:
            answers = self._answer(batch.data, context)
            if is_checked:
                batch.check(answers)
        except Exception as error:  # noqa: BLE001 whatever the project's code raises
            return None, error
        return answers, None

    def _wait_for_fix(self, error: Exception, told: dict[str, Any], context: Any) -> bool:
        """Whether new code was loaded while the request was held."""
        self.link.send("held", seconds=self.hold.seconds, frames=frames_of(error, self.territory.owns), **told)
        loads = self.loads

        def is_fixed() -> bool:
            self.refresh(context)
            return self.loads != loads

        return self.hold.wait(is_fixed)

    def _answer(self, data: Any, context: Any) -> Any:
        if self.handler is None:
            failure = self.failure or RuntimeError("no code was loaded")
            # With the frames of the load alone: each raise adds its own.
            raise failure.with_traceback(self._failure_trace)
        for index in range(len(data)):
            # Before the call: the headers of a streamed answer go with its first part.
            context.set_response_header(index, SOURCES_HEADER, self.sources)
        return self.handler.call(data, context)

    # -- loading ------------------------------------------------------------------------------------------------

    def refresh(self, context: Any) -> None:
        """Loads the sources anew where they are others than those of the last load, be it good or not."""
        is_first = self.handler is None and self.failure is None
        changed = [] if is_first else self._changed()
        if is_first:
            # What is there by now (torch, above all) stays: no collection looks at it again. Before the first load, or
            # what that leaves in cycles, weights perhaps, would never be freed.
            gc.collect()
            gc.freeze()
        if changed or is_first:
            self._load(context, changed)

    def load(self, context: Any) -> None:
        """The sources once, for a process of their own; raises what they raise."""
        self._prepare(context)
        handler = import_handler(self.settings["handler"], self.settings["is_built_in"])
        handler.initialize(context)
        self.handler = handler

    def _changed(self) -> list[str]:
        settings = signature(self._settings_file)
        if settings is None or settings == self._settings_seen:
            is_looked_at = self.settings["is_live"] and len(self.files.seen) <= MAX_STATS
            return self.files.changed() if is_looked_at else []
        self._settings_seen = settings
        before, self.settings = self.settings, self._read_settings()
        if not self.settings["is_live"]:
            return []
        changed = self.files.changed()
        self._use_settings()
        if any(before[key] != self.settings[key] for key in ("handler", "manifest", "members")):
            changed.append(self._settings_file)
        return changed

    def _load(self, context: Any, changed: list[str]) -> None:
        begun = time.perf_counter()
        compiled = self.modules.compiled
        blocked = next((compiled[path] for path in changed if path in compiled), None)
        if blocked is not None:
            self._failed(ImportError(f"{blocked} is compiled: only a new process can load it again"), changed, "worker")
            return
        may_be_unfinished = any(_may_be_unfinished(path) for path in changed)
        error = self._try(context, changed)
        if error is not None and (may_be_unfinished or _is_of_young_file(error)):
            time.sleep(YOUNG / 1e9)
            importlib.invalidate_caches()
            changed = sorted({*changed, *self.files.changed()})
            error = self._try(context, changed)
        if error is not None:
            self._failed(error, changed, "worker" if _is_out_of_memory(error) else "")
            return
        self.failure = self._last_failure = None
        self.loads += 1
        self._last_load = {
            "sources": self.sources,
            "milliseconds": _since(begun),
            "files": self._listed(changed),
            "modules": [self._shown.get(path, path) for path in self.modules.loaded[:MAX_MODULES]],
            "is_first": self.loads == 1,
        }
        self.link.send("loaded", **self._last_load)

    def _try(self, context: Any, changed: list[str]) -> Exception | None:
        """Puts a new handler in service, or says why there is none; then everything is as it was."""
        before = (context.manifest, getattr(context, "model_yaml_config", None), list(self.modules.loaded))
        taken = self.modules.take_out()
        try:
            self._prepare(context)
            handler = import_handler(self.settings["handler"], self.settings["is_built_in"])
            if not (self._may_adopt(changed) and handler.adopt(self.handler)):
                handler.initialize(context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 whatever the project's code raises
            watched = [*self.modules.loaded, *before[2]]
            self.modules.put_back(taken)
            context.manifest, context.model_yaml_config, self.modules.loaded = before
            self._watch(watched)
            return error if isinstance(error, Exception) else _as_exception(error)
        self.handler = handler
        # What was imported in the middle of a request of before may be so again.
        self._watch([*self.modules.loaded, *filter(os.path.exists, before[2])])
        self.sources = self.files.hash(self._names)
        del taken
        gc.collect()
        return None

    def _may_adopt(self, changed: list[str]) -> bool:
        """Not where the weights or the network themselves are others."""
        return all(path.endswith(".py") and self._names.get(path) != self._model_file for path in changed)

    def _failed(self, error: Exception, changed: list[str], depth: str) -> None:
        state = "still serves the code of before" if self.handler is not None else "has no code to serve"
        logger.error("The sources do not load, and this worker %s.", state, exc_info=error)
        told = describe(error, self.territory.owns)
        self._last_failure = {"sources": self.sources, "files": self._listed(changed), "depth": depth, **told}
        self.link.send("load_failed", **self._last_failure)
        self.failure, self._failure_trace = error, error.__traceback__
        # What it had loaded until then is not held by its frames.
        traceback.clear_frames(error.__traceback__)

    def _prepare(self, context: Any) -> None:
        """What TorchServe read once, as it is now; handlers change what they are given."""
        context.manifest = copy.deepcopy(self.settings["manifest"])
        config = context.manifest["model"].get("configFile")
        if config:
            import yaml

            with open(os.path.join(self.folder, config), "rb") as file:
                context.model_yaml_config = yaml.safe_load(file) or {}

    def _watch(self, modules: list[str]) -> None:
        paths = [*self._names, *modules, *self.modules.compiled]
        self.files.add(paths)
        self.files.keep(paths)

    def _listed(self, files: list[str]) -> list[str]:
        return [self._shown.get(path, path) for path in files[:MAX_LISTED]]

    # -- settings -----------------------------------------------------------------------------------------------

    def _read_settings(self) -> dict[str, Any]:
        with open(self._settings_file, "rb") as file:
            return dict(json.loads(file.read().decode()))

    def _use_settings(self) -> None:
        members = self.settings["members"]
        self._names = {os.path.join(self.folder, name): name for name in members}
        self._model_file = self.settings["manifest"]["model"].get("modelFile")
        self._shown.clear()
        self._shown.update((os.path.join(self.folder, name), source) for name, source in members.items())
        self.files.add(self._names)

    def _greeting(self) -> list[dict[str, Any]]:
        greeting: list[dict[str, Any]] = [
            {
                "type": "hello",
                "model": self.settings["model"],
                "pid": os.getpid(),
                "python": platform.python_version(),
                "sources": self.sources,
            }
        ]
        if self._last_load is not None:
            greeting.append({"type": "loaded", **self._last_load})
        if self._last_failure is not None:
            greeting.append({"type": "load_failed", **self._last_failure})
        return greeting


def _since(begun: float) -> float:
    return round((time.perf_counter() - begun) * 1000, 3)


def _may_be_unfinished(path: str) -> bool:
    """Just now emptied, or gone, as some editors do in the middle of a save."""
    seen = signature(path)
    return seen is None or (is_young(seen) and seen[0] == 0)


def _is_of_young_file(error: BaseException) -> bool:
    return isinstance(error, SyntaxError) and bool(error.filename) and is_young(signature(str(error.filename)))


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _as_exception(error: BaseException) -> Exception:
    """One that ends the request, not the worker."""
    return RuntimeError(f"the code ended with {type(error).__name__}({error})").with_traceback(error.__traceback__)
