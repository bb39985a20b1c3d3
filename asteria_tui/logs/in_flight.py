"""Which workers are in the middle of a request, as the record file tells: the management API shows the queue alone."""

from __future__ import annotations

import collections
import re
from pathlib import Path

from asteria_tui.logs.history import RECORDS_FILE
from asteria_tui.logs.tail import Tail

LOOK_BACK = 4 * 2**20
"""Bytes of the past in which a request may have begun that is still worked on."""
# What a worker's thread says at both ends of a request, and when it ends itself (docs/torchserve.md section 4).
_WORKER = re.compile(
    rb'"t":(\d+),.*?"th":"W-(\d+)-[^"]*(?<!-stdout)(?<!-stderr)",.*?"m":"'
    rb'(?:(Flushing req\.cmd (?:\w*PREDICT|DESCRIBE))|Backend response time|[^"]*State change [^"]*WORKER_STOPPED)'
)
_ARRIVAL = re.compile(rb'"t":(\d+),.*?"m":"ts_inference_requests_total\.[^"]*?#model_name:([^,"]*),')


class InFlight:
    """Reads on from where it was at each look."""

    def __init__(self, logs: Path) -> None:
        file = logs / RECORDS_FILE
        self._tail = Tail(file, max(1, file.stat().st_size - LOOK_BACK) if file.is_file() else 0)
        self._busy: set[str] = set()
        self.answered: collections.Counter[str] = collections.Counter()
        """By the id of a worker: how often it was seen to end what it worked on."""
        self._arrived_at: dict[str, float] = {}

    def look(self) -> None:
        while data := self._tail.read():
            for line in data.splitlines():
                if found := _WORKER.search(line):
                    worker = found[2].decode()
                    if found[3]:
                        self._busy.add(worker)
                    else:
                        self._busy.discard(worker)
                        self.answered[worker] += 1
                elif found := _ARRIVAL.search(line):
                    self._arrived_at[found[2].decode(errors="replace")] = int(found[1]) / 1000

    def is_busy(self, worker: str) -> bool:
        """Whether the worker of that id works on a request."""
        return worker in self._busy

    def arrived_at(self, model: str) -> float:
        """When the last request to the model came, in seconds since the epoch; 0 for none that was seen."""
        return self._arrived_at.get(model, 0.0)
