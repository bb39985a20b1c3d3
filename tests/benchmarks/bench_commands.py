"""What a command costs. Goals: `--help` at most 8 x a bare Python, `status` 0.4 s, `predict` 10 ms above the server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from asteria_tui.inference.payload import first_sample
from asteria_tui.operations.base import Context
from asteria_tui.operations.predict import Predict
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from tests.benchmarks.bench_up import project
from tests.benchmarks.measure import Sample, interleaved, print_table
from tests.conftest import COMMAND, Folder

REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "3")) * 5


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        folder = project(Path(name) / "project")
        folder.run("up")
        try:
            rows = interleaved(
                {
                    "python -c pass": lambda: run(folder, sys.executable, "-c", "pass"),
                    "--help": lambda: run(folder, *COMMAND, "--help"),
                    "up --help": lambda: run(folder, *COMMAND, "up", "--help"),
                    "status": lambda: run(folder, *COMMAND, "status"),
                    "predict": lambda: run(folder, *COMMAND, "predict"),
                },
                REPEATS,
            )
            print_table("commands on a running server", rows, peer="python -c pass")
            asyncio.run(compare_predictions(folder))
        finally:
            folder.run("down")


def run(folder: Folder, *command: str) -> None:
    subprocess.run(command, cwd=folder.path, env=folder.env, check=True, capture_output=True)


async def compare_predictions(folder: Folder) -> None:
    """The same request by bare httpx and by a Session, in one process, over open connections."""
    chosen = open_project(folder.path)
    session = Session(chosen)
    context = Context(session.project, session.target, session.emit)
    record = await context.running()
    payload = first_sample(chosen, chosen.model()[1])
    assert payload is not None
    bare, ours = Sample("httpx"), Sample("Session.run(Predict)")
    async with context.client(record) as client, httpx.AsyncClient(trust_env=False) as http:
        headers = {"Authorization": f"Bearer {(await client.keys.token('inference')).token}"}
        headers["Content-Type"] = payload.content_type
        for _ in range(REPEATS):
            start = time.perf_counter()
            await http.post(f"{record.inference}/predictions/anomaly", content=payload.content, headers=headers)
            bare.seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            await session.run(Predict(payload=payload))
            ours.seconds.append(time.perf_counter() - start)
    ours.note = f"adds {(ours.median - bare.median) * 1000:.1f} ms"
    print_table("one prediction", [bare, ours], peer="httpx")
