"""What each worker uses, from two looks at the processes."""

from __future__ import annotations

import time

from asteria_tui.events import Model, Worker, WorkerUsage
from asteria_tui.operations.worker_usage import CURVE, WorkerUsages
from asteria_tui.targets.target import ProcessVitals, Vitals

MODELS = [
    Model(name="m", version="1", workers=(Worker(id="9000", status="READY", pid=7), Worker(id="9001", status="X")))
]


def vitals(**processes: ProcessVitals) -> Vitals:
    named = {int(name[1:]): one for name, one in processes.items()}
    return Vitals(memory_bytes=1, cpu_seconds=1, processes=named)


def test_share_of_a_core_between_two_looks_and_its_curve(monkeypatch):
    usages, now = WorkerUsages(), 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first = usages.sample(vitals(p7=ProcessVitals(312_400_000, 5.0), p99=ProcessVitals(1, 1.0)), MODELS)
    assert first.workers == (WorkerUsage(pid=7, memory_bytes=312_000_000),)
    now = 102.0
    second = usages.sample(vitals(p7=ProcessVitals(312_400_000, 5.5)), MODELS)
    assert second.workers[0].cpu_percents == (25,)
    for _ in range(CURVE + 3):
        now += 2
        last = usages.sample(vitals(p7=ProcessVitals(312_400_000, 5.5)), MODELS)
    assert last.workers[0].cpu_percents == (0,) * CURVE
    assert usages.sample(None, MODELS).workers == ()


def test_a_target_that_cannot_tell_processes_apart_says_nothing_of_workers():
    assert WorkerUsages().sample(Vitals(memory_bytes=1, cpu_seconds=1), MODELS).workers == ()
