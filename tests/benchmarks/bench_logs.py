"""A history of ten million lines, and a feed of 200,000 lines a second, beside tail, less, lnav and grep.

Goals: opened at its end in 0.3 s, level filter of the visible part in 0.2 s, search at most 4 x `grep -c`, at most
100 MiB; followed without falling behind, event loop never blocked for 20 ms, CPU at most 1.5 x lnav's; 200,000
records parsed a second; a written line seen within 0.1 s; nothing spent while nothing is written.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from asteria_tui.logs.filter import Filter
from asteria_tui.logs.index import LineIndex
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.rows import LogRows
from asteria_tui.logs.search import Hits
from tests.benchmarks.measure import interleaved, measure, print_table

LINES = int(os.environ.get("ASTERIA_BENCH_LINES", "10000000"))
RATE = int(os.environ.get("ASTERIA_BENCH_RATE", "200000"))
SECONDS = 5
SCREEN = 40
REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "3"))
NEEDLE = "needle in the haystack"
END = b"the last line of the feed"
FOLLOWER = "tests.benchmarks.log_follower"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        folder = Path(name)
        write_history(folder / "history.jsonl")
        past(folder / "history.jsonl")
        (folder / "history.jsonl").unlink()
        parse()
        follow(folder)


def line(number: int, text: str = "", level: str = "INFO") -> bytes:
    """A line of 160 bytes as a server of ours writes it, or a longer one."""
    head = f'{{"t":{1795411292745 + number:013d},"l":"{level}","th":"W-900{number % 4}-anomaly_1.0-stdout",'
    said = text or f"Backend received inference {number % 10_000:04d}, all is well"
    return f'{head}"lg":"MODEL_LOG","m":"{said}'.ljust(151).encode() + b'","x":""}\n'


def block(first: int = 0) -> bytes:
    """A thousand lines, of them ten that warn and one that is an error."""
    levels = {0: "ERROR"} | dict.fromkeys(range(100, 1000, 100), "WARN")
    return b"".join(line(first + n, level=levels.get(n, "DEBUG" if n % 5 == 0 else "INFO")) for n in range(1000))


def write_history(path: Path) -> None:
    usual, blocks = block(), LINES // 1000
    with path.open("wb") as file:
        for number in range(blocks):
            file.write(usual)
            if number % (blocks // 4 or 1) == blocks // 8:
                file.write(line(number, NEEDLE))


def past(path: Path) -> None:
    indexed = LineIndex(path)
    whole = measure("index all of it, in the background", lambda: index_all(indexed), 1)
    whole.note = f"{LINES / whole.median / 1e6:.1f} million lines a second"

    def visible() -> None:
        rows = LogRows(path, Filter(level="warn"))
        while len(rows) < SCREEN and not rows.is_complete:
            rows.refresh()
        for row in range(len(rows) - SCREEN, len(rows)):
            rows.record(row)
        rows.close()

    def found() -> None:
        hits = Hits(indexed, Filter(grep=NEEDLE))
        while hits.step():
            pass

    calls: dict[str, Callable[[], object]] = {
        "tail -n 40": lambda: quiet("tail", f"-n{SCREEN}", str(path)),
        "open at the end, read a screen": lambda: LineIndex(path).lines(-SCREEN, SCREEN),
        "open, filter by level, read a screen": visible,
        "grep -c": lambda: quiet("grep", "-c", NEEDLE, str(path)),
        "search all of it": found,
    }
    rows = [whole, *interleaved(calls, REPEATS)]
    rows[-1].note = f"peak {peak():.0f} MiB"
    print_table(f"a history of {LINES:,} lines ({path.stat().st_size / 1e9:.1f} GB)", rows, peer="grep -c")
    indexed.close()


def index_all(index: LineIndex) -> None:
    while index.step_back():
        pass


def quiet(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # to a pipe: grep looks no further for /dev/null


def peak() -> float:
    """MiB that this process has had at most."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def parse() -> None:
    lines = {
        "JSON records": block() * 100,
        "pattern records": (
            b"2026-11-23T03:08:45,821 [INFO ] W-9000-anomaly_1.0-stdout MODEL_LOG - Backend received inference, well\n"
        )
        * 100_000,
    }
    rows = []
    for label, given in lines.items():
        row = measure(label, lambda given=given: sum(1 for _ in Parser().parse(given)), REPEATS)
        row.note = f"{len(given.splitlines()) / row.median:,.0f} records a second"
        rows.append(row)
    print_table("parse 100,000 lines to full records", rows, peer="JSON records")


def follow(folder: Path) -> None:
    path = folder / "feed.jsonl"
    python = [sys.executable, "-m", FOLLOWER]
    commands = {
        "tail -f": ["tail", "-f", str(path)],
        "less +F": ["less", "+F", str(path)],
        "lnav": ["lnav", str(path)],
        "rows and visible records (the screen)": [*python, "screen", str(path)],
        "full records (logs -f --json)": [*python, "records", str(path)],
    }
    print(f"\nfollow {RATE:,} lines/s for {SECONDS} s: CPU of a core, memory, how long after the end the end was seen")
    base = None
    for label, command in commands.items():
        if shutil.which(command[0]) is None:
            print(f"  {label:<40} skipped: {command[0]} is not installed")
            continue
        cpu, memory, lag, said = followed(command, path)
        base = cpu if label == "lnav" else base
        ratio = f"{cpu / base:.2f} x lnav" if base else ""
        seen = "not seen" if lag is None else f"{lag * 1000:.0f} ms"
        print(f"  {label:<40} {cpu:6.1%} {memory:6.0f} MiB {seen:>9}  {ratio}  {said}".rstrip())
    path.write_bytes(b"")
    cpu, _, _, _ = followed([*python, "idle", str(path)], path, rate=0)
    print(f"  {'full records, nothing is written':<40} {cpu:6.2%}")


def followed(command: list[str], path: Path, rate: int = RATE) -> tuple[float, float, float | None, str]:
    """CPU share, MiB and lag of `command`, which follows `path` on a terminal, and what it says of itself."""
    path.write_bytes(line(0))
    ours, theirs = pty.openpty()
    child = psutil.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, start_new_session=True)
    os.close(theirs)
    seen: list[float] = []
    output = bytearray()
    reader = threading.Thread(target=drain, args=(ours, output, seen), daemon=True)
    reader.start()
    time.sleep(1.5)
    before = sum(child.cpu_times()[:2])
    start = time.perf_counter()
    feed(path, rate)
    ended = time.perf_counter()
    reader.join(timeout=3 if rate else 0)
    cpu = (sum(child.cpu_times()[:2]) - before) / (ended - start)
    memory = child.memory_info().rss / 2**20
    child.kill()
    child.wait()
    reader.join()
    os.close(ours)
    lag = seen[0] - ended if seen else None
    said = re.search(rb"event loop .* most", output)
    return cpu, memory, lag, said[0].decode() if said else ""


def drain(descriptor: int, output: bytearray, seen: list[float]) -> None:
    """Read what a follower prints until it has shown the end of the feed, or has ended."""
    while True:
        try:
            output += os.read(descriptor, 1 << 16)
        except OSError:
            return
        if END in output:
            seen.append(time.perf_counter())
            return
        del output[: -len(END) - 200]


def feed(path: Path, rate: int) -> None:
    """Append at an even rate, a piece every 20 ms, and say at the end that this was all."""
    if not rate:
        time.sleep(SECONDS)
        return
    piece = (block() * (rate // 50_000 + 1))[: rate // 50 * 160]
    piece = piece[: piece.rfind(b"\n") + 1]
    with path.open("ab", buffering=0) as file:
        start = time.perf_counter()
        for number in range(1, 50 * SECONDS + 1):
            file.write(piece)
            time.sleep(max(0.0, start + number / 50 - time.perf_counter()))
        file.write(line(0, END.decode()))


if __name__ == "__main__":
    main()
