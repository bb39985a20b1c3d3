"""The compose file, read by Compose itself where there is one."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import uuid

import httpx
import pytest
import yaml
from docker import DockerClient
from docker.models.containers import Container
from hypothesis import example, given
from hypothesis import strategies as st

from asteria_tui.config import Project, settings_from
from asteria_tui.errors import ConfigError
from asteria_tui.export.compose import HEADER, export, to_yaml
from tests.conftest import MakeFolder
from tests.waiting import until


@example("a\x85b")
@given(st.text(st.characters(exclude_categories=("Cs",))) | st.integers() | st.booleans())
def test_yaml_reads_what_was_written(value):
    written = {"one": value, "nested": {"many": [value, value], "deeper": {"last": value}}}
    assert yaml.safe_load(to_yaml(written)) == written


@pytest.mark.parametrize("text", ["1e3", "0o17", "12e-3", ".5e1", "1_000", "0x1F", "1:30", "yes", "08", "null", "~"])
def test_what_one_version_of_yaml_takes_for_something_else_is_quoted(text):
    """Compose v1 reads YAML 1.1, Compose v2 knows numbers of YAML 1.2 too."""
    assert to_yaml({"name": text}) == f"name: '{text}'\n"


def packaged(make_folder: MakeFolder, server: dict[str, int] | None = None, **docker: str) -> Project:
    folder = make_folder()
    folder.run("package")
    models = {"echo": {"handler": "handler.py", "workers": 2}}
    server = server or {"inference_port": 0, "management_port": 9001}
    return Project(root=folder.path, settings=settings_from({"models": models, "server": server, "docker": docker}))


def test_the_service(make_folder: MakeFolder):
    project = packaged(make_folder)
    file, config = export(project, project.root / "compose")
    service = yaml.safe_load(file.read_text())["services"]["torchserve"]
    assert service["volumes"] == [
        "../model_store:/home/model-server/model_store:ro",
        "./config:/home/model-server/config:ro",
    ]
    assert service["ports"][:2] == ["127.0.0.1:8080:8080", "127.0.0.1:9001:8081"]
    assert (service["read_only"], service["cap_drop"], service["mem_limit"]) == (True, ["ALL"], "2g")
    assert service["healthcheck"]["test"][-1] == "/home/model-server/healthcheck.py"
    assert '"minWorkers": 2' in config.read_text()


def test_the_official_image_gets_the_launcher(make_folder: MakeFolder):
    project = packaged(make_folder, image="pytorch/torchserve:0.12.0-cpu")
    file, *others = export(project, project.root / "compose")
    service = yaml.safe_load(file.read_text())["services"]["torchserve"]
    assert service["volumes"][0].endswith(":/home/model-server/model-store:ro")
    assert service["entrypoint"] == ["python3", "/home/model-server/launch.py"]
    assert {path.name for path in others} == {"config.properties", "launch.py", "healthcheck.py"}


def test_a_compose_file_of_somebody_else_stays(make_folder: MakeFolder):
    project = packaged(make_folder)
    theirs = project.root / "compose.yaml"
    theirs.write_text("services: {}\n")
    with pytest.raises(ConfigError, match="is not ours"):
        export(project, project.root)
    assert theirs.read_text() == "services: {}\n"
    theirs.unlink()
    export(project, project.root)
    assert export(project, project.root)[0].read_text().startswith(HEADER)


def test_without_an_archive(make_folder: MakeFolder):
    make_folder().run("export", "compose", code=2)


def compose_command() -> list[str] | None:
    plugin = ["docker", "compose"]
    if (
        shutil.which("docker")
        and subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0
    ):
        return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


@pytest.mark.docker
@pytest.mark.skipif(compose_command() is None, reason="no Compose on this machine")
def test_compose_up_serves_a_prediction(make_folder: MakeFolder, docker_engine: DockerClient, torchserve_image: str):
    name = f"asteria-tests-{uuid.uuid4().hex[:8]}"
    ports = free_ports()
    project = packaged(make_folder, server=ports, image=torchserve_image, container=name)
    compose = [*(compose_command() or ()), "-p", name, "-f", str(export(project, project.root / "compose")[0])]
    try:
        subprocess.run([*compose, "up", "-d"], check=True, capture_output=True, timeout=120)
        container = docker_engine.containers.get(name)
        assert container.attrs["HostConfig"]["ReadonlyRootfs"]
        assert until(lambda: predicted(container, ports["inference_port"])) == {"echo": 1}
        code, said = container.exec_run(["/home/venv/bin/python", "/home/model-server/healthcheck.py"])
        assert (code, said) == (0, b"")
    finally:
        subprocess.run([*compose, "down", "--timeout", "10"], check=True, capture_output=True, timeout=120)


def free_ports() -> dict[str, int]:
    names = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {f"{name}_port": one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}


def predicted(container: Container, port: int) -> object:
    """The answer to the token that the container wrote; nothing before there is one."""
    code, content = container.exec_run(["cat", "key_file.json"])
    if code == 0 and content:
        token = json.loads(content)["inference"]["key"]
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(
                f"http://127.0.0.1:{port}/predictions/echo",
                json=1,
                headers={"Authorization": f"Bearer {token}"},
                timeout=60,
            )
            if answer.status_code == 200:
                return answer.json()
    return None
