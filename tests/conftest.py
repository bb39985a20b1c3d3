"""Real projects, real commands, one real server shared by every test that does not break it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import psutil
import pytest

from asteria_tui.config import Project, Settings
from asteria_tui.targets.record import load_record
from tests.docker_engine import (  # noqa: F401 fixtures and a hook of pytest
    docker_engine,
    pytest_runtest_setup,
    torchserve_image,
    wheelhouse,
)
from tests.marks import pytest_collection_modifyitems, pytest_ignore_collect  # noqa: F401 hooks of pytest

# How long one example takes says something of the machine, nothing of the code.
hypothesis.settings.register_profile(
    "no deadline", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("no deadline")

ROOT = Path(__file__).resolve().parent.parent
FREE_PORTS = {
    f"ASTERIA_SERVER_{name}_PORT": "0"
    for name in ("INFERENCE", "MANAGEMENT", "METRICS", "GRPC_INFERENCE", "GRPC_MANAGEMENT")
}
COMMAND = [sys.executable, "-m", "asteria_tui"]
MAX_SECONDS = 180
"""Seconds after which a command of ours hangs; the longest takes about 15 on two busy cores."""


def import_torchserve() -> ModuleType:
    """`ts`, which leaves a file open when it is imported (`ts/__init__.py`): not ours to fix, and not to fail on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return importlib.import_module("ts")


class Done:
    """One command that ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def all(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events if found["event"] == event]

    def one(self, event: str) -> dict[str, Any]:
        [found] = self.all(event)
        return found

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Folder:
    """A project folder and the commands run in it."""

    def __init__(self, path: Path, **env: str) -> None:
        self.path = path
        # Commands are started hundreds of times: as for a user, only the first one compiles.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.env = kept | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"} | FREE_PORTS | env

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def run(self, *arguments: str, code: int | None = 0, stdin: str = "", **env: str) -> Done:
        """Runs `asteria-tui …` here and checks its exit status; no traceback of ours may show."""
        ended = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.path,
            env=self.env | env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        assert "Traceback" not in done.err, done
        assert "a bug in asteria-tui" not in done.out + done.err, done
        if code is not None:
            assert done.code == code, done
        return done

    @contextlib.contextmanager
    def started(self, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on while the test does; ended with the block at the latest."""
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.path,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.path / ".asteria/server/state.json").read_text())

    @property
    def java(self) -> psutil.Process:
        return psutil.Process(self.state["process"]["pid"])

    def left_over(self) -> list[str]:
        """Processes that know this folder, and files of a server that should be gone."""
        here = str(self.path.resolve())
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "environ"]):
            if process.pid == os.getpid():
                continue
            if here in " ".join(process.info["cmdline"] or ()) or here in (process.info["environ"] or {}).get(
                "TEMP", ""
            ):
                found.append(f"{process.pid} {process.info['cmdline']}")
        server = self.path / ".asteria/server"
        found += [str(file) for file in server.glob("*") if file.name != "logs"]
        found += [str(file) for file in self.path.rglob("*.partial*")]
        return found

    def down(self) -> None:
        self.run("down")
        assert self.left_over() == []

    def kill(self) -> None:
        """Ends what a test left running: TorchServe takes two seconds for a clean end, which is not every test's."""
        record = load_record(Project(root=self.path, settings=Settings()))
        if record is None or record.process is None:
            return
        if java := record.process.find():
            tree = [java, *java.children(recursive=True)]
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(tree)
        if record.temporary:
            shutil.rmtree(record.temporary, ignore_errors=True)


MakeFolder = Callable[..., Folder]

ECHO_PROJECT = """
    [models.echo]
    handler = "handler.py"
    samples = "samples"
"""
ECHO = """
    def handle(data, context):
        if data is None:
            return None
        answers = []
        for item in data:
            body = item.get("body")
            if isinstance(body, dict) and "sleep" in body:
                import time
                time.sleep(body["sleep"])
            if isinstance(body, dict) and "raise" in body:
                raise ValueError(body["raise"])
            if isinstance(body, dict) and body.get("exit"):
                import os
                os._exit(3)
            if isinstance(body, dict) and "wait_for" in body:
                import pathlib, time
                while not pathlib.Path(body["wait_for"]).exists():
                    time.sleep(0.01)
            answers.append({"echo": body if not isinstance(body, (bytes, bytearray)) else body.decode()})
        return answers
"""


@pytest.fixture
def make_folder(tmp_path: Path) -> Iterator[MakeFolder]:
    """Makes project folders, and stops whatever still runs in them afterwards."""
    made: list[Folder] = []

    def make(name: str = "project", handler: str = ECHO, toml: str | None = None, **env: str) -> Folder:
        path = tmp_path / name
        path.mkdir(parents=True)
        folder = Folder(path, **env)
        folder.write("handler.py", handler)
        folder.write("samples/first.json", '{"hello": "world"}')
        folder.write(
            "asteria.toml", toml if toml is not None else '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\n'
        )
        made.append(folder)
        return folder

    yield make
    for folder in made:
        folder.kill()


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    return importlib.import_module("torch")


@pytest.fixture(scope="session")
def torchserve_package() -> ModuleType:
    return import_torchserve()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """One project with several models on one server, for every test that leaves it as it was."""
    folder = Folder(tmp_path_factory.mktemp("shared"))
    folder.write("handler.py", ECHO)
    folder.write("samples/first.json", '{"hello": "world"}')
    folder.write("samples/second.json", '{"hello": "again"}')
    folder.write(
        "asteria.toml",
        """
        [models.echo]
        handler = "handler.py"
        samples = "samples"
        response_timeout = 20

        [models.tokenizer]
        version = "2.1"
        handler = "handler.py"

        [server.properties]
        job_queue_size = "2"
        """,
    )
    folder.first_up = folder.run("up", "--json")  # type: ignore[attr-defined]
    yield folder
    folder.down()
