"""From a save to the new answer. Goals: `dev` at most 60 ms (p95 150 ms), 50 x faster than by hand, 20 x than `up`.

By hand: the archiver, a stop, a start, the token, one request. `dev` is measured while two clients send all the time,
with a short pause after each answer: without one, four workers that compute on two cores are the bottleneck.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks import bench_up
from tests.benchmarks.measure import Sample, print_table
from tests.conftest import ROOT, Folder
from tests.dev.running import DevRun

REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "20"))
BY_HAND = max(1, REPEATS // 6)
RELOADS = REPEATS * 25
REQUESTS = REPEATS * 30
CLIENTS = 2
PAUSE = 0.02
IDLE_SECONDS = 10
SAMPLE = (ROOT / "model/samples/ordinary.json").read_bytes()
ANSWER = '{"anomaly_score": score}'


def main() -> None:
    rows = [Sample("by hand"), Sample("up")]
    with tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        root = Path(name)
        for number in range(BY_HAND):
            rows[0].seconds.append(by_hand(root / f"hand{number}"))
        folder = project(root / "project", 1)
        folder.run("up", "-m", "anomaly")
        for number in range(BY_HAND):
            rows[1].seconds.append(edited(folder, number, lambda: folder.run("up", "-m", "anomaly")))
        for workers in (1, 4):
            folder.run("down")
            folder = project(root / f"project{workers}", workers)
            rows += live(folder, workers)
    print_table("from a save to the new answer, other clients sending", rows, peer="by hand")
    for row in (row for row in rows if row.label.startswith("dev")):
        p95 = sorted(row.seconds)[int(len(row.seconds) * 0.95)]
        print(
            f"  {row.label}: p95 {p95 * 1000:.1f} ms, {rows[0].median / row.median:.0f} x faster than by hand, "
            f"{rows[1].median / row.median:.0f} x than up"
        )


def by_hand(path: Path) -> float:
    start = time.perf_counter()
    bench_up.archive(path)
    packaging = time.perf_counter() - start
    return packaging + bench_up.serve_by_hand(path, is_stop_timed=True)


def project(path: Path, workers: int) -> Folder:
    path.mkdir()
    for name in ("handler", "model"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings = (ROOT / "asteria.toml").read_text()
    model, rest = settings.split("[stores]")
    model += f"workers = {workers}\n\n"
    (path / "asteria.toml").write_text(f"{model}{model.replace('anomaly]', 'plain]')}[stores]{rest}")
    return Folder(path)


def live(folder: Folder, workers: int) -> list[Sample]:
    announced = Sample(f"dev, {workers} workers: told")
    first = Sample(f"dev, {workers} workers: a request at once")
    usual = Sample(f"{workers} workers: a request without a save")
    folder.run("up", "-m", "plain")
    run = DevRun(folder, "-m", "anomaly", "ordinary").ready()
    try:
        with asking(folder):
            for number in range(REPEATS):
                event = run.saved(lambda number=number: edit(folder, f"told{number}"))
                announced.seconds.append(event["milliseconds"] / 1000)
            for number in range(REPEATS):
                first.seconds.append(edited(folder, number))
            usual.seconds += latencies(folder, REPEATS)["plain"]
        if workers == 1:
            seen = {model: statistics.median(times) for model, times in latencies(folder, REQUESTS).items()}
            added = seen["anomaly"] - seen["plain"]
            print(f"the loader adds {added * 1000:.2f} ms to a request of {seen['plain'] * 1000:.2f} ms")
            print(f"an idle dev uses {idle(run):.2f} % of a core")
            print(f"{RELOADS} reloads: the worker grew by {growth(folder, run):.1f} MiB")
    finally:
        run.end()
        folder.run("down")
    return [announced, first, usual]


def edited(folder: Folder, number: int, load: Any = None) -> float:
    """Seconds from the save to an answer that has it, which is asked for without a pause."""
    with connection(folder) as ask:
        start = time.perf_counter()
        edit(folder, f"edit{number}")
        if load is not None:
            load()
        while f"edit{number}" not in ask():
            pass
        return time.perf_counter() - start


def edit(folder: Folder, mark: str) -> None:
    text = (ROOT / "handler/anomaly_handler.py").read_text()
    new = text.replace(ANSWER, f'{{"anomaly_score": score, "edit": "{mark}"}}')
    assert new != text
    file = folder.path / "handler/anomaly_handler.py"
    partial = file.with_name(".new")
    partial.write_text(new)
    partial.replace(file)


@contextmanager
def connection(folder: Folder, model: str = "anomaly") -> Iterator[Any]:
    """Asks over one connection; gives the answer's text."""
    token = json.loads((folder.path / ".asteria/server/key_file.json").read_text())["inference"]["key"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    http_ = http.client.HTTPConnection("127.0.0.1", folder.state["ports"]["inference"], timeout=60)

    def ask() -> str:
        http_.request("POST", f"/predictions/{model}", SAMPLE, headers)
        return http_.getresponse().read().decode()

    try:
        yield ask
    finally:
        http_.close()


@contextmanager
def asking(folder: Folder) -> Iterator[None]:
    """Other clients, which send again as soon as they are answered."""
    is_over = threading.Event()

    def send() -> None:
        while not is_over.is_set():
            try:
                with connection(folder) as ask:
                    while not is_over.is_set():
                        ask()
                        time.sleep(PAUSE)
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                time.sleep(0.05)  # while a model is replaced

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def latencies(folder: Folder, requests: int) -> dict[str, list[float]]:
    """Seconds of requests to the model that dev serves and to the same as an archive, in turn."""
    found: dict[str, list[float]] = {"anomaly": [], "plain": []}
    with connection(folder) as dev, connection(folder, "plain") as plain:
        for number in range(2 * requests):
            for model, ask in (("anomaly", dev), ("plain", plain)):
                start = time.perf_counter()
                ask()
                if number >= requests:  # by then Java has compiled what it needs
                    found[model].append(time.perf_counter() - start)
    return found


def idle(run: DevRun) -> float:
    process = psutil.Process(run.process.pid)
    before = process.cpu_times()
    time.sleep(IDLE_SECONDS)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / IDLE_SECONDS * 100


def growth(folder: Folder, run: DevRun) -> float:
    sockets = Path(folder.state["temporary"] or folder.path / ".asteria/server/tmp").glob("dev-*.sock")
    worker = psutil.Process(int(next(sockets).stem.removeprefix("dev-")))
    run.saved(lambda: edit(folder, "before"))
    before = worker.memory_info().rss
    for number in range(RELOADS):
        run.saved(lambda number=number: edit(folder, f"grow{number}"))
    return (worker.memory_info().rss - before) / 2**20
