"""Projects whose server runs in a container of the real engine."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from docker.models.containers import Container

from asteria_tui.config import Project, settings_from
from asteria_tui.targets.docker.run import mark_of, of_project
from tests.conftest import ECHO, ROOT, Folder

PORT_NAMES = ("inference_port", "management_port", "metrics_port", "grpc_inference_port", "grpc_management_port")
TOML = """
    [models.echo]
    handler = "handler.py"
    samples = "samples"

    [server]
    target = "docker"
"""


class DockerFolder(Folder):
    """A project folder of its own container."""

    def __init__(self, path: Path, client: DockerClient, image: str, **env: str) -> None:
        self.client = client
        self.name = f"asteria-tests-{uuid.uuid4().hex[:8]}"
        super().__init__(path, **({"ASTERIA_DOCKER_IMAGE": image, "ASTERIA_DOCKER_CONTAINER": self.name} | env))
        self.name = self.env["ASTERIA_DOCKER_CONTAINER"]
        # So that the recipe is that of the image which the tests share.
        shutil.copyfile(ROOT / "constraints.txt", path / "constraints.txt")
        self.write("handler.py", ECHO)
        self.write("samples/first.json", '{"hello": "world"}')
        self.write("asteria.toml", TOML)

    @property
    def container(self) -> Container:
        return self.client.containers.get(self.state["container"])

    @property
    def project(self) -> Project:
        """For the tests that call the package itself; commands read asteria.toml."""
        settings = {
            "models": {"echo": {"handler": "handler.py", "samples": "samples"}},
            "server": {"target": "docker"} | dict.fromkeys(PORT_NAMES, 0),
            "docker": {"image": self.env["ASTERIA_DOCKER_IMAGE"], "container": self.name},
        }
        return Project(root=self.path.resolve(), settings=settings_from(settings))

    def containers(self) -> list[str]:
        """Every container that is this project's, whatever its state."""
        return [str(found.name) for found in of_project(self.client, mark_of(self.project))]

    def down(self) -> None:
        super().down()
        assert self.containers() == []


MakeDockerFolder = Callable[..., DockerFolder]


@pytest.fixture
def make_docker_folder(
    docker_engine: DockerClient, torchserve_image: str, tmp_path: Path
) -> Iterator[MakeDockerFolder]:
    made: list[DockerFolder] = []

    def make(name: str = "project", **env: Any) -> DockerFolder:
        path = tmp_path / name
        path.mkdir()
        made.append(DockerFolder(path, docker_engine, torchserve_image, **env))
        return made[-1]

    yield make
    for folder in made:
        for container in folder.containers():
            docker_engine.containers.get(container).remove(force=True, v=True)


@pytest.fixture(scope="session")
def docker_folder(
    docker_engine: DockerClient, torchserve_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerFolder]:
    """One container for every test that leaves it running."""
    folder = DockerFolder(tmp_path_factory.mktemp("docker"), docker_engine, torchserve_image)
    folder.write("asteria.toml", TOML + '\n    [stores]\n    mirrors = ["mirror"]\n')
    folder.first_up = folder.run("up", "--json")  # type: ignore[attr-defined]
    yield folder
    folder.down()


@pytest.fixture
def stranger(docker_engine: DockerClient) -> Iterator[Callable[..., Container]]:
    """Starts containers that are not ours."""
    started: list[Container] = []

    def start(**arguments: Any) -> Container:
        arguments = {"image": "python:3.11-slim-bookworm", "command": ["sleep", "600"]} | arguments
        started.append(docker_engine.containers.run(detach=True, **arguments))
        return started[-1]

    yield start
    for container in started:
        container.remove(force=True, v=True)
