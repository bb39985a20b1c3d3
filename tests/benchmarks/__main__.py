"""`make bench`: every bench_*.py here, or those whose names are given (`python -m tests.benchmarks package`)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

for file in sorted(Path(__file__).parent.glob("bench_*.py")):
    if len(sys.argv) == 1 or file.stem.removeprefix("bench_") in sys.argv[1:]:
        importlib.import_module(f"tests.benchmarks.{file.stem}").main()
