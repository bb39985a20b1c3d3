"""The main job in a container of the real engine: the same commands and events as with a local server."""

from __future__ import annotations

import json

import pytest

from asteria_tui.events import ServerChanged
from asteria_tui.logs.parse import Parser
from asteria_tui.operations.down import Down
from asteria_tui.operations.up import Up
from asteria_tui.session import Session
from asteria_tui.targets.docker import run
from tests.conftest import ECHO
from tests.targets.docker.conftest import DockerFolder, MakeDockerFolder

pytestmark = pytest.mark.docker

CHANGED = 'def handle(data, context):\n    return ["changed"] * len(data or ())\n'
RAISES = """
class Handler:
    def initialize(self, context):
        raise KeyError("threshold")

    def handle(self, data, context):
        return data
"""


def test_up_ends_with_a_prediction_by_the_same_stages(docker_folder: DockerFolder):
    done = docker_folder.first_up
    stages = [event["stage"] for event in done.all("stage_finished")]
    assert stages == ["package", "store", "start", "ready", "keys", "predict"]
    assert done.one("predicted")["body"] == {"echo": {"hello": "world"}}
    running = [event for event in done.all("server_changed") if event["state"] == "running"]
    assert [(event["target"], event["container"]) for event in running] == [("docker", docker_folder.name)]


def test_the_container_is_hardened(docker_folder: DockerFolder):
    attrs = docker_folder.container.attrs
    config, host = attrs["Config"], attrs["HostConfig"]
    assert config["User"].split(":")[0] not in {"", "0", "root"}
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["PidsLimit"], host["Memory"]) == (512, 2 * 2**30)
    assert list(host["Tmpfs"]) == ["/home/model-server/run"]
    assert host["RestartPolicy"]["Name"] in {"", "no"}
    assert {binding["HostIp"] for ports in host["PortBindings"].values() for binding in ports} == {"127.0.0.1"}
    writable = [mount["Destination"] for mount in attrs["Mounts"] if mount["RW"]]
    assert writable == ["/home/model-server/logs"]
    assert {"asteria.project", "asteria.archives"} <= set(config["Labels"])
    # No shell and no wrapper: Java is the first process.
    assert "java" in docker_folder.container.top()["Processes"][0][-1].split()[0]


def test_a_second_up_changes_nothing(docker_folder: DockerFolder):
    before = docker_folder.container.id
    done = docker_folder.run("up", "--json")
    unchanged = {event["stage"] for event in done.all("stage_finished") if event["unchanged"]}
    assert unchanged == {"package", "store", "start", "ready"}
    assert done.one("predicted")["status"] == 200
    assert docker_folder.container.id == before


def test_status_tells_memory_and_restarts(docker_folder: DockerFolder):
    server = json.loads(docker_folder.run("status", "--json").out)["server"]
    assert (server["state"], server["target"], server["restarts"]) == ("running", "docker", 0)
    assert 100 * 2**20 < server["memory_bytes"] < 2 * 2**30
    assert not server["out_of_memory"]
    assert f"container {docker_folder.name}" in docker_folder.run("status").out


def test_keys_are_read_and_renewed(docker_folder: DockerFolder):
    before = docker_folder.run("keys", "--reveal", "--json").one("keys_changed")["keys"]
    docker_folder.run("keys", "--renew", "inference")
    after = docker_folder.run("keys", "--reveal", "--json").one("keys_changed")["keys"]
    changed = [new["kind"] for old, new in zip(before, after, strict=True) if old["token"] != new["token"]]
    assert changed == ["inference"]
    assert json.loads(docker_folder.run("predict", "-d", "1").out) == {"echo": 1}


def test_a_changed_handler_is_registered_through_the_mount(docker_folder: DockerFolder):
    before = docker_folder.container.id
    docker_folder.write("handler.py", CHANGED)
    assert docker_folder.run("up", "--json").one("predicted")["body"] == "changed"
    docker_folder.write("handler.py", ECHO)
    docker_folder.run("up")
    assert docker_folder.container.id == before


def test_a_failure_is_told_at_the_line_of_the_source(docker_folder: DockerFolder):
    done = docker_folder.run("predict", "-d", '{"raise": "boom"}', code=6)
    assert "ValueError: boom, handler.py:12 in handle" in done.err


def test_the_records_lie_on_the_host(docker_folder: DockerFolder):
    lines = (docker_folder.path / ".asteria/server/logs/records.jsonl").read_bytes().splitlines()
    parser = Parser()
    records = [*parser.feed(lines), *parser.flush()]
    assert {"server", "worker", "access"} <= {record.source for record in records}


def test_the_server_is_found_again_without_its_state(docker_folder: DockerFolder):
    state = docker_folder.path / ".asteria/server/state.json"
    kept = state.read_bytes()
    state.unlink()
    assert docker_folder.run("status").out.startswith("running")  # by the copy of the record
    docker_folder.run("up")
    assert json.loads(state.read_bytes())["ports"] == json.loads(kept)["ports"]
    state.write_bytes(kept)


def test_two_projects_of_the_same_container_name_run_side_by_side(
    docker_folder: DockerFolder, make_docker_folder: MakeDockerFolder
):
    other = make_docker_folder(ASTERIA_DOCKER_CONTAINER=docker_folder.name)
    other.run("up")
    assert other.state["container"].startswith(f"{docker_folder.name}-")
    assert json.loads(other.run("predict", "-d", "1").out) == {"echo": 1}
    before = other.container.id
    other.run("restart")
    assert other.container.id != before
    other.down()
    assert docker_folder.run("status").out.startswith("running")


async def test_where_users_are_mapped_the_records_come_by_the_console(
    make_docker_folder: MakeDockerFolder, monkeypatch: pytest.MonkeyPatch
):
    """As with a rootless engine, whose containers' users can't write to a directory of ours."""
    monkeypatch.setattr(run, "_shares_users", lambda client: False)
    folder = make_docker_folder()
    session = Session(folder.project)
    await session.run(Up())
    assert isinstance(session.state.server, ServerChanged)
    assert session.state.predictions[-1].body == {"echo": {"hello": "world"}}
    # A command of its own reads what the console said meanwhile.
    done = folder.run("predict", "-d", '{"raise": "boom"}', code=6)
    assert "ValueError: boom, handler.py:12 in handle" in done.err
    assert "/home/model-server/logs" not in {mount["Destination"] for mount in folder.container.attrs["Mounts"]}
    await session.run(Down())
    assert folder.containers() == []


def test_choosing_another_target_moves_the_server(make_docker_folder: MakeDockerFolder):
    folder = make_docker_folder()
    folder.run("up", "--target", "local")
    java = folder.java
    folder.run("up", "--target", "docker")
    assert not java.is_running()
    assert folder.run("status").out.startswith("running  docker")
    folder.down()


def test_a_healthy_container_stays_until_its_successor_answers(docker_folder: DockerFolder):
    before = docker_folder.container.id
    toml = (docker_folder.path / "asteria.toml").read_text()
    docker_folder.write("handler.py", RAISES)
    done = docker_folder.run("up", "--json", code=4)
    assert "last good archive again" in done.one("noticed")["text"]
    docker_folder.write("handler.py", ECHO)
    # Another version beside the old one.
    (docker_folder.path / "asteria.toml").write_text(toml.replace("[models.echo]", '[models.echo]\nversion = "2.0"'))
    assert docker_folder.run("up", "--json").one("predicted")["version"] == "2.0"
    assert docker_folder.run("models").out == "echo 2.0  1 of 1 workers ready\n"
    assert docker_folder.container.id == before
    # What only a container finds out.
    docker_folder.run("up", code=2, ASTERIA_DOCKER_MEMORY="much")
    assert docker_folder.container.id == before
    done = docker_folder.run("up", "--json", code=3, ASTERIA_SERVER_JAVA_OPTIONS="-Xnonsense")
    assert "was started again" in done.one("noticed")["text"]
    assert docker_folder.run("models").out == "echo 2.0  1 of 1 workers ready\n"
    (docker_folder.path / "asteria.toml").write_text(toml)
    docker_folder.run("up")
