"""The screen: first paint beside a minimal Textual app, what it costs idle, and keys while a log pours in."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.benchmarks import bench_up
from tests.benchmarks.measure import Sample, print_table
from tests.benchmarks.terminal import Terminal

HERE = Path(__file__).resolve().parents[2]
MINIMAL = """
from textual.app import App
from textual.widgets import Static
class Minimal(App):
    def compose(self):
        yield Static("first paint")
Minimal().run()
"""
LINE = (
    b'{"t":%d,"l":"INFO","th":"W-9000-sample_1.0-stdout","lg":"MODEL_LOG",'
    b'"m":"request %08d: features checked, 10 of 10 within range, score 0.0312","x":""}\n'
)
IDLE_SECONDS = 30.0
FEED_SECONDS = 6.0
SOAK_SECONDS = float(os.environ.get("ASTERIA_SOAK_SECONDS", "60"))
SOAK_RATE = 50_000
PART_BYTES = 32 << 20
"""Bytes at which a real server rotates its log, of which it keeps some parts."""
PARTS_KEPT = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "asteria.toml").write_text('[models.sample]\nhandler = "handler.py"\n')
        (project / "handler.py").write_text("def handle(data, context):\n    return data\n")
        _first_paint(project)
        _idle(project)
        for rate in (0, 1_000, 50_000, 200_000):
            _keys(project, rate)
        _soak(project)
        _idle_with_server(project / "served")


def _screen(project: Path) -> list[str]:
    return [sys.executable, "-m", "asteria_tui", "-C", str(project)]


def _first_paint(project: Path, repeats: int = 15) -> None:
    commands = {
        "minimal Textual app": ([sys.executable, "-c", MINIMAL], b"first paint"),
        "asteria-tui": (_screen(project), b"Pipeline"),
    }
    samples = {label: Sample(label) for label in commands}
    for _ in range(repeats):
        for label, (command, text) in commands.items():
            with Terminal(command) as terminal:
                terminal.wait_for(text)
                samples[label].seconds.append(time.perf_counter() - terminal.started)
    print_table("First paint, 120x40", list(samples.values()), "minimal Textual app")


def _idle(project: Path, mark: bytes = b"Pipeline", told: str = "no server") -> None:
    with Terminal(_screen(project)) as terminal:
        terminal.wait_for(mark)
        terminal.run(5)
        before = terminal.cpu_seconds
        painted = terminal.run(IDLE_SECONDS)
        used = (terminal.cpu_seconds - before) / IDLE_SECONDS
        print(
            f"\nIdle for {IDLE_SECONDS:.0f} s, {told}: {terminal.memory / 2**20:.1f} MiB resident, "
            f"{used:.2%} of one core, {painted} bytes painted"
        )


def _reopen(project: Path, repeats: int = 5) -> None:
    """From the start until all is there again; goal: a second."""
    marks = {"the server's worker": b"queue 0", "its log": b"/predictions/", "the last answer": b"anomaly_score"}
    seconds: dict[str, list[float]] = {what: [] for what in marks}
    for _ in range(repeats):
        with Terminal(_screen(project)) as terminal:
            missing = dict(marks)
            painted = b""
            while missing:
                painted += terminal.read()
                for what in [what for what, mark in missing.items() if mark in painted]:
                    seconds[what].append(time.perf_counter() - terminal.started)
                    del missing[what]
    told = ", ".join(f"{what} {statistics.median(each) * 1000:.0f} ms" for what, each in seconds.items())
    print(f"\nReopened beside a running server (medians of {repeats}): {told}")


def _idle_with_server(path: Path) -> None:
    folder = bench_up.project(path)
    try:
        folder.run("up")
        _reopen(path)
        _idle(path, b"queue 0", "a real server beside it")
    finally:
        folder.run("down")


def _keys(project: Path, rate: int) -> None:
    """Key to repaint: 1 and 2 move the focus, the footer tells when that is on the screen."""
    log = _new_log(project)
    with Terminal(_screen(project)) as terminal:
        terminal.wait_for(b"request 00000000")
        terminal.run(1)
        stop = threading.Event()
        feed = threading.Thread(target=_feed, args=(log, rate, stop))
        feed.start()
        before, begun = terminal.cpu_seconds, time.perf_counter()
        delays = []
        while time.perf_counter() - begun < FEED_SECONDS:
            for key, mark in (("2", b"target"), ("1", b"package")):
                terminal.press(key)
                delays.append(terminal.wait_for(mark))
                terminal.run(0.08)
        used = (terminal.cpu_seconds - before) / (time.perf_counter() - begun)
        stop.set()
        feed.join()
        print(
            f"{rate:>8,} lines/s: key to repaint p50 {statistics.median(delays) * 1000:.0f} ms, "
            f"max {max(delays) * 1000:.0f} ms (n={len(delays)}), {used:.0%} of one core, "
            f"{terminal.memory / 2**20:.0f} MiB"
        )


def _soak(project: Path) -> None:
    """Memory while a log pours in and rotates: what it gains once the parts that are kept are full is for ever."""
    log = _new_log(project)
    points: list[tuple[float, float]] = []
    with Terminal(_screen(project)) as terminal:
        terminal.wait_for(b"request 00000000")
        stop = threading.Event()
        feed = threading.Thread(target=_feed, args=(log, SOAK_RATE, stop))
        feed.start()
        begun = time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < SOAK_SECONDS:
            terminal.run(0.5)
            points.append((elapsed * SOAK_RATE / 1e6, terminal.memory / 2**20))
        stop.set()
        feed.join()
    full = (PARTS_KEPT + 1) * PART_BYTES / len(LINE % (time.time() * 1000, 0)) / 1e6
    settled = [point for point in points if point[0] > full] or points
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope
    print(
        f"\nSoak, {points[-1][0]:.1f} million lines, which is 8 hours at {points[-1][0] * 1e6 / 8 / 3600:.0f} lines/s: "
        f"{points[0][1]:.0f} MiB at the start, {settled[0][1]:.0f} when all parts are full, {points[-1][1]:.0f} at the "
        f"end; {slope:+.2f} MiB per million lines from then on"
    )


def _new_log(project: Path) -> Path:
    logs = project / ".asteria" / "server" / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    log = logs / "records.jsonl"
    log.write_bytes(LINE % (time.time() * 1000, 0))
    return log


def _feed(log: Path, rate: int, stop: threading.Event) -> None:
    """Writes that many lines a second, and rotates the log as log4j does."""
    number, begun = 1, time.monotonic()
    file = log.open("ab", buffering=0)
    while rate and not stop.is_set():
        due = int((time.monotonic() - begun) * rate)
        now = int(time.time() * 1000)
        file.write(b"".join(LINE % (now, line) for line in range(number, due + 1)))
        number = max(number, due + 1)
        if file.tell() > PART_BYTES:
            file.close()
            for part in range(PARTS_KEPT, 0, -1):
                newer = log.with_name(f"{log.name}.{part - 1}") if part > 1 else log
                if newer.exists():
                    newer.replace(log.with_name(f"{log.name}.{part}"))
            file = log.open("ab", buffering=0)
        time.sleep(0.01)
    file.close()
