"""What goes wrong while a real server runs or starts: told with its cause, ended clean."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from asteria_tui.operations.base import Context
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from tests.conftest import ECHO, ECHO_PROJECT, Folder, MakeFolder
from tests.waiting import until

pytestmark = pytest.mark.torchserve


IMPORTS = """
import not_there

def handle(data, context):
    return data
"""
RAISES = """
class Handler:
    def initialize(self, context):
        raise {}

    def handle(self, data, context):
        return data
"""
CLOSES = """
import sys
class Handler:
    def initialize(self, context):
        sys.stdout.close()
        raise ValueError("said to nobody")

    def handle(self, data, context):
        return data
"""

HEADLINES = {
    IMPORTS: "ModuleNotFoundError: No module named 'not_there', handler.py:2 in <module>",
    RAISES.format("KeyError('threshold')"): "KeyError: 'threshold', handler.py:4 in initialize",
    RAISES.format("RuntimeError('boom')"): "RuntimeError: boom, handler.py:4 in initialize",
    CLOSES: "ValueError: said to nobody, handler.py:6 in initialize",
}


@pytest.mark.parametrize("handler", HEADLINES, ids=["import", "initialize", "RuntimeError", "closed stdout"])
def test_a_handler_that_does_not_start_ends_the_server_that_was_started_for_it(make_folder: MakeFolder, handler: str):
    folder = make_folder(handler=handler)
    failed = folder.run("up", "--json", code=4).one("stage_failed")
    assert (failed["stage"], failed["title"]) == ("ready", HEADLINES[handler])
    assert folder.left_over() == []


def test_a_handler_that_does_not_start_leaves_a_running_server(make_folder: MakeFolder):
    """With the code of before, until it is fixed."""
    folder = make_folder()
    folder.run("up")
    java = folder.java.pid
    for handler, headline in HEADLINES.items():
        folder.write("handler.py", handler)
        failed = folder.run("up", "--json", code=4).one("stage_failed")
        assert failed["title"] == headline
        assert json.loads(folder.run("predict", "-d", "1").out) == {"echo": 1}
        folder.write("handler.py", ECHO)
        assert folder.run("up", "--json").one("predicted")["status"] == 200
    assert folder.java.pid == java


def test_one_broken_model_does_not_take_the_others_down(make_folder: MakeFolder):
    toml = '[models.broken]\nhandler = "broken.py"\n[models.echo]\nhandler = "handler.py"\nsamples = "samples"\n'
    folder = make_folder(toml=toml)
    folder.write("broken.py", "raise ValueError('at import')\n\ndef handle(data, context):\n    return data\n")
    done = folder.run("up", "--json", code=4)
    assert done.one("stage_failed")["model"] == "broken"
    assert done.one("predicted")["model"] == "echo"
    assert json.loads(folder.run("predict", "-m", "echo", "-d", "1").out) == {"echo": 1}


def test_a_request_to_a_crash_looping_model_gives_up_with_the_reason(make_folder: MakeFolder):
    folder = make_folder()
    folder.write(
        "handler.py",
        f"""
        import os

        class Handler:
            def initialize(self, context):
                if os.path.exists({str(folder.path / "crash")!r}):
                    raise ValueError("told to crash")

            def handle(self, data, context):
                return ["fine"] * len(data or ())
        """,
    )
    folder.run("up")
    folder.write("crash", "")
    [worker] = json.loads(folder.run("models", "show", "echo").out)["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    until(lambda: "told to crash" in folder.run("status", code=None).out)
    failed = folder.run("predict", "-d", "1", "--json", code=4).one("operation_failed")
    assert failed["title"].startswith("ValueError: told to crash, handler.py:")
    folder.down()


def test_a_killed_worker_comes_back_and_the_request_is_answered(shared: Folder):
    worker = json.loads(shared.run("models", "show", "echo").out)["workers"][0]
    os.kill(worker["pid"], signal.SIGKILL)
    # A request sent while the worker restarts waits in the queue and is then served (docs/torchserve.md section 7).
    assert json.loads(shared.run("predict", "-d", "1").out) == {"echo": 1}
    died = shared.run("predict", "-d", '{"exit": true}', "--json", code=6).one("stage_failed")
    assert died["title"].startswith("Worker died: no traceback")
    assert json.loads(shared.run("predict", "-d", "1").out) == {"echo": 1}


def test_a_server_killed_while_idle(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    folder.java.kill()
    until(lambda: folder.run("status", code=None).out.startswith("stopped"))
    assert "killed" in folder.run("status", code=4).out
    assert "no server of this project" in folder.run("predict", code=4).err
    folder.run("up")
    folder.java.kill()
    until(lambda: folder.run("status", code=None).out.startswith("stopped"))
    folder.down()


def test_a_server_killed_while_a_request_waits(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    with folder.started("predict", "-d", '{"sleep": 60}') as waiting:
        until(lambda: '"sleep"' in _requests(folder) or _connections(folder))
        folder.java.kill()
        _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 4
    assert "the server ended" in err
    assert "Traceback" not in err
    folder.down()


def _requests(folder: Folder) -> str:
    return (folder.path / ".asteria/server/logs/console.log").read_text(errors="replace")


def _connections(folder: Folder) -> bool:
    port = folder.state["ports"]["inference"]
    return any(
        found.laddr.port == port and found.status == psutil.CONN_ESTABLISHED
        for found in folder.java.net_connections(kind="tcp")
    )


def test_up_twice_at_once_is_one_server(make_folder: MakeFolder):
    folder = make_folder()
    with folder.started("up", "--json") as first, folder.started("up", "--json") as second:
        outputs = [first.communicate(timeout=120), second.communicate(timeout=120)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    pids = [json.loads(line)["pid"] for out, _ in outputs for line in out.splitlines() if '"state":"running"' in line]
    assert len(set(pids)) == 1


@pytest.mark.parametrize("stage", ["package", "start", "ready", "predict"])
def test_an_interruption_leaves_nothing_behind(make_folder: MakeFolder, stage: str):
    folder = make_folder(
        toml='[models.echo]\nhandler = "handler.py"\nserialized_file = "weights.pt"\nsamples = "samples"\n'
    )
    with (folder.path / "weights.pt").open("wb") as file:
        file.truncate(500_000_000 if stage == "package" else 1000)
    folder.write("samples/first.json", '{"sleep": 30}')
    with folder.started("up", "--json") as process:
        for line in process.stdout:
            event = json.loads(line)
            if (event["event"], event.get("stage")) == ("stage_started", stage):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    failed = [json.loads(line) for line in out.splitlines() if '"stage_failed"' in line]
    assert [(event["title"], event["exit_code"]) for event in failed] == [("interrupted", 130)]
    assert "Traceback" not in err
    assert folder.left_over() == []


def test_a_recycled_pid_is_never_trusted(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    state = folder.state
    folder.java.kill()
    with subprocess.Popen(["sleep", "300"]) as stranger:
        try:
            state["process"]["pid"] = stranger.pid
            until(lambda: folder.run("status", code=None).out.startswith("stopped"))
            (folder.path / ".asteria/server/state.json").write_text(json.dumps(state))
            assert folder.run("status", code=4).out.startswith("stopped")
            folder.run("up")
            assert stranger.poll() is None
            assert folder.java.pid != stranger.pid
            folder.down()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_long_path_with_blanks(make_folder: MakeFolder):
    """Longer than a Unix socket's path may be: the workers' sockets lie elsewhere then."""
    folder = make_folder("a folder/" + "é long name " * 12)
    assert len(str(folder.path)) > 150
    folder.run("up")
    temporary = Path(folder.state["temporary"])
    assert not temporary.is_relative_to(folder.path)
    assert json.loads(folder.run("predict", "-d", "1").out) == {"echo": 1}
    folder.down()
    assert not temporary.exists()


async def test_expired_tokens_are_renewed_without_the_user_noticing(make_folder: MakeFolder):
    """Also when many find them expired at once: each renewal ends the token before it, so only one may renew."""
    folder = make_folder(toml=ECHO_PROJECT + "[server]\ntoken_expiration_minutes = 0.1\n")
    folder.run("up")
    session = Session(open_project(folder.path))
    context = Context(session.project, session.target, session.emit)
    record = await context.running()
    async with contextlib.AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(context.client(record)) for _ in range(8)]
        keys = await clients[0].keys.keys()
        until(lambda: time.time() > max(key.expires_at or 0 for key in keys.values()))
        answers = await asyncio.gather(
            *(client.predict("echo", b"1", "application/json", timeout=60) for client in clients)
        )
    assert [answer.body for answer in answers] == [{"echo": 1}] * len(clients)
    assert json.loads(folder.run("predict", "-d", "1").out) == {"echo": 1}
    assert "1 of 1 workers ready" in folder.run("models").out


def test_a_stale_or_missing_key_file_is_said(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    file = folder.path / ".asteria/server/key_file.json"
    os.utime(file, (1, 1))
    assert "key_file.json is older than the server" in folder.run("predict", "-d", "1", code=5).err
    file.unlink()
    assert "the server has no key_file.json" in folder.run("predict", "-d", "1", code=5).err
    folder.run("restart")
    assert json.loads(folder.run("predict", "-d", "1").out) == {"echo": 1}


def test_a_handler_that_raises_in_inference(shared: Folder):
    done = shared.run("predict", "-d", '{"raise": "boom"}', code=6)
    assert "ValueError: boom, handler.py:12 in handle" in done.err
    assert json.loads(shared.run("predict", "-d", "1").out) == {"echo": 1}
