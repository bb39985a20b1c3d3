"""How soon `debug` stands at a breakpoint. Goal: at most 1.2 x `import torch`, which every handler needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.bench_up import project
from tests.benchmarks.measure import interleaved, print_table
from tests.conftest import COMMAND, Folder

REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "3")) * 3


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        folder = project(Path(name) / "project")
        handler = next(file for file in (folder.path / "handler").glob("*.py"))
        lines = handler.read_text().splitlines()
        line = next(number for number, text in enumerate(lines, 1) if text.startswith("    def handle")) + 1
        while not lines[line - 1].strip() or lines[line - 1].strip().startswith(('"""', "#")):
            line += 1
        rows = interleaved(
            {
                "import torch": lambda: run(folder, sys.executable, "-c", "import torch"),
                "debug to its breakpoint": lambda: run(folder, *COMMAND, "debug", "--break", f"{handler}:{line}"),
            },
            REPEATS,
        )
        print_table("debug, from the command to the prompt of pdb", rows, peer="import torch")


def run(folder: Folder, *command: str) -> None:
    """To the first prompt: pdb reads the end of its input there, and leaves."""
    subprocess.run(command, cwd=folder.path, env=folder.env, check=True, capture_output=True, stdin=subprocess.DEVNULL)
