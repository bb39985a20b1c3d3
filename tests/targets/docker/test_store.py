"""`stores` against a container: through the mount of ours, and by copying into one that was started by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Done
from tests.targets.docker.conftest import DockerFolder, MakeDockerFolder
from tests.waiting import until

pytestmark = pytest.mark.docker

CHANGED = 'def handle(data, context):\n    return ["changed"] * len(data or ())\n'


def broken(done: Done) -> list[tuple[str, str]]:
    links = done.one("stores_compared")["links"]
    return [(link["place"], link["fix"]) for link in links if not link["is_whole"]]


def test_one_byte_of_a_mirror(docker_folder: DockerFolder):
    done = docker_folder.run("stores", "--json")
    places = [link["place"] for link in done.one("stores_compared")["links"]]
    assert places == ["source", "primary", "mirror", "container", "server"]
    assert broken(done) == []
    mirror = docker_folder.path / "mirror/echo.mar"
    content = bytearray(mirror.read_bytes())
    content[-1] ^= 1
    mirror.write_bytes(content)
    assert broken(docker_folder.run("stores", "--json", code=1)) == [("mirror", "asteria-tui stores --sync")]
    assert "broken at mirror of echo: asteria-tui stores --sync" in docker_folder.run("stores", code=1).err
    assert broken(docker_folder.run("stores", "--sync", "--json")) == []


def test_a_changed_source_and_an_archive_that_is_not_loaded(docker_folder: DockerFolder):
    handler = docker_folder.path / "handler.py"
    before = handler.read_text()
    handler.write_text(CHANGED)
    assert broken(docker_folder.run("stores", "--json", code=1)) == [("primary", "asteria-tui package")]
    docker_folder.run("package")
    assert broken(docker_folder.run("stores", "--json", code=1)) == [("server", "asteria-tui up")]
    handler.write_text(before)
    docker_folder.run("up")
    assert broken(docker_folder.run("stores", "--json")) == []


def test_a_container_started_by_hand_is_filled_by_copying(
    make_docker_folder: MakeDockerFolder, stranger: Callable, torchserve_image: str
):
    folder = make_docker_folder()
    folder.run("package")
    ports = {f"{port}/tcp": ("127.0.0.1", None) for port in (8080, 8081)}
    theirs = stranger(image=torchserve_image, command=None, name=folder.name, ports=ports)
    until(lambda: b"Model server started." in theirs.logs())
    assert broken(folder.run("stores", "--json", code=1)) == [("container", "asteria-tui stores --sync")]
    # Its image allows no registering by default: that is said, and the copy is there all the same.
    failed = folder.run("stores", "--sync", "--json", code=None).all("stage_failed")
    assert [event["exit_code"] for event in failed] == [4], failed
    assert broken(folder.run("stores", "--json")) == []
    theirs.reload()
    assert theirs.status == "running"
