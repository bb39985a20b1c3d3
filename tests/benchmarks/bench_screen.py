"""The screen: first paint beside a minimal Textual app, what it costs idle, and keys while a log pours in."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

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
IDLE_SECONDS = 10.0
FEED_SECONDS = 6.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "asteria.toml").write_text('[models.sample]\nhandler = "handler.py"\n')
        (project / "handler.py").write_text("def handle(data, context):\n    return data\n")
        _first_paint(project)
        _idle(project)
        for rate in (0, 1_000, 50_000, 200_000):
            _keys(project, rate)


def _screen(project: Path) -> list[str]:
    return [sys.executable, "-m", "asteria_tui", "-C", str(project)]


def _first_paint(project: Path, repeats: int = 7) -> None:
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


def _idle(project: Path) -> None:
    with Terminal(_screen(project)) as terminal:
        terminal.wait_for(b"Pipeline")
        terminal.run(3)
        before = terminal.cpu_seconds
        painted = terminal.run(IDLE_SECONDS)
        used = (terminal.cpu_seconds - before) / IDLE_SECONDS
        print(
            f"\nIdle for {IDLE_SECONDS:.0f} s, no server: {terminal.memory / 2**20:.1f} MiB resident, "
            f"{used:.2%} of one core, {painted} bytes painted"
        )


def _keys(project: Path, rate: int) -> None:
    """Key to repaint: 1 and 2 move the focus, the footer tells when that is on the screen."""
    logs = project / ".asteria" / "server" / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    log = logs / "records.jsonl"
    log.write_bytes(LINE % (time.time() * 1000, 0))
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
            f"{terminal.memory / 2**20:.0f} MiB, log {log.stat().st_size / 1e6:.0f} MB"
        )


def _feed(log: Path, rate: int, stop: threading.Event) -> None:
    number, begun = 1, time.monotonic()
    with log.open("ab", buffering=0) as file:
        while rate and not stop.is_set():
            due = int((time.monotonic() - begun) * rate)
            now = int(time.time() * 1000)
            file.write(b"".join(LINE % (now, line) for line in range(number, due + 1)))
            number = max(number, due + 1)
            time.sleep(0.01)
