"""The Docker target beside `docker run` by hand, both up to the first prediction, with the image present.

Goals: `up` at most 1.2 x, `restart` at most 1.1 x, `down` 4 s, records on the host within 100 ms, image 2.0 GB.
Needs an engine and ASTERIA_TEST_WHEELHOUSE, or an image named by ASTERIA_DOCKER_IMAGE.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import httpx

from asteria_tui.config import load
from asteria_tui.errors import TargetError
from asteria_tui.targets.docker import engine, image
from tests.benchmarks.measure import Sample, interleaved, print_table

ROOT = Path(__file__).parents[2]
REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "3"))
RECORDS = 100
PATIENCE_SECONDS = 120
FREE_PORTS = {
    f"ASTERIA_SERVER_{name}_PORT": "0"
    for name in ("INFERENCE", "MANAGEMENT", "METRICS", "GRPC_INFERENCE", "GRPC_MANAGEMENT")
}
TOML = '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\n[server]\ntarget = "docker"\n'
HANDLER = 'def handle(data, context):\n    return ["fine"] * len(data or ())\n'


class Bench:
    """One project and two ways to serve it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = f"asteria-bench-{uuid.uuid4().hex[:8]}"
        self.env = os.environ | FREE_PORTS | {"PYTHONPATH": str(ROOT), "ASTERIA_DOCKER_CONTAINER": self.name}
        (root / "samples").mkdir()
        (root / "samples/first.json").write_text("1")
        (root / "handler.py").write_text(HANDLER)
        (root / "asteria.toml").write_text(TOML)
        shutil.copyfile(ROOT / "constraints.txt", root / "constraints.txt")

    def tool(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "asteria_tui", *arguments, "--quiet"]
        subprocess.run(command, cwd=self.root, env=self.env, check=True, capture_output=True)

    def docker(self, *arguments: str) -> str:
        return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout

    def run_by_hand(self) -> None:
        """As its user would: ports, store, token, curl."""
        store = f"{self.root}/model_store:/home/model-server/model_store:ro"
        run = ["--read-only", "--tmpfs", "/home/model-server/run:uid=1000,mode=0700,exec", "--volume", store]
        self.docker("run", "--detach", "--name", f"{self.name}-by-hand", *run, "-p", "127.0.0.1::8080", self.image)
        port = self.docker("port", f"{self.name}-by-hand", "8080").strip().rpartition(":")[2]
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError, subprocess.CalledProcessError, ValueError):
                keys = json.loads(self.docker("exec", f"{self.name}-by-hand", "cat", "key_file.json"))
                headers = {"Authorization": f"Bearer {keys['inference']['key']}"}
                url = f"http://127.0.0.1:{port}/predictions/echo"
                if httpx.post(url, json=1, headers=headers, timeout=PATIENCE_SECONDS).status_code == 200:
                    return
            time.sleep(0.05)
        raise TimeoutError(self.docker("logs", f"{self.name}-by-hand"))

    def stop_by_hand(self) -> None:
        self.docker("stop", f"{self.name}-by-hand")
        self.docker("rm", "--volumes", f"{self.name}-by-hand")

    @property
    def image(self) -> str:
        return load(self.root).settings.docker.image

    def log_delay(self) -> Sample:
        """From a record's own time to its appearance on the host."""
        sample = Sample("record reaches the host")
        records = self.root / ".asteria/server/logs/records.jsonl"
        with records.open("rb") as file:
            file.seek(0, os.SEEK_END)
            with self.asking():
                while len(sample.seconds) < RECORDS:
                    line = file.readline()
                    if line.endswith(b"\n"):
                        sample.seconds.append(max(0.0, time.time() - json.loads(line)["t"] / 1000))
                    else:
                        file.seek(-len(line), os.SEEK_CUR)
                        time.sleep(0.001)
        return sample

    @contextlib.contextmanager
    def asking(self):
        command = [sys.executable, "-m", "asteria_tui", "predict", "--quiet"]
        loop = f"while True: __import__('subprocess').run({command!r}, capture_output=True)"
        with subprocess.Popen([sys.executable, "-c", loop], cwd=self.root, env=self.env) as process:
            yield
            process.kill()


def main() -> None:
    try:
        client = engine.connect()
    except TargetError as error:
        print(f"\ndocker: {error.title}")
        return
    with contextlib.closing(client), tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        bench = Bench(Path(name).resolve())
        wheelhouse = os.environ.get("ASTERIA_TEST_WHEELHOUSE")
        image.build(client, load(bench.root), wheelhouse=Path(wheelhouse) if wheelhouse else None)
        bench.tool("package")
        rows = interleaved(
            {
                "docker run by hand": bench.run_by_hand,
                "docker stop by hand": bench.stop_by_hand,
                "up": lambda: bench.tool("up"),
                "restart": lambda: bench.tool("restart"),
                "down": lambda: bench.tool("down"),
            },
            REPEATS,
        )
        stop_and_run = Sample("stop and run by hand")
        stop_and_run.seconds = [a + b for a, b in zip(rows[0].seconds, rows[1].seconds, strict=True)]
        bench.tool("up")
        try:
            delay = bench.log_delay()
        finally:
            bench.tool("down")
        size = client.images.get(bench.image).attrs["Size"] / 1e9
        print_table(f"a container up to its first prediction (image {size:.2f} GB)", rows, peer="docker run by hand")
        print_table("restart", [stop_and_run, rows[3]], peer="stop and run by hand")
        print_table("logs", [delay], peer=delay.label)


if __name__ == "__main__":
    main()
