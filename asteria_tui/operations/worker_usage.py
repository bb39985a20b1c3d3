"""What each worker process uses: memory, and the share of a core with its last half minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from asteria_tui.events import Model, WorkersSampled, WorkerUsage
from asteria_tui.targets.target import Vitals

CURVE = 12
"""Looks that are kept, two seconds apart."""
MEGABYTE = 1_000_000


class WorkerUsages:
    """Compares two looks at the processes; only workers that the server names are told of."""

    def __init__(self) -> None:
        self._before: dict[int, float] = {}
        self._at = 0.0
        self._curves: dict[int, deque[int]] = {}

    def sample(self, vitals: Vitals | None, models: Iterable[Model]) -> WorkersSampled:
        processes = vitals.processes if vitals is not None else {}
        pids = [worker.pid for model in models for worker in model.workers if worker.pid in processes]
        now = time.monotonic()
        self._curves = {pid: self._curves.get(pid, deque(maxlen=CURVE)) for pid in pids if pid is not None}
        told = []
        for pid, curve in self._curves.items():
            process = processes[pid]
            if pid in self._before and now > self._at:
                used = max(0.0, process.cpu_seconds - self._before[pid])
                curve.append(round(used / (now - self._at) * 100))
            # As exact as it is shown: an idle worker changes nothing on the screen.
            memory = round(process.memory_bytes / MEGABYTE) * MEGABYTE
            told.append(WorkerUsage(pid=pid, memory_bytes=memory, cpu_percents=tuple(curve)))
        self._before = {pid: process.cpu_seconds for pid, process in processes.items()}
        self._at = now
        return WorkersSampled(workers=tuple(told))
