"""A healthy server stays until its successor answers: on a real one, which every test leaves as it found it."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from asteria_tui.logs.in_flight import InFlight
from asteria_tui.operations import drain
from asteria_tui.operations.up import Up
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from tests.conftest import ECHO, ECHO_PROJECT, Folder, MakeFolder
from tests.waiting import until

pytestmark = pytest.mark.torchserve

RAISES = """
    class Handler:
        def initialize(self, context):
            raise KeyError("threshold")

        def handle(self, data, context):
            return data
"""
REFUSES = """
    def handle(data, context):
        if data:
            raise ValueError("never again")
"""
COMMENTED = ECHO.replace("import os", "import os  # changed")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    folder = Folder(tmp_path_factory.mktemp("healthy"))
    folder.write("handler.py", ECHO)
    folder.write("samples/first.json", '{"hello": "world"}')
    folder.write("asteria.toml", ECHO_PROJECT)
    folder.run("up")
    yield folder
    folder.down()


@pytest.fixture(autouse=True)
def as_it_was(healthy: Folder) -> Iterator[None]:
    """The same server, as good as before, with the settings of before."""
    healthy.write("handler.py", ECHO)
    healthy.write("asteria.toml", ECHO_PROJECT)
    yield
    assert answer(healthy) == {"echo": 1}


def answer(folder: Folder) -> object:
    return json.loads(folder.run("predict", "-d", "1").out)


def loaded(folder: Folder) -> str:
    return folder.state["models"]["echo"]["sha256"]


@pytest.fixture
def other_program() -> Iterator[tuple[str, int]]:
    """A port that it listens on, and its pid."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split("port ")[1].split()[0], process.pid
        finally:
            process.kill()


SETTINGS = {
    "a Java option": ('[server]\njava_options = ["-Xnonsense"]\n', 3, "Unrecognized option: -Xnonsense"),
    "a Java option that starts no server": (
        '[server]\njava_options = ["-version"]\n',
        3,
        "Java does not start a server",
    ),
    "a property": ('[server.properties]\njob_queue_size = "many"\n', 2, "job_queue_size must be an integer"),
    "missing weights": ('[models.other]\nhandler = "handler.py"\nserialized_file = "w.pt"\n', 1, "w.pt does not exist"),
}


@pytest.mark.parametrize("command", ["up", "restart"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_cannot_work(healthy: Folder, setting: str, command: str):
    toml, code, said = SETTINGS[setting]
    java = healthy.java.pid
    healthy.write("asteria.toml", (healthy.path / "asteria.toml").read_text() + toml)
    assert said in healthy.run(command, code=code).err
    assert healthy.java.pid == java


@pytest.mark.parametrize("command", ["up", "restart"])
def test_a_port_that_another_program_holds(healthy: Folder, command: str, other_program: tuple[str, int]):
    port, pid = other_program
    java = healthy.java.pid
    said = healthy.run(command, code=3, ASTERIA_SERVER_METRICS_PORT=port).err
    assert f"port {port} is taken by python" in said
    assert f"(pid {pid})" in said
    assert healthy.java.pid == java


def test_a_handler_that_does_not_compile(healthy: Folder):
    java = healthy.java.pid
    healthy.write("handler.py", "def handle(")
    assert "does not compile" in healthy.run("restart", code=1).err
    assert healthy.java.pid == java


def test_a_setting_that_only_the_server_finds_out(healthy: Folder):
    """What is not known before: the settings of before are started again, at the same addresses, and both are said."""
    before = healthy.state
    healthy.write("asteria.toml", ECHO_PROJECT + '[server.properties]\nnetty_client_threads = "-1"\n')
    done = healthy.run("up", "--json", code=3)
    assert "nThreads: -1" in done.one("stage_failed")["detail"]
    assert "was started again" in done.one("noticed")["text"]
    states = [event["state"] for event in done.all("server_changed")]
    assert states[states.index("starting") :] == ["starting", "stopped", "starting", "running"]
    after = healthy.state
    assert {key for key in after if after[key] != before[key]} == {"process", "started_at", "mark", "run"}
    healthy.write("asteria.toml", ECHO_PROJECT)
    assert "start" in {
        event["stage"] for event in healthy.run("up", "--json").all("stage_finished") if event["unchanged"]
    }


@pytest.mark.parametrize(
    ("handler", "code", "title"),
    [
        (RAISES, 4, "KeyError: 'threshold', handler.py:4 in initialize"),
        (REFUSES, 6, "ValueError: never again, handler.py:4 in handle"),
    ],
    ids=["initialize", "sample"],
)
def test_code_that_does_not_work(healthy: Folder, handler: str, code: int, title: str):
    before, java = loaded(healthy), healthy.java.pid
    healthy.write("handler.py", handler)
    done = healthy.run("up", "--json", code=code)
    assert done.one("stage_failed")["title"] == title
    assert "last good archive again" in done.one("noticed")["text"]
    # Its answers are marked: their archive is not what the sources make.
    predicted = healthy.run("predict", "-d", "1", "--json").one("predicted")
    assert (predicted["status"], predicted["archive_sha256"]) == (200, before)
    assert "broken at server of echo" in healthy.run("stores", code=1).err
    assert healthy.java.pid == java


def test_an_interruption_in_the_middle(healthy: Folder):
    before = loaded(healthy)
    healthy.write("handler.py", COMMENTED)
    with healthy.started("up", "--json") as process:
        for line in process.stdout:
            if json.loads(line).get("stage") == "ready":
                break
        until(lambda: loaded(healthy) == "")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert loaded(healthy) == before


def test_requests_in_flight_are_answered_first(healthy: Folder, tmp_path: Path):
    """One that a worker is in the middle of, and one that waits behind it."""
    may_end = tmp_path / "may end"
    body = json.dumps({"wait_for": str(may_end)})
    with one_worked_on_and_one_waiting(healthy, body) as (worked_on, waiting):
        healthy.write("handler.py", ECHO.replace('"echo"', '"changed"'))
        with healthy.started("up", "--json") as up:
            assert any("waiting for requests to echo 1.0" in line for line in up.stdout)
            may_end.touch()
            up.communicate(timeout=60)
        assert up.returncode == 0
        first, second = worked_on.communicate(timeout=30)[0], waiting.communicate(timeout=30)[0]
    assert (json.loads(first), json.loads(second)) == ({"echo": json.loads(body)}, {"echo": 7})
    assert json.loads(healthy.run("predict", "-d", "1").out) == {"changed": 1}
    healthy.write("handler.py", ECHO)
    healthy.run("up")


@contextlib.contextmanager
def one_worked_on_and_one_waiting(
    folder: Folder, body: str
) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    in_flight = InFlight(folder.path / ".asteria/server/logs")
    with folder.started("predict", "-d", body) as worked_on:
        [worker] = described(folder)["workers"]

        def is_busy() -> bool:
            in_flight.look()
            return in_flight.is_busy(worker["id"])

        until(is_busy)
        with folder.started("predict", "-d", "7") as waiting:
            until(lambda: described(folder)["jobQueueStatus"]["pendingRequests"] == 1)
            yield worked_on, waiting


def described(folder: Folder) -> dict:
    return json.loads(folder.run("models", "show", "echo").out)


async def test_requests_that_do_not_end_are_given_up_with_the_reason(healthy: Folder, monkeypatch: pytest.MonkeyPatch):
    """Callers waited until the model's response_timeout, 129 s."""
    monkeypatch.setattr(drain, "MAX_DRAIN", 0.3)
    for name, value in healthy.env.items():
        monkeypatch.setenv(name, value)
    healthy.write("handler.py", COMMENTED)
    with one_worked_on_and_one_waiting(healthy, '{"sleep": 60}') as (worked_on, waiting):
        session = Session(open_project(healthy.path))
        assert await session.run(Up()) == 0
        for request in (worked_on, waiting):
            _, err = request.communicate(timeout=10)
            assert request.returncode == 4
            assert "echo 1.0 was replaced while the request waited" in err


def test_a_dry_run_says_all_and_does_nothing(healthy: Folder, other_program: tuple[str, int]):
    java = healthy.java.pid
    said = healthy.run("up", "--dry-run").err
    assert [line.split()[1] for line in said.splitlines()][:3] == ["sources", "stores", "runtime"]
    healthy.write("handler.py", "def handle(")
    done = healthy.run("up", "--dry-run", "--json", code=1, ASTERIA_SERVER_METRICS_PORT=other_program[0])
    failed = [event["name"] for event in done.all("checked") if event["title"]]
    assert failed == ["sources", "ports"]
    assert healthy.java.pid == java
    assert loaded(healthy)


@pytest.fixture
def small_disk(make_folder: MakeFolder) -> Iterator[Folder]:
    """A project whose `.asteria` lies on a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = make_folder("small")
    disk = folder.path / ".asteria"
    disk.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        folder.kill()
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk(small_disk: Folder):
    disk = small_disk.path / ".asteria"
    # Nothing is started on it.
    fill(disk)
    done = small_disk.run("up", code=3)
    assert f"the disk of {disk} is full" in done.err
    assert "the whole console" not in done.err
    (disk / "filling").unlink()
    # Nothing is unloaded for what would not fit.
    small_disk.run("up")
    before = loaded(small_disk)
    fill(disk)
    small_disk.write("handler.py", COMMENTED)
    done = small_disk.run("up", code=3)
    assert f"the disk of {disk} is full" in done.err
    assert "damaged" not in done.err
    (disk / "filling").unlink()
    assert (answer(small_disk), loaded(small_disk)) == ({"echo": 1}, before)


@contextlib.contextmanager
def load(folder: Folder, statuses: collections.Counter[object]) -> Iterator[None]:
    """Three clients that send one request after the other."""
    keys = json.loads((folder.path / ".asteria/server/key_file.json").read_text())
    url = f"http://127.0.0.1:{folder.state['ports']['inference']}/predictions/echo"
    headers = {"Authorization": f"Bearer {keys['inference']['key']}"}
    is_over = threading.Event()

    def send() -> None:
        with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
            while not is_over.is_set():
                try:
                    statuses[client.post(url, json={"sleep": 0.02}).status_code] += 1
                except httpx.HTTPError as error:
                    statuses[repr(error)] += 1

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_another_version_under_load_loses_no_request(healthy: Folder):
    """And one that does not work never gets any."""
    statuses: collections.Counter[object] = collections.Counter()
    with load(healthy, statuses):
        until(lambda: statuses[200] > 20)
        healthy.write("handler.py", RAISES)
        healthy.write("asteria.toml", ECHO_PROJECT.replace("[models.echo]", '[models.echo]\n    version = "2.0"'))
        done = healthy.run("up", "--json", code=4)
        assert done.one("noticed")["text"] == "echo 1.0 is still served"
        healthy.write("handler.py", ECHO)
        done = healthy.run("up", "--json")
        assert (done.one("predicted")["version"], done.all("noticed")) == ("2.0", [])
        answered = statuses[200]
        until(lambda: statuses[200] > answered + 20)
    assert set(statuses) == {200}
    assert healthy.run("models").out == "echo 2.0  1 of 1 workers ready\n"


def test_a_reload_of_the_same_version_under_load_loses_no_request(healthy: Folder):
    """And code that does not work never gets any; what is served at the end is the very archive of the store."""
    statuses: collections.Counter[object] = collections.Counter()
    with load(healthy, statuses):
        until(lambda: statuses[200] > 20)
        healthy.write("handler.py", RAISES)
        assert "KeyError" in healthy.run("reload", code=4).err
        healthy.write("handler.py", "    # another" + ECHO)
        assert healthy.run("reload", "--json").all("noticed") == []
        answered = statuses[200]
        until(lambda: statuses[200] > answered + 20)
    assert set(statuses) == {200}
    assert healthy.run("models").out == "echo 1.0  1 of 1 workers ready\n"
    assert healthy.run("stores").code == 0
    assert not list((healthy.path / "model_store").glob(".*"))
    # Once more changes nothing, and asks the sample all the same.
    assert healthy.run("reload", "--json").all("predicted")[-1]["status"] == 200
