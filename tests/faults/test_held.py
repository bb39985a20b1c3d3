"""What attacks did not break, so that it stays so: tokens, loopback, whole archives."""

from __future__ import annotations

import itertools
import json
import os
import signal

import httpx
import psutil

from tests.conftest import Folder, MakeFolder
from tests.waiting import until

INFERENCE = [
    ("POST", "/predictions/echo"),
    ("POST", "/explanations/echo"),
    ("POST", "/v1/models/echo:predict"),
    ("GET", "/ping"),
]
MANAGEMENT = [
    ("GET", "/models"),
    ("GET", "/models/echo"),
    ("PUT", "/models/echo?min_worker=1"),
    ("DELETE", "/models/echo"),
    ("POST", "/models?url=echo.mar"),
    ("PUT", "/models/echo/1.0/set-default"),
]


def _keys(folder: Folder) -> dict[str, str]:
    found = json.loads((folder.path / ".asteria/server/key_file.json").read_text())
    return {name: entry["key"] for name, entry in found.items()}


def test_no_path_opens_to_another_key(shared: Folder):
    """Whatever a key does not open is refused with 400 (docs/torchserve.md section 1)."""
    keys, ports = _keys(shared), shared.state["ports"]
    wrong = {"none": None, "wrong": "Bearer AAAAAAAA", "empty": "Bearer", "API": f"Bearer {keys['API']}"}
    of_others = {"lower case": "bearer {}", "basic": "Basic {}", "bare": "{}", "twice": "Bearer {0} {0}"}
    for port, paths, own, other in (
        (ports["inference"], INFERENCE, "inference", "management"),
        (ports["management"], MANAGEMENT, "management", "inference"),
    ):
        headers = wrong | {"of the other": f"Bearer {keys[other]}"}
        headers |= {name: form.format(keys[own]) for name, form in of_others.items()}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            for (method, path), (name, value) in itertools.product(paths, headers.items()):
                given = {} if value is None else {"Authorization": value}
                answer = client.request(method, path, headers=given)
                assert (answer.status_code, path, name) == (400, path, name), answer.text
            assert (
                client.get("/token?type=inference", headers={"Authorization": f"Bearer {keys[own]}"}).status_code != 200
            )
    assert shared.run("predict", "-m", "echo", "-d", "1").code == 0


def test_a_server_listens_on_loopback_only(shared: Folder):
    tree = [shared.java, *shared.java.children(recursive=True)]
    listening = [
        found.laddr.ip
        for process in tree
        for found in process.net_connections(kind="inet")
        if found.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_a_token_is_in_the_key_file_and_nowhere_else(shared: Folder):
    for command in (
        "status --json",
        "keys -v",
        "models list -v",
        "predict first -m echo -v --json",
        "logs -n 50",
        "stores -m echo",
    ):
        shared.run(*command.split(), code=None)
    tokens = [token.encode() for token in _keys(shared).values()]
    for folder, _, names in os.walk(shared.path):
        for name in names:
            file = os.path.join(folder, name)  # noqa: PTH118 what walk gives
            if name != "key_file.json" and os.path.isfile(file):  # noqa: PTH113
                with open(file, "rb") as content:  # noqa: PTH123
                    assert not any(token in content.read() for token in tokens), file
    for process in [shared.java, *shared.java.children(recursive=True)]:
        told = " ".join([*process.cmdline(), *process.environ().values()]).encode()
        assert not any(token in told for token in tokens)


def test_a_mirror_is_the_old_archive_or_the_new_one_whenever_the_copy_is_killed(make_folder: MakeFolder):
    toml = '[models.m]\nhandler = "handler.py"\nserialized_file = "w.pt"\n[stores]\nmirrors = ["mirror"]\n'
    folder = make_folder(toml=toml)
    mirror = folder.path / "mirror/m.mar"
    (folder.path / "w.pt").write_bytes(bytes(40 << 20))
    folder.run("package")
    folder.run("stores", "--sync", code=None)
    old = mirror.read_bytes()
    folder.write("handler.py", "def handle(data, context):\n    return data\n")
    folder.write("asteria.toml", toml.replace('["mirror"]', "[]"))
    folder.run("package")
    folder.write("asteria.toml", toml)
    new = (folder.path / "model_store/m.mar").read_bytes()
    assert new != old
    killed = 0
    for _ in range(4):
        mirror.write_bytes(old)
        with folder.started("stores", "--sync") as copying:
            until(lambda: [*mirror.parent.glob(".*.partial")] or copying.poll() is not None, meanwhile=lambda _: None)
            copying.send_signal(signal.SIGKILL)
            copying.wait()
        assert mirror.read_bytes() in {old, new}
        killed += copying.returncode == -signal.SIGKILL and mirror.read_bytes() == old
    assert killed
    folder.run("stores", "--sync", code=None)
    assert mirror.read_bytes() == new
    assert folder.left_over() == []
