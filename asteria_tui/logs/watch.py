"""The causes of a running server, as its record file grows: what `up` and `predict` look at while they wait."""

from __future__ import annotations

import time
from pathlib import Path

from asteria_tui.events import Cause
from asteria_tui.logs.cause import Sources
from asteria_tui.logs.causes import Causes
from asteria_tui.logs.parse import Parser

RECORDS_FILE = "records.jsonl"
"""Every record of a server of ours, once, as JSON lines; beside it lies the console, as people know it."""
LOOK_BACK = 4 * 2**20
"""Bytes of the past that are read when a watch begins: enough for the last causes at any size of the file."""
_READY = "WORKER_STARTED -> WORKER_MODEL_LOADED"


class CauseWatch:
    """Each `poll` reads what was written since the one before; a file that shrank is read from its beginning."""

    def __init__(self, logs: Path, sources: Sources) -> None:
        self._file = logs / RECORDS_FILE
        self._offset = 0
        self._rest = b""
        self._parser = Parser()
        self._causes = Causes(sources)
        self._ready: set[str] = set()
        size = self._size()
        if size > LOOK_BACK:
            self._offset = size - LOOK_BACK

    def poll(self) -> list[Cause]:
        """The causes that came or came again since the last call, oldest first."""
        records = list(self._parser.feed(self._lines()))
        records += self._parser.flush()
        self._ready.update(record.model for record in records if record.model and _READY in record.text)
        return self._causes.feed(records) + self._causes.close_silent(time.time())

    def rows(self) -> list[Cause]:
        """Every cause of the part of the log that was read, each once, the newest last."""
        self.poll()
        return self._causes.rows

    def saw_ready(self, model: str) -> bool:
        """Whether a worker of the model became ready since this was last asked."""
        seen = model in self._ready
        self._ready.discard(model)
        return seen

    def _lines(self) -> list[bytes]:
        if self._size() < self._offset:
            self._offset, self._rest = 0, b""
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return []
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines

    def _size(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError:
            return 0
