"""Package large random weights. Goal: at most 3 x `cp`, 10 x faster than the official default, 64 MiB of memory.

`cp` leaves its copy in memory; an archive of ours is on the disk when `package` ends. So both are shown both ways.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

from asteria_tui.archive.build import build
from asteria_tui.archive.sources import collect
from asteria_tui.config import ModelSettings, Project, Settings
from tests.benchmarks.measure import Sample, interleaved, measure, print_table

MIB = 1024 * 1024
SIZE = int(os.environ.get("ASTERIA_BENCH_MIB", "1024"))
REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "3"))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        root = Path(name)
        (root / "handler.py").write_text("def handle(data, context):\n    return data\n")
        with (root / "weights.pt").open("wb") as file:
            for _ in range(SIZE):
                file.write(os.urandom(MIB))
        rows = interleaved(
            {
                "cp": lambda: copied(root, synchronise=False),
                "package, not synchronised": lambda: packaged(root, "unsynchronised"),
                "cp + fsync": lambda: copied(root, synchronise=True),
                "package": lambda: packaged(root),
                "package, nothing changed": lambda: packaged(root, "unchanged"),
            },
            REPEATS,
        )
        peak, within = child(root)
        next(
            row for row in rows if row.label == "package"
        ).note = f"peak {peak:.0f} MiB; {within:.2f} s in a process of its own"
        rows += [official(root, archive_format) for archive_format in ("zip-store", "default")]
    print_table(f"package {SIZE} MiB of random weights ({os.cpu_count()} cores)", rows, peer="cp")


def copied(root: Path, *, synchronise: bool) -> None:
    """Like an archive of ours beside an empty place: what lay there is removed first."""
    target = root / "copy"
    target.unlink(missing_ok=True)
    subprocess.run(["cp", root / "weights.pt", target], check=True)
    if synchronise:
        with target.open("rb") as file:
            os.fsync(file.fileno())


def packaged(root: Path, how: str = "") -> None:
    target = root / "store/large.mar"
    if how != "unchanged":
        target.unlink(missing_ok=True)
    project = Project(root=root, settings=Settings())
    sources = collect(project, "large", ModelSettings(handler="handler.py", serialized_file="weights.pt"))
    with mock.patch("os.fsync") if how == "unsynchronised" else nullcontext():
        build(sources, target)


def child(root: Path) -> tuple[float, float]:
    """Peak memory in MiB and seconds."""
    command = [sys.executable, "-m", __name__, str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = done.stdout.split()
    return float(peak), float(seconds)


def official(root: Path, archive_format: str) -> Sample:
    program = Path(sys.executable).with_name("torch-model-archiver")
    command = [
        str(program), "--model-name=large", "--version=1", f"--handler={root}/handler.py", "--force",
        f"--serialized-file={root}/weights.pt", f"--export-path={root}", f"--archive-format={archive_format}",
    ]  # fmt: skip
    work = root / "work"
    work.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(work)}
    return measure(
        f"torch-model-archiver {archive_format}",
        lambda: subprocess.run(command, check=True, capture_output=True, env=environment),
        repeats=1,
    )


if __name__ == "__main__":
    start = time.perf_counter()
    packaged(Path(sys.argv[1]))
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    print(kibibytes / 1024, time.perf_counter() - start)
