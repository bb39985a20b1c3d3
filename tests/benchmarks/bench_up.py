"""Cold start to the first prediction. Goal: `up` at most 1.15 x the same server started by hand with the bare tools."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.benchmarks.measure import Sample, print_table
from tests.conftest import ROOT, Folder

REPEATS = int(os.environ.get("ASTERIA_BENCH_REPEATS", "3"))
SAMPLE = ROOT / "model/samples/ordinary.json"
TOOLS = Path(sys.executable).parent


def main() -> None:
    by_hand, packaged_by_hand, up, again = (
        Sample("by hand, archive there"),
        Sample("by hand, with archiver"),
        Sample("up"),
        Sample("up, nothing to do"),
    )
    with tempfile.TemporaryDirectory(prefix="asteria-bench-") as name:
        root = Path(name)
        folder = project(root / "project")
        for number in range(REPEATS):
            start = time.perf_counter()
            archive(root / f"hand{number}")
            packaging = time.perf_counter() - start
            serving = serve_by_hand(root / f"hand{number}")
            by_hand.seconds.append(serving)
            packaged_by_hand.seconds.append(serving + packaging)
            up.seconds.append(timed(folder, "up"))
            again.seconds.append(timed(folder, "up"))
            folder.run("down")
    print_table("cold start to the first prediction", [by_hand, packaged_by_hand, up, again], peer=by_hand.label)


def project(path: Path) -> Folder:
    path.mkdir()
    for name in ("asteria.toml", "handler", "model"):
        (path / name).symlink_to(ROOT / name)
    return Folder(path)


def timed(folder: Folder, *arguments: str) -> float:
    start = time.perf_counter()
    folder.run(*arguments)
    return time.perf_counter() - start


def archive(path: Path) -> None:
    (path / "store").mkdir(parents=True)
    (path / "tmp").mkdir()
    subprocess.run(
        [
            TOOLS / "torch-model-archiver", "--model-name", "anomaly", "--version", "1.0",
            "--handler", ROOT / "handler/anomaly_handler.py", "--serialized-file", ROOT / "model/anomaly.pt",
            "--model-file", ROOT / "model/anomaly_model.py", "--export-path", path / "store",
        ],
        env=os.environ | {"TMPDIR": str(path / "tmp")},
        check=True,
    )  # fmt: skip


def serve_by_hand(path: Path, *, is_stop_timed: bool = False) -> float:
    """Seconds until the first good answer of `torchserve --start`, one worker, own ports; and of a clean stop."""
    ports = free_ports(5)
    addresses = zip(("inference_address", "management_address", "metrics_address"), ports, strict=False)
    lines = [f"{name}=http://127.0.0.1:{port}" for name, port in addresses]
    lines += [f"grpc_inference_port={ports[3]}", f"grpc_management_port={ports[4]}", "default_workers_per_model=1"]
    (path / "config.properties").write_text("\n".join(lines))
    start = time.perf_counter()
    server = subprocess.Popen(
        [
            TOOLS / "torchserve", "--start", "--foreground", "--ncs", "--ts-config", path / "config.properties",
            "--model-store", path / "store", "--models", "anomaly=anomaly.mar",
        ],
        cwd=path,
        env=os.environ | {"TMPDIR": str(path / "tmp"), "TEMP": str(path / "tmp"), "PATH": f"{TOOLS}:{java_path()}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while not is_answered(path, ports[0]):
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        if is_stop_timed:
            start = time.perf_counter()
            [java] = psutil.Process(server.pid).children()
            java.terminate()
            psutil.wait_procs([java])
            seconds += time.perf_counter() - start
        return seconds
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def java_path() -> str:
    from asteria_tui.targets.local.runtime import find_java

    return f"{find_java().parent}:{os.environ['PATH']}"


def is_answered(path: Path, port: int) -> bool:
    try:
        token = json.loads((path / "key_file.json").read_text())["inference"]["key"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predictions/anomaly",
            SAMPLE.read_bytes(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False


def free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
