"""What goes wrong with containers: one clear message, the right exit status, nothing foreign touched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker import DockerClient
from docker.models.containers import Container

from asteria_tui.errors import TargetError
from asteria_tui.targets.docker import engine, run
from asteria_tui.targets.docker.target import DockerTarget
from tests.conftest import ECHO
from tests.targets.docker.conftest import DockerFolder, MakeDockerFolder

pytestmark = pytest.mark.docker

NOBODY = 65534


def failure(folder: DockerFolder, *arguments: str, code: int, **env: str) -> dict[str, object]:
    return folder.run(*arguments, "--json", code=code, **env).one("operation_failed")


@contextmanager
def relay(to: str, at: Path) -> Iterator[None]:
    """A socket that leads to the engine's, and is gone when the block ends: an engine that stops."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(at))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_connect, args=(client, to)).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    at.unlink()


def _connect(client: socket.socket, to: str) -> None:
    hung_up = contextlib.suppress(ConnectionError)
    with hung_up, client, socket.socket(socket.AF_UNIX) as server:
        server.connect(to)
        other = {client: server, server: client}
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                other[source].sendall(data)


def test_no_engine(docker_folder: DockerFolder, tmp_path: Path):
    for command in ("up", "status", "down", "predict"):
        failed = failure(docker_folder, command, code=3, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
        assert failed["title"] == "no Docker engine answers"
    assert docker_folder.run("status").out.startswith("running")


@pytest.fixture
def engine_socket(docker_engine: DockerClient) -> str:
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        pytest.skip("the engine has no socket to stand in for")
    return host.removeprefix("unix://")


def test_an_engine_that_stops_and_comes_back(docker_folder: DockerFolder, engine_socket: str):
    with tempfile.TemporaryDirectory(prefix="asteria-") as short:
        at = Path(short, "docker.sock")
        host = {"DOCKER_HOST": f"unix://{at}"}
        with relay(engine_socket, at):
            assert docker_folder.run("status", **host).out.startswith("running")
        assert failure(docker_folder, "status", code=3, **host)["title"] == "no Docker engine answers"
        with relay(engine_socket, at):
            assert json.loads(docker_folder.run("predict", "-d", "1", **host).out) == {"echo": 1}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_no_permission(engine_socket: str):
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(TargetError, match="no Docker engine answers") as caught:
            engine.connect({"DOCKER_HOST": f"unix://{engine_socket}"})
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    assert "Permission denied" in caught.value.detail
    assert "usermod -aG docker" in caught.value.hint


def test_an_image_that_is_not_to_be_had(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder(ASTERIA_DOCKER_IMAGE="127.0.0.1:1/nobody/nothing:1")
    failed = failure(folder, "up", code=3)
    assert failed["title"] == "the image 127.0.0.1:1/nobody/nothing:1 is neither here nor to be had"
    assert folder.left_over() == folder.containers() == []


def test_an_image_whose_build_fails_half_way(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder(ASTERIA_DOCKER_IMAGE=f"asteria-tests:{uuid.uuid4().hex[:12]}")
    folder.write("Dockerfile.torchserve", "FROM python:3.11-slim-bookworm\nRUN echo half-way; exit 3\n")
    failed = failure(folder, "up", code=3)
    assert "failed at step 2/" in str(failed["title"])
    assert "half-way" in str(failed["detail"])
    assert folder.left_over() == folder.containers() == []


def test_a_port_of_another_container(make_docker_folder: MakeDockerFolder, stranger: Callable):
    holder = stranger(ports={"80/tcp": ("127.0.0.1", None)})
    holder.reload()
    port = holder.ports["80/tcp"][0]["HostPort"]
    folder = make_docker_folder(ASTERIA_SERVER_MANAGEMENT_PORT=port)
    failed = failure(folder, "up", code=3)
    assert failed["title"] == "a port is taken"
    assert failed["detail"] == f"port {port} is taken by the container {holder.name} (management_port)"
    assert folder.left_over() == folder.containers() == []


def test_a_container_of_that_name_that_is_not_ours(make_docker_folder: MakeDockerFolder, stranger: Callable):
    folder = make_docker_folder()
    theirs = stranger(name=folder.name)
    failed = failure(folder, "up", code=3)
    assert failed["title"] == f"there is a container named {folder.name}, and it is not ours"
    folder.run("down")
    folder.run("status", code=4)
    theirs.reload()
    assert theirs.status == "running"
    assert folder.left_over() == []


@pytest.mark.skipif(os.getuid() != 0, reason="the container's user is ours, so it may read what we may")
def test_a_store_that_the_container_cannot_read(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder()
    folder.run("package")
    (folder.path / "model_store").chmod(0o700)
    failed = failure(folder, "up", code=3)
    assert "cannot read" in str(failed["title"])
    assert str(failed["hint"]).startswith("chmod o+rX")
    assert folder.left_over() == folder.containers() == []


def test_memory_that_is_no_amount(make_docker_folder: MakeDockerFolder):
    failed = failure(make_docker_folder(ASTERIA_DOCKER_MEMORY="plenty"), "up", code=2)
    assert failed["title"] == "'plenty' is not a valid amount of memory"


def test_killed_stopped_paused_and_removed_behind_our_back(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder()
    folder.run("up")
    folder.container.pause()
    assert "is paused" in folder.run("status", code=4).out
    folder.container.unpause()
    assert folder.run("status").out.startswith("running")

    folder.container.kill()
    said = f"stopped: the container {folder.name} was killed (exit status 137)"
    assert folder.run("status", code=4).out.strip() == said
    assert "no server of this project" in folder.run("predict", code=4).err
    folder.run("up")

    folder.container.stop()
    assert "was stopped from outside (exit status 143)" in folder.run("status", code=4).out
    folder.container.start()  # and started again: the same one, with new keys
    folder.run("up")

    folder.container.remove(force=True)
    assert "was removed from outside" in folder.run("status", code=4).out
    folder.down()
    assert folder.run("status", code=4).out.strip() == "stopped"


ALLOCATES = """
    held = []

    def handle(data, context):
        if data and data[0].get("body", {}).get("allocate"):
            while True:
                held.append(bytearray(64 * 2**20))
                held[-1][::4096] = b"1" * len(held[-1][::4096])
        return ["fine"] * len(data or ())
"""


def test_a_handler_that_takes_all_memory(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder(ASTERIA_DOCKER_MEMORY="900m")
    folder.write("handler.py", ALLOCATES)
    folder.run("up")
    failed = failure(folder, "predict", "-d", '{"allocate": true}', code=6)
    assert failed["title"] == "a worker was killed: the container's memory limit (900m) was reached"
    status = folder.run("status", "--json", code=None).out
    assert '"out_of_memory":true' in status


RAISES = """
class Handler:
    def initialize(self, context):
        raise KeyError('threshold')

    def handle(self, data, context):
        return data
"""


def test_a_handler_that_raises_in_initialize(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder()
    folder.write("handler.py", RAISES)
    failed = failure(folder, "up", code=4)
    assert failed["title"] == "KeyError: 'threshold', handler.py:4 in initialize"
    assert folder.left_over() == folder.containers() == []
    folder.write("handler.py", ECHO)


def test_java_that_does_not_start(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder()
    folder.write("asteria.toml", (folder.path / "asteria.toml").read_text() + 'java_options = ["-Xnonsense"]\n')
    failed = failure(folder, "up", code=3)
    assert "TorchServe ended while it started" in str(failed["title"])
    assert "-Xnonsense" in str(failed["detail"])
    assert folder.left_over() == folder.containers() == []


def test_a_start_that_is_interrupted_again_and_again_leaves_nothing(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder()
    with folder.started("up", "--json") as process:
        interrupted = [process.terminate() for line in process.stdout if '"starting"' in line or '"stopping"' in line]
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert len(interrupted) == 2
    assert folder.left_over() == folder.containers() == []


async def test_interruptions_while_the_engine_still_makes_the_container(
    make_docker_folder: MakeDockerFolder, monkeypatch: pytest.MonkeyPatch
):
    """What runs in a thread can't be cut: the clean-up has to wait for it, or it would find nothing to remove."""
    start = run.start
    loop = asyncio.get_running_loop()

    def start_late(client: DockerClient, setup: run.Setup) -> Container:
        asyncio.run_coroutine_threadsafe(interrupt_twice(), loop).result()
        return start(client, setup)

    async def interrupt_twice() -> None:
        for _ in range(2):
            starting.cancel()
            for _ in range(10):  # rounds of the loop, so that it is delivered
                await asyncio.sleep(0)

    monkeypatch.setattr(run, "start", start_late)
    folder = make_docker_folder()
    (folder.path / "model_store").mkdir()
    target = DockerTarget(folder.project)
    starting = asyncio.ensure_future(target.start([], lambda event: None))
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert folder.left_over() == folder.containers() == []
