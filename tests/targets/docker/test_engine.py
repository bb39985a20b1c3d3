from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread
from typing import ClassVar

import pytest
import requests
import urllib3
from docker.errors import APIError, DockerException

from asteria_tui.errors import ExitCode, TargetError
from asteria_tui.targets.docker import engine
from asteria_tui.targets.docker.engine import Endpoint


class EngineAnswers(BaseHTTPRequestHandler):
    answers: ClassVar = {
        "/_ping": b"OK",
        "/v1.41/_ping": b"OK",
        "/version": json.dumps({"ApiVersion": "1.41"}).encode(),
    }

    def do_GET(self):
        body = self.answers.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


class OtherAnswers(EngineAnswers):
    answers: ClassVar = {}


@contextmanager
def served(path: Path, answers: type[BaseHTTPRequestHandler] = EngineAnswers) -> Iterator[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ThreadingUnixStreamServer(str(path), answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


def write_context(config: Path, name: str, host: str) -> None:
    meta = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_docker_host_is_taken_at_its_word(tmp_path):
    write_context(tmp_path / ".docker", "far", "tcp://10.0.0.1:2375")
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CONTEXT": "far", "HOME": str(tmp_path)}
    assert engine.endpoints(environment) == [Endpoint("tcp://127.0.0.1:1", "DOCKER_HOST")]


@pytest.mark.parametrize("chosen_by", ["config.json", "DOCKER_CONTEXT"])
def test_current_context_is_taken_at_its_word(tmp_path, chosen_by):
    config = tmp_path / ".docker"
    write_context(config, "colima", "unix:///somewhere/docker.sock")
    environment = {"HOME": str(tmp_path)}
    if chosen_by == "config.json":
        (config / "config.json").write_text('{"currentContext": "colima"}')
    else:
        environment["DOCKER_CONTEXT"] = "colima"
    assert engine.endpoints(environment) == [Endpoint("unix:///somewhere/docker.sock", "docker context colima")]


def test_docker_config_names_another_folder(tmp_path):
    write_context(tmp_path / "elsewhere", "work", "ssh://me@host")
    environment = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "elsewhere"), "DOCKER_CONTEXT": "work"}
    assert engine.endpoints(environment)[0].address == "ssh://me@host"


def test_context_without_address_is_an_error(tmp_path):
    with pytest.raises(TargetError, match="'gone' has no address") as caught:
        engine.endpoints({"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    assert "docker context ls" in caught.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{", '{"currentContext": "default"}', '{"currentContext": null}'])
def test_without_a_context_the_usual_sockets_are_tried(tmp_path, content):
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(content)
    places = [place.address for place in engine.endpoints({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/7"})]
    assert places[0] == "unix:///run/user/7/docker.sock"
    assert {
        "unix:///var/run/docker.sock",
        "unix:///run/user/7/podman/podman.sock",
        "unix:///run/podman/podman.sock",
        f"unix://{tmp_path}/.docker/run/docker.sock",
        f"unix://{tmp_path}/.colima/default/docker.sock",
        f"unix://{tmp_path}/.orbstack/run/docker.sock",
    } < set(places)


def test_docker_host_answers(tmp_path):
    with served(tmp_path / "d.sock") as address:
        client = engine.connect({"DOCKER_HOST": address, "HOME": str(tmp_path)})
        assert client.api.api_version == "1.41"
        client.close()


def test_first_socket_that_answers_is_taken(tmp_path):
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    with served(tmp_path / "docker.sock"):
        client = engine.connect(environment)
        assert client.ping()
        client.close()


def test_error_names_each_place_and_why(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as nobody_listens:
        nobody_listens.bind(str(tmp_path / "dead.sock"))
    with served(tmp_path / "other.sock", OtherAnswers) as other:
        places = [
            Endpoint(f"unix://{tmp_path}/missing.sock", "Docker"),
            Endpoint(f"unix://{tmp_path}/dead.sock", "Colima"),
            Endpoint(other, "Podman"),
        ]
        monkeypatch.setattr(engine, "endpoints", lambda _: places)
        with pytest.raises(TargetError, match="no Docker engine answers") as caught:
            engine.connect({})
    lines = caught.value.detail.splitlines()
    assert lines[0] == f"Docker, unix://{tmp_path}/missing.sock: No such file or directory"
    assert lines[1] == f"Colima, unix://{tmp_path}/dead.sock: Connection refused"
    assert lines[2].startswith(f"Podman, {other}: answers 'HTTP/1.0 404")
    assert "--target local" in caught.value.hint
    assert caught.value.exit_code == ExitCode.TARGET


def test_named_engine_that_is_gone_is_not_replaced_by_another(tmp_path):
    with served(tmp_path / "docker.sock"), pytest.raises(TargetError) as caught:
        engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/no.sock", "XDG_RUNTIME_DIR": str(tmp_path)})
    assert caught.value.detail == f"DOCKER_HOST, unix://{tmp_path}/no.sock: No such file or directory"
    assert "unset" in caught.value.hint


def test_address_that_is_no_socket_is_left_to_the_sdk(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    with pytest.raises(TargetError, match="no Docker engine answers") as caught:
        engine.connect({"DOCKER_HOST": f"tcp://127.0.0.1:{closed}", "HOME": str(tmp_path)})
    assert "Connection refused" in caught.value.detail


def test_no_permission_says_what_to_do(monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(engine, "_ping", refuse)  # root may use any socket, so the kernel can't be asked for this
    with pytest.raises(TargetError) as caught:
        engine.connect({"DOCKER_HOST": "unix:///var/run/docker.sock"})
    assert "usermod -aG docker" in caught.value.hint
    assert "rootless" in caught.value.hint


@pytest.mark.parametrize(
    ("raised", "title"),
    [
        (APIError("x", explanation="no such network"), "starting: the Docker engine refused"),
        (DockerException("gone"), "starting: the Docker engine does not answer"),
        (requests.ConnectionError("gone"), "starting: the Docker engine does not answer"),
        (urllib3.exceptions.ProtocolError("cut"), "starting: the Docker engine does not answer"),
    ],
)
def test_errors_of_the_sdk_become_ours(raised, title):
    with pytest.raises(TargetError) as caught, engine.talking("starting"):
        raise raised
    assert caught.value.title == title
    assert caught.value.detail


def test_other_errors_pass_unchanged():
    with pytest.raises(KeyError), engine.talking("starting"):
        raise KeyError("a mistake of ours")


def test_sdk_is_not_imported_before_an_engine_is_spoken_to():
    script = (
        "import sys, asteria_tui.targets.docker.engine as e, asteria_tui.targets.docker.image\n"
        "e.endpoints({'HOME': '/'})\n"
        "print('docker' in sys.modules, 'requests' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == ["False", "False"]
