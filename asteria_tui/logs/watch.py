"""The causes of a running server, as its record file grows: what `up`, `predict` and the screen read."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from asteria_tui.events import Cause, LogRecord
from asteria_tui.logs.cause import SourceMap
from asteria_tui.logs.causes import Causes, RelevantParts, key_of
from asteria_tui.logs.history import RECORDS_FILE
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.tail import Tail

LOOK_BACK = 4 * 2**20
"""Bytes of the past that are read when a watch begins: enough for the last causes at any size of the file."""
OLDER_KEPT = 50
"""Causes of earlier runs that are remembered."""
_READY = "WORKER_STARTED -> WORKER_MODEL_LOADED"


class CauseWatch:
    """Each `poll` reads what was written since the one before, through rotation and truncation."""

    def __init__(self, logs: Path, sources: Callable[[], SourceMap], look_back: int = LOOK_BACK) -> None:
        """`sources` is asked for when there is something to lead back to them; most requests go well."""
        file = logs / RECORDS_FILE
        size = file.stat().st_size if file.exists() else 0
        self._tail = Tail(file, max(0, size - look_back))
        self._sources = sources
        self._parser = Parser()
        self._ready: set[str] = set()
        self._ready_at: dict[str, float] = {}

    @functools.cached_property
    def _causes(self) -> Causes:
        return Causes(self._sources())

    @functools.cached_property
    def _parts(self) -> RelevantParts:
        return RelevantParts(self._causes)

    def poll(self) -> list[Cause]:
        """The causes that came or came again since the last call, oldest first."""
        return self._causes.feed(self._new()) + self._causes.close_silent(time.time())

    def rows(self) -> list[Cause]:
        """Every cause of the part of the log that was read, each once, the newest last."""
        self.poll()
        return self._causes.rows

    def ready_at(self, model: str) -> float:
        """When a worker of the model last became ready, in the part of the log that was read."""
        return self._ready_at.get(model, 0.0)

    def saw_ready(self, model: str) -> bool:
        """Whether a worker of the model became ready since this was last asked."""
        seen = model in self._ready
        self._ready.discard(model)
        return seen

    def _new(self) -> Iterator[LogRecord]:
        while data := self._tail.read():
            for record in self._parser.parse(self._parts.of(data)):
                if record.model and record.text.endswith(_READY):
                    self._ready.add(record.model)
                    self._ready_at[record.model] = record.time or 0.0
                yield record
        yield from self._parser.flush()


class KnownCauses(msgspec.Struct, frozen=True):
    """Causes, each once, the newest last."""

    current: tuple[Cause, ...] = ()
    """Of the current run: since its server started."""
    older: tuple[Cause, ...] = ()
    """Of the runs before that were watched, but for those that have come again."""


class RunWatch:
    """The causes of the current run, whichever that is by now: each start of a server has a folder of its own."""

    def __init__(self, logs: Path, sources: Callable[[], SourceMap]) -> None:
        """`logs` is the link to the folder of the current run."""
        self._logs = logs
        self._sources = sources
        self._run: Path | None = None
        self._watch: CauseWatch | None = None
        self._older: tuple[Cause, ...] = ()

    def refresh(self) -> KnownCauses:
        """What is known by now; reads what was written since the last call."""
        run = self._logs.resolve()
        if run != self._run or self._watch is None:
            ended = self._watch.rows() if self._watch is not None else []
            self._older = (*_without(self._older, ended), *ended)[-OLDER_KEPT:]
            self._run, self._watch = run, CauseWatch(run, self._sources)
        current = self._watch.rows()
        return KnownCauses(tuple(current), _without(self._older, current))


def _without(causes: tuple[Cause, ...], others: list[Cause]) -> tuple[Cause, ...]:
    """Those causes that are none of the others."""
    same = {key_of(cause) for cause in others}
    return tuple(cause for cause in causes if key_of(cause) not in same)
