"""What was fixed stays fixed, and what is refused leaves the server as it was: on a real one."""

from __future__ import annotations

import json
import os
import signal
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ECHO, Folder, MakeFolder
from tests.faults.test_server import RAISES
from tests.waiting import until

pytestmark = pytest.mark.torchserve


def test_an_old_failure_in_the_log_is_no_reason_any_more(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    folder.write("handler.py", RAISES.format("KeyError('threshold')"))
    folder.run("up", code=4)
    folder.write("handler.py", ECHO)
    folder.run("up")
    done = folder.run("up", "--json")
    assert "ready" in {event["stage"] for event in done.all("stage_finished") if event["unchanged"]}
    # Nor is it the reason why a worker that was killed takes a while.
    [worker] = _workers(folder)
    os.kill(worker["pid"], signal.SIGKILL)
    assert json.loads(folder.run("predict", "-d", "1").out) == {"echo": 1}


def _workers(folder: Folder) -> list[dict]:
    [state] = folder.run("status", "--json", code=None).events
    return state["models"][0]["workers"]


def test_a_setting_that_cannot_work_leaves_the_server_running(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    java = folder.java.pid
    toml = (folder.path / "asteria.toml").read_text()
    for bad, code in (('python = "/usr/bin/false"', 3), ("token_expiration_minutes = -1", 2), ("nonsense = 1", 2)):
        (folder.path / "asteria.toml").write_text(f"{toml}\n[server]\n{bad}\n")
        folder.run("up", code=code)
        # A project file that can't be read keeps nobody from looking at the server, or from stopping it.
        assert folder.run("status").out.startswith("running")
    assert folder.java.pid == java


def test_one_interrupt_of_down_still_leaves_nothing(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    with folder.started("down", "--json") as process:
        until(lambda: '"stopping"' in process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert folder.left_over() == []


def test_a_model_that_is_no_longer_in_the_project_goes(make_folder: MakeFolder):
    both = '[models.a]\nhandler = "handler.py"\n[models.b]\nhandler = "handler.py"\n'
    folder = make_folder(toml=both)
    folder.run("up")
    folder.write("asteria.toml", '[models.a]\nhandler = "handler.py"\n')
    folder.run("up")
    assert folder.run("models").out == "a 1.0  1 of 1 workers ready\n"
    # A model that should be there and is not makes the server unwell.
    folder.write("asteria.toml", both)
    folder.write("broken.py", RAISES.format("ValueError('no')"))
    folder.write(
        "asteria.toml", both.replace('[models.b]\nhandler = "handler.py"', '[models.b]\nhandler = "broken.py"')
    )
    folder.run("up", code=4)
    assert "b: not served" in folder.run("status", code=4).out


def test_another_default_version_is_replaced_too(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    folder.write(
        "asteria.toml",
        (folder.path / "asteria.toml").read_text().replace("[models.echo]", '[models.echo]\nversion = "2.0"'),
    )
    folder.run("package")
    folder.run("models", "register", "echo.mar")
    folder.run("models", "default", "echo", "2.0")
    folder.run("up")
    assert folder.run("models").out == "echo 2.0  1 of 1 workers ready\n"


def test_an_archive_cannot_choose_where_it_is_written(make_folder: MakeFolder, tmp_path: Path):
    folder = make_folder("victim")
    folder.run("package")
    before = (folder.path / "model_store/echo.mar").read_bytes()
    evil = tmp_path / "evil.mar"
    with zipfile.ZipFile(evil, "w") as archive:
        model = {"modelName": "../../evil", "modelVersion": "1.0", "handler": "handler.py"}
        archive.writestr("handler.py", "def handle(data, context):\n    return data\n")
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "model": model}))
    assert "can't be served by its name" in folder.run("up", str(evil), code=1).err
    assert not list(tmp_path.rglob("evil.mar.*"))
    # Nor does one of the same name take the place of the project's own.
    other = make_folder("other", handler="def handle(data, context):\n    return ['other'] * len(data or ())\n")
    other.run("package")
    folder.run("up", str(other.path / "model_store/echo.mar"))
    assert folder.run("predict", "-d", "1").out == "other"
    assert (folder.path / "model_store/echo.mar").read_bytes() == before
