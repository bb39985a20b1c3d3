"""The parts of `dev` on this side of the socket: what is served, what is heard, what has changed, whose it is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import time

import msgspec
import pytest

from asteria_tui.config import load
from asteria_tui.dev import archive, lease
from asteria_tui.dev.changes import Files
from asteria_tui.dev.connection import Workers
from asteria_tui.dev.loader import PACKAGE, SETTINGS_FILE, Worker
from asteria_tui.dev.messages import Answered, Hello, LoadFailed, decode, encode
from asteria_tui.errors import ArchiveError
from asteria_tui.logs import notify
from asteria_tui.process import ProcessId
from tests.dev.loading import Context
from tests.waiting import until_async

ECHO = "def handle(data, context):\n    return data\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "handler.py").write_text(ECHO)
    (tmp_path / "extra" / "deep").mkdir(parents=True)
    (tmp_path / "extra" / "deep" / "words.txt").write_text("a")
    (tmp_path / "config.yaml").write_text("minWorkers: 2\nresponseTimeout: 3\nclientTimeoutInMills: 5\nmine: [1]\n")
    (tmp_path / "asteria.toml").write_text(
        '[models.m]\nhandler = "code/handler.py"\nextra_files = ["extra"]\nconfig_file = "config.yaml"\n'
    )
    return load(tmp_path)


def make(project, **options):
    return archive.make(project, "m", project.settings.models["m"], **options)


# -- the folder -----------------------------------------------------------------------------------------------------


def test_the_folder_is_of_links_and_the_store_has_one_to_it(project):
    made = make(project)
    assert (made.folder / "handler.py").readlink() == project.root / "code/handler.py"
    assert (made.folder / "deep/words.txt").readlink() == project.root / "extra/deep/words.txt"
    assert (made.folder / PACKAGE / "worker.py").is_symlink()
    assert (project.primary_store / "m.dev.mar").resolve() == made.folder
    for_server = json.loads((made.folder / "MAR-INF/MANIFEST.json").read_text())
    assert for_server["model"]["handler"] == PACKAGE
    settings = json.loads((made.folder / SETTINGS_FILE).read_text())
    assert settings["manifest"]["model"] == {
        "modelName": "m",
        "modelVersion": "1.0",
        "handler": "handler.py",
        "configFile": "config.yaml",
    }


def test_the_server_gets_our_timeouts_and_the_handler_its_own(project):
    import yaml

    made = make(project)
    seen = yaml.safe_load((made.folder / archive.CONFIG_FILE).read_text())
    day = archive.DAY
    ours = {"responseTimeout": day, "startupTimeout": day, "clientTimeoutInMills": 0}
    assert seen == {"minWorkers": 2, "mine": [1], **ours}
    assert yaml.safe_load((made.folder / "config.yaml").read_text())["responseTimeout"] == 3


def test_it_is_brought_up_to_date_in_place(project):
    made = make(project)
    before = (made.folder / "handler.py").lstat().st_ino
    (project.root / "extra/deep/words.txt").rename(project.root / "extra/new.txt")
    make(project, is_live=False)
    assert (made.folder / "new.txt").is_symlink()
    assert not (made.folder / "deep/words.txt").is_symlink()
    assert (made.folder / "handler.py").lstat().st_ino == before
    assert json.loads((made.folder / SETTINGS_FILE).read_text())["is_live"] is False


def test_it_is_forgotten_without_a_trace_and_without_the_sources(project):
    made = make(project)
    assert archive.names(project) == {"m"}
    archive.forget(project, "m")
    assert not made.folder.exists()
    assert not (project.primary_store / "m.dev.mar").is_symlink()
    assert (project.root / "code/handler.py").read_text() == ECHO


def test_code_that_does_not_compile_is_no_reason_not_to_serve_it(project):
    (project.root / "code/handler.py").write_text("def handle(:\n")
    assert make(project).files


def test_what_is_in_the_way_in_the_store_stays(project):
    project.primary_store.mkdir()
    (project.primary_store / "m.dev.mar").write_text("mine")
    with pytest.raises(ArchiveError, match="cannot write"):
        make(project)
    assert (project.primary_store / "m.dev.mar").read_text() == "mine"


def test_a_ready_made_archive_has_no_sources(project):
    settings = msgspec.structs.replace(project.settings.models["m"], archive="m.mar")
    with pytest.raises(ArchiveError, match="ready-made"):
        archive.make(project, "m", settings)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("asyncCommunication: true\n", "config.yaml has asyncCommunication"),
        ("asyncCommunication: false\n", ""),
        ("parallelType: pp\n", "config.yaml has parallelType"),
        ("torchrun: {nproc-per-node: 2}\n", "config.yaml has torchrun"),
        ("- a list\n", ""),
        ("a: [\n", ""),
    ],
)
def test_where_code_cannot_be_swapped_in_a_living_worker(project, text, found):
    (project.root / "config.yaml").write_text(text)
    assert archive.obstacle(project, project.settings.models["m"]) == found


def test_the_loader_serves_what_is_made(project, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TEMP", str(tmp_path_factory.mktemp("t")))
    made = make(project)
    monkeypatch.syspath_prepend(str(made.folder))
    worker = Worker(str(made.folder))
    try:
        context = Context(made.folder)
        worker.handle(None, context)
        assert worker.handle([{"body": 1}], context) == [{"body": 1}]
        assert context.model_yaml_config["responseTimeout"] == 3
        archive.tell(made, project)
        assert worker.handle([{"body": 2}], context) == [{"body": 2}]
    finally:
        worker.close()
        worker.modules.take_out()
        worker.modules.remove()


# -- the socket -----------------------------------------------------------------------------------------------------


class Loader:
    """A worker that says what a test has it say."""

    def __init__(self, folder, pid=4711):
        self.file = folder / f"dev-{pid}.sock"
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(self.file))
        self.server.listen()
        self.connection = None

    def say(self, data):
        if self.connection is None:
            self.connection, _ = self.server.accept()
        self.connection.sendall(data)

    def close(self):
        for one in (self.connection, self.server):
            if one is not None:
                one.close()


@pytest.fixture
async def heard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t")
    said = []
    loader, workers = Loader(folder), Workers(folder, lambda pid, message: said.append((pid, message)))
    await workers.connect()
    yield loader, workers, said
    await workers.close()
    loader.close()


async def test_each_worker_is_heard_and_known_by_its_pid(heard):
    loader, workers, said = heard
    loader.say(encode("hello", model="m", pid=4711))
    loader.say(encode("answered", requests=("a",), sources="0", milliseconds=1.5))
    await until_async(lambda: len(said) == 2)
    assert said[0] == (4711, Hello(model="m", pid=4711))
    assert said[1][1] == Answered(requests=("a",), sources="0", milliseconds=1.5)
    assert workers.models == {4711: "m"}
    loader.connection.setblocking(False)
    assert json.loads(loader.connection.recv(100)) == {"type": "hello", "version": 1, "role": "dev"}


@pytest.mark.parametrize(
    "said_", [b"x" * (2 << 20), b"{}\n", b"\xff\n", b'{"type": "hello", "version": 2, "model": "m", "pid": 1}\n']
)
async def test_what_says_something_else_is_let_go(heard, said_):
    loader, workers, said = heard
    loader.say(b"")
    loader.connection.setblocking(False)
    rest = said_
    while rest:
        try:
            rest = rest[loader.connection.send(rest) :]
        except BlockingIOError:
            await asyncio.sleep(0.001)
        except OSError:
            break  # it was
    await until_async(lambda: not workers._reading)
    assert said == []


async def test_one_that_went_leaves_a_socket_that_is_removed(heard):
    loader, workers, _ = heard
    loader.say(encode("hello", model="m", pid=4711))
    await until_async(lambda: workers.models)
    loader.close()
    await until_async(lambda: not workers._reading)
    await workers.connect()
    assert not loader.file.exists()
    assert workers.models == {}


def test_a_failure_is_a_cause_at_the_line_of_the_project():
    line = encode("load_failed", exception="KeyError", message="'x'", file="/p/code/h.py", line=3, function="f")
    failed = decode(line)
    assert isinstance(failed, LoadFailed)
    cause = failed.cause("/p", "m")
    assert cause.headline == "KeyError: 'x', code/h.py:3 in f"
    assert cause.frame.is_project
    assert not failed.cause("/other", "m").frame.is_project


# -- saves ----------------------------------------------------------------------------------------------------------


def test_what_changed_and_at_which_line(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.bin"
    one.write_text("a\nb\nc\n")
    other.write_bytes(b"\xff")
    files = Files()
    files.watch([one, other, tmp_path / "missing"])
    assert files.changed() == ()
    one.write_text("a\nB\nc\n")
    other.write_bytes(b"\xfe\xff")
    assert set(files.changed()) == {one, other}
    assert (files.first_line(one), files.first_line(other)) == (2, None)
    one.write_text("a\nB\nc\nd\n")
    assert files.changed() == (one,)
    assert files.first_line(one) == 4
    assert files.saved_at([one]) == pytest.approx(time.time(), abs=5)
    (tmp_path / "missing").touch()
    assert files.changed() == (tmp_path / "missing",)


def test_of_a_tree_of_many_files_only_the_given_ones_are_looked_at(tmp_path, monkeypatch):
    for number in range(200):
        (tmp_path / f"{number}.txt").touch()
    files = Files()
    files.watch([tmp_path / "1.txt"])
    looked = []
    from asteria_tui.dev import changes

    monkeypatch.setattr(changes, "signature", looked.append)
    files.changed()
    assert looked == [str(tmp_path / "1.txt")]
    assert files.folders == {tmp_path}


async def test_where_the_system_has_no_watches_left_one_looks(tmp_path, monkeypatch):
    class Full:
        """inotify at fs.inotify.max_user_watches."""

        def __init__(self, real):
            self.inotify_init1 = real.inotify_init1

        def inotify_add_watch(self, *_):
            return -1

    changes = notify.Changes([tmp_path])
    monkeypatch.setattr(changes, "_libc", Full(changes._libc))
    monkeypatch.setattr(notify.ctypes, "get_errno", lambda: errno.ENOSPC)
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(notify.asyncio, "sleep", sleep)
    await changes.wait()  # the first one tells that folders are not watched as before
    await changes.wait()
    changes.close()
    assert changes.is_out_of_watches
    assert slept
    assert set(slept) == {notify.POLL}


# -- whose it is ----------------------------------------------------------------------------------------------------


def test_a_lease_is_of_a_living_process(project):
    assert lease.current(project) is None
    taken = lease.take(project, ("m",))
    assert lease.current(project) == taken
    assert taken.owner == ProcessId.of(os.getpid())
    lease.end(project, msgspec.structs.replace(taken, mark="other"))
    assert lease.current(project) == taken
    lease.end(project, taken)
    assert lease.current(project) is None


def test_a_lease_of_the_dead_counts_for_nothing(project):
    taken = lease.take(project, ("m",))
    dead = msgspec.structs.replace(taken, owner=ProcessId(pid=os.getpid(), started_at=1.0))
    (project.state_dir / lease.FILE).write_bytes(msgspec.json.encode(dead))
    assert lease.current(project) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 5000, b'{"owner": {"pid": -1, "started_at": 0}}'])
def test_a_lease_that_is_none(project, content):
    lease.take(project, ())
    (project.state_dir / lease.FILE).write_bytes(content)
    assert lease.current(project) is None


async def test_where_a_worker_is_in_the_middle_of_c_code(tmp_path):
    """One that sleeps in C with the interpreter locked: nothing of Python's own could run there."""
    import subprocess
    import sys

    from asteria_tui.dev.stack import place_in, stack_of
    from tests.conftest import ROOT

    file = tmp_path / "handler.py"
    file.write_text(
        f"import ctypes, os, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from asteria_tui.dev.loader import SOCKET\nfrom asteria_tui.dev.loader.stack import Stack\n"
        f"stack = Stack(os.path.join({str(tmp_path)!r}, SOCKET % os.getpid()) + '.stack')\n"
        "def handle():\n    print(flush=True), ctypes.PyDLL(None).sleep(60)\nhandle()\n"
    )
    with subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE) as worker:  # noqa: ASYNC220
        worker.stdout.readline()
        end = time.monotonic() + 30
        while place_in(await stack_of(tmp_path, worker.pid), tmp_path) != "handler.py:7 in handle":
            assert time.monotonic() < end
        worker.kill()
    assert await stack_of(tmp_path, worker.pid) == ""


def test_a_folder_of_very_many_files_is_one_link(project):
    for number in range(archive.MANY):
        (project.root / "extra/deep" / f"{number}.txt").touch()
    made = make(project)
    assert (made.folder / "deep").readlink() == project.root / "extra/deep"
    assert (made.folder / "handler.py").is_symlink()
    for number in range(archive.MANY):
        (project.root / "extra/deep" / f"{number}.txt").unlink()
    make(project)
    assert not (made.folder / "deep").is_symlink()
    assert (made.folder / "deep/words.txt").readlink() == project.root / "extra/deep/words.txt"
    assert (project.root / "extra/deep/words.txt").read_text() == "a"


def test_of_very_many_files_only_those_that_were_touched_are_looked_at(tmp_path, monkeypatch):
    from asteria_tui.dev import changes

    monkeypatch.setattr(changes, "MAX_LOOKS", 3)
    paths = [tmp_path / f"{number}.txt" for number in range(10)]
    for path in paths:
        path.touch()
    files = Files()
    files.watch(paths)
    files.changed()
    for path in paths:
        path.write_text("x")
    assert files.changed({paths[3], tmp_path / "other"}) == (paths[3],)
    assert len(files.changed(None)) == 9


async def test_the_system_names_what_was_touched(tmp_path):
    changes = notify.Changes([tmp_path])
    await changes.wait()
    changes.forget()
    (tmp_path / "one.txt").write_text("x")
    await changes.wait()
    assert changes.forget() == {tmp_path / "one.txt"}
    assert changes.forget() == set()
    changes.close()
    assert changes.forget() is None
