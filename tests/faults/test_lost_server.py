"""A server is never lost: whatever became of its record, it is shown, ended, and taken up again where that can be."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from asteria_tui.errors import ExitCode, TargetError
from asteria_tui.operations.down import Down
from asteria_tui.operations.status import Status
from asteria_tui.process import MARK, PortOwner, ProcessId, port_owner, wait_gone
from asteria_tui.projects import open_project
from asteria_tui.targets.local import processes
from asteria_tui.targets.local.target import LocalTarget
from asteria_tui.targets.record import load_record, new_record, save_record
from asteria_tui.targets.server_config import Ports
from asteria_tui.targets.target import LostServerError
from tests.conftest import COMMAND, Folder, MakeFolder
from tests.faults.stand_in import StandIn, alive, ignore, run
from tests.waiting import until

# A server outlives the command that started it, and here that is us.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

STARTS_AND_IS_KILLED = """
import asyncio, os, sys
from pathlib import Path
from asteria_tui.projects import open_project
from asteria_tui.targets.local import target
from asteria_tui.targets.local.runtime import Runtime

def of(pid):
    os.kill(os.getpid(), 9)

target.ProcessId.of = of
runtime = Runtime(java=Path(sys.argv[2]), python=Path(sys.executable), site_packages=Path(sys.argv[1]))
target.find_runtime = lambda project: runtime
asyncio.run(target.LocalTarget(open_project(Path(sys.argv[1]))).start([], lambda event: None))
"""


async def test_who_is_killed_before_the_pid_is_written_down_leaves_a_server_that_is_known(
    stand_in: StandIn, tmp_path: Path
):
    target = stand_in.target(tmp_path / "project")
    command = [sys.executable, "-c", STARTS_AND_IS_KILLED, str(tmp_path / "project"), str(stand_in.java)]
    killed = await asyncio.create_subprocess_exec(*command)
    assert await killed.wait() == -signal.SIGKILL
    record = await target.find()
    assert record is not None
    assert record.process is not None
    assert record.process.is_alive
    assert await target.stop(ignore)
    assert not record.process.is_alive
    assert load_record(target.project) is None


@pytest.mark.parametrize("content", [None, "\0", "{}"], ids=["deleted", "damaged", "empty"])
async def test_the_copy_stands_in_for_a_record(stand_in: StandIn, tmp_path: Path, content: str | None):
    target = stand_in.target(tmp_path / "project")
    record = await target.start([], ignore)
    state = target.directory / "state.json"
    state.unlink()
    if content is not None:
        state.write_text(content)
    assert await LocalTarget(target.project).find() == record
    assert await target.stop(ignore)
    assert list(target.directory.glob("*.json")) == []


@pytest.mark.parametrize("what", ["server", "all of it", "moved away"])
async def test_a_server_without_its_folder_is_shown_and_ended(stand_in: StandIn, tmp_path: Path, what: str):
    target = stand_in.target(tmp_path / "project")
    record = await target.start([], ignore)
    assert record.process is not None
    if what == "moved away":
        (tmp_path / "bin").mkdir()
        target.project.state_dir.rename(tmp_path / "bin/.asteria")
    else:
        shutil.rmtree(target.directory if what == "server" else target.project.state_dir)
    looked = await run(target.project, Status())
    assert looked.code == ExitCode.UNWELL
    assert (looked.state.server.state, looked.state.server.pid) == ("unwell", record.process.pid)
    assert "its record and its keys are gone" in looked.state.server.reason
    with pytest.raises(LostServerError, match=f"pid {record.process.pid}"):
        await target.find()
    assert (await run(target.project, Down())).code == ExitCode.DONE
    assert record.process.is_gone
    assert await LocalTarget(target.project).find() is None


def names_in(folder: str) -> list[str] | None:
    path = Path(folder)
    return [entry.name for entry in path.iterdir()] if path.is_dir() else None


async def test_the_temporary_folder_of_a_lost_server_goes_with_it(stand_in: StandIn, tmp_path: Path):
    target = stand_in.target(tmp_path / ("long" * 25))
    record = await target.start([], ignore)
    assert names_in(record.temporary) == ["asteria-mark"]
    assert not record.temporary.startswith(str(tmp_path))
    shutil.rmtree(target.project.state_dir)
    assert await target.stop(ignore)
    assert names_in(record.temporary) is None


@pytest.mark.parametrize("is_killed", [False, True])
async def test_who_left_the_session_of_the_server_is_ended_with_it(stand_in: StandIn, tmp_path: Path, is_killed: bool):
    stand_in.behave("grandchild")
    target = stand_in.target(tmp_path / "project")
    record = await target.start([], ignore)
    assert record.process is not None
    grandchild = psutil.Process(stand_in.grandchild)
    assert os.getsid(grandchild.pid) == grandchild.pid
    assert grandchild.environ()[MARK] == record.mark
    if is_killed:
        os.kill(record.process.pid, signal.SIGKILL)
        assert await wait_gone([record.process], 5)
    await target.stop(ignore)
    until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE, 5)


async def test_processes_are_not_scanned_by_the_poll(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scans = []
    find = processes.find_server
    monkeypatch.setattr("asteria_tui.targets.local.target.find_server", lambda *given: scans.append(1) or find(*given))
    target = stand_in.target(tmp_path / "project")
    record = await target.start([], ignore)
    scans.clear()  # before the start there was no record
    for _ in range(3):
        assert await target.find() == record
    assert scans == []
    shutil.rmtree(target.project.state_dir)
    for _ in range(3):
        with pytest.raises(LostServerError):
            await target.find()
    assert scans == [1]


EXITS_BUT_FOR_A_THREAD = """
import ctypes, socket, threading, time

holder = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: (time.sleep(1), holder.close())).start()
print(holder.getsockname()[1], flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def zombie() -> Iterator[tuple[ProcessId, int]]:
    """A process whose first thread has ended while another one still holds a port."""
    with subprocess.Popen(
        [sys.executable, "-c", EXITS_BUT_FOR_A_THREAD], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    ) as process:
        known = ProcessId.of(process.pid)
        port = int(process.stdout.readline())
        yield known, port
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows such a process")
async def test_a_zombie_that_holds_a_port_is_waited_for(zombie: tuple[ProcessId, int]):
    known, port = zombie
    until(lambda: not known.is_alive, 5)
    assert not known.is_gone
    os.kill(known.pid, signal.SIGKILL)
    assert await wait_gone([known], 5)
    socket.create_server(("127.0.0.1", port)).close()


def test_nobody_is_named_where_no_owner_was_found():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert str(port_owner(port)) == f"port {port} is taken by {psutil.Process().name()} (pid {os.getpid()})"
    assert "the system does not report by whom" in str(PortOwner(1))


async def test_who_took_the_port_in_the_last_moment_is_named(stand_in: StandIn, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stand_in.behave("bind", port)
        target = stand_in.target(tmp_path / "project")
        with pytest.raises(TargetError) as raised:
            await target.start([], ignore)
    assert f"port {port} is taken by" in raised.value.detail
    assert f"(pid {os.getpid()})" in raised.value.detail
    assert load_record(target.project) is None


async def test_a_start_that_was_cut_short_is_said(stand_in: StandIn, tmp_path: Path):
    project = stand_in.project(tmp_path / "project")
    record = new_record(project, Ports(**dict.fromkeys(Ports.__struct_fields__, 0)), [])
    save_record(project, record)
    assert (await run(project, Status())).state.server.reason == "its start was cut short"
    (project.state_dir / "server/.state.json.0123.partial").touch()
    await run(project, Down())
    assert list((project.state_dir / "server").iterdir()) == []


async def test_a_deleted_log_folder_is_said(stand_in: StandIn, tmp_path: Path):
    target = stand_in.target(tmp_path / "project")
    folder = Folder(tmp_path / "project")
    assert "no server of this project has run yet" in folder.run("logs", code=4).err
    await target.start([], ignore)
    shutil.rmtree(target.project.history_dir)
    assert "the logs of the last server are gone" in folder.run("logs", code=4).err


# -- the real TorchServe -------------------------------------------------------------------------------------------


@pytest.mark.torchserve
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the kill comes within milliseconds: needs Linux")
async def test_a_command_that_is_killed_right_after_java_started_loses_no_server(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("package")
    delays = random.Random(11)  # noqa: S311
    for _ in range(12):
        target = LocalTarget(open_project(folder.path))
        with subprocess.Popen(  # noqa: ASYNC220
            [*COMMAND, "up"], cwd=folder.path, env=folder.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as command:
            java = _child_of(command, folder.path / ".asteria/server/state.json")
            time.sleep(delays.uniform(0, 0.008))  # noqa: ASYNC251
            command.kill()
        # Between fork and exec it is no Java yet.
        until(lambda java=java: not alive(java) or "org.pytorch.serve.ModelServer" in psutil.Process(java).cmdline(), 5)
        record = await target.find()
        assert record is not None
        assert record.process is not None
        assert record.process.pid == java
        assert await target.stop(ignore)
        assert folder.left_over() == []


def _child_of(command: subprocess.Popen[bytes], record: Path) -> int:
    """The first one after the record was written, in the very moment that it is there; those before were checks."""
    file = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    children = until(lambda: record.exists() and file.read_text().split(), meanwhile=lambda _: None)
    return int(children[0])


@pytest.mark.torchserve
def test_up_takes_a_server_up_again_or_ends_it_whatever_was_lost(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    java = folder.java.pid
    state = folder.path / ".asteria/server/state.json"
    kept = state.read_bytes()
    state.write_bytes(b"\0")
    status = folder.run("status")
    assert status.out.startswith("running")
    assert "state.json is damaged" in status.err
    state.unlink()
    up = folder.run("up", "--json")
    assert [stage["unchanged"] for stage in up.all("stage_finished") if stage["stage"] == "start"] == [True]
    assert folder.java.pid == java
    assert state.read_bytes() == kept

    shutil.rmtree(folder.path / ".asteria")
    gone = f"(pid {java}), but its record and its keys are gone"
    assert gone in folder.run("status", code=4).out
    assert gone in folder.run("predict", "-d", "1", code=4).err
    assert f"{gone}: it is ended, and a new one started" in folder.run("up").err
    assert folder.java.pid != java
    assert not alive(java)
    folder.down()


async def test_a_stop_that_is_interrupted_at_once_goes_to_its_end(stand_in: StandIn, tmp_path: Path):
    target = stand_in.target(tmp_path)
    record = await target.start([], ignore)
    stopping = asyncio.ensure_future(target.stop(ignore))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not record.process.is_alive
    assert load_record(target.project) is None
