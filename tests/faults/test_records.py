"""A record is a hint: a cloned folder may bring its own, and nothing of others is ended, deleted or written for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from asteria_tui.errors import ConfigError, ExitCode, TokenError
from asteria_tui.events import encode
from asteria_tui.logs.history import RUN as RUN_PATTERN
from asteria_tui.logs.history import prune, runs, start_run
from asteria_tui.operations.down import Down
from asteria_tui.operations.keys import ShowKeys
from asteria_tui.operations.package import Package
from asteria_tui.operations.status import Status
from asteria_tui.projects import open_project
from asteria_tui.targets.local.temporary import MARK_FILE
from asteria_tui.targets.record import damage, load_record
from tests.faults.stand_in import StandIn, alive, ignore, run

# A server outlives the command that started it, and here that is us.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

MARK = "0123456789abcdef" * 2
RUN = "20260102T030405.678901Z"
PORTS = dict.fromkeys(("inference", "management", "metrics", "grpc_inference", "grpc_management"), 1)
DEAD = {"pid": 2**31 - 1, "started_at": 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cloned project that brought its own `.asteria`."""
    path = tmp_path / "cloned"
    (path / ".asteria/server").mkdir(parents=True)
    (path / "asteria.toml").write_text('[models.echo]\nhandler = "handler.py"\n')
    (path / "handler.py").write_text("def handle(data, context):\n    return data\n")
    return path


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign"
    path.mkdir()
    (path / "file").write_text("theirs")
    return path


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield psutil.Process(process.pid)
        process.kill()


def untouched(foreign: Path) -> bool:
    return sorted(path.name for path in foreign.iterdir()) == ["file"] and (foreign / "file").read_text() == "theirs"


def plant(folder: Path, **fields: Any) -> Path:
    file = folder / ".asteria/server/state.json"
    file.write_text(json.dumps({"target": "local", "process": DEAD, "started_at": 1.0, "ports": PORTS} | fields))
    return file


@pytest.mark.parametrize("mark", ["", MARK])
@pytest.mark.parametrize("name", ["any", f"asteria-{MARK[:12]}"])
async def test_a_foreign_folder_is_not_deleted(folder: Path, tmp_path: Path, mark: str, name: str):
    precious = tmp_path / name
    precious.mkdir()
    (precious / "file").write_text("theirs")
    plant(folder, temporary=str(precious), mark=mark)
    assert (await run(open_project(folder), Down())).code == ExitCode.DONE
    assert untouched(precious)


async def test_a_marked_folder_goes_unless_a_link_leads_to_it(folder: Path, tmp_path: Path):
    ours = tmp_path / f"asteria-{MARK[:12]}"
    ours.mkdir()
    (ours / MARK_FILE).write_text(MARK)
    (tmp_path / "link").symlink_to(tmp_path)
    plant(folder, temporary=str(tmp_path / "link" / ours.name), mark=MARK)
    await run(open_project(folder), Down())
    assert ours.exists()
    plant(folder, temporary=str(ours), mark=MARK)
    await run(open_project(folder), Down())
    assert not ours.exists()


@pytest.mark.parametrize(
    "name", ["lock", "keys.lock", ".gitignore", "answers.jsonl", "last_operation.json", "clipboard"]
)
async def test_no_file_is_written_through_a_link(folder: Path, foreign: Path, name: str):
    (folder / ".asteria" / name).symlink_to(foreign / "file")
    await run(open_project(folder), Package())
    assert untouched(foreign)


@pytest.mark.parametrize(
    "name", ["config.properties", "log4j2.xml", "key_file.json", "state.json", "state.copy.json", "tmp", "logs"]
)
async def test_nothing_of_the_server_is_written_through_a_link(
    stand_in: StandIn, tmp_path: Path, foreign: Path, name: str
):
    target = stand_in.target(tmp_path / "cloned")
    link = tmp_path / "cloned/.asteria/server" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(foreign if name in {"tmp", "logs"} else foreign / "file")
    record = await target.start([], ignore)
    assert untouched(foreign)
    layout = (target.directory / "log4j2.xml").read_text()
    assert str(tmp_path / "cloned/.asteria/history" / record.run / "records.jsonl") in layout
    assert (target.directory / "logs").resolve() == tmp_path / "cloned/.asteria/history" / record.run
    assert (target.directory / "key_file.json").read_text().count("SECRET") == 3
    await target.stop(ignore)
    assert untouched(foreign)


@pytest.mark.parametrize("name", ["", "server", "history"])
async def test_a_state_folder_that_is_a_link_is_refused(folder: Path, foreign: Path, name: str):
    path = folder / ".asteria" / name
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(foreign)
    with pytest.raises(ConfigError, match="is a link"):
        open_project(folder)
    assert untouched(foreign)


def test_only_runs_are_pruned(tmp_path: Path, foreign: Path):
    history = tmp_path / ".asteria/history"
    (history / "precious").mkdir(parents=True)
    (history / "precious/file").write_bytes(b"x" * 1000)
    (history / RUN).symlink_to(foreign)
    later = history / RUN.replace("2026", "9999")
    later.mkdir()
    (later / "records.jsonl").write_bytes(b"x" * 1000)
    current = start_run(tmp_path / ".asteria")
    (current.folder / "console.log").symlink_to(foreign / "file")
    (current.folder / "records.jsonl.1").symlink_to(foreign / "file")
    prune(tmp_path / ".asteria", current, 0)
    assert untouched(foreign)
    assert (history / "precious/file").stat().st_size == 1000
    assert runs(history) == [current]


@pytest.mark.parametrize("planted", ["", "same mark"])
async def test_a_foreign_process_with_a_forged_start_time_goes_on(folder: Path, stranger: psutil.Process, planted: str):
    plant(
        folder,
        process={"pid": stranger.pid, "started_at": stranger.create_time()},
        mark=MARK if planted else "",
    )
    ran = await run(open_project(folder), Status())
    assert (ran.code, ran.state.server.state) == (ExitCode.UNWELL, "stopped")
    assert (await run(open_project(folder), Down())).code == ExitCode.DONE
    assert stranger.is_running()


@pytest.fixture
def orphan() -> Iterator[tuple[dict[str, Any], int]]:
    """What a record would say of a leader that ended, and the pid of whoever is left of its group."""
    script = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3).pid)"
    with subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as leader:
        process = {"pid": leader.pid, "started_at": psutil.Process(leader.pid).create_time()}
        member = int(leader.communicate()[0])
    assert os.getpgid(member) == leader.pid
    yield process, member
    os.kill(member, signal.SIGKILL)


async def test_nobody_is_ended_for_the_group_of_a_leader_that_ended(folder: Path, orphan: tuple[dict[str, Any], int]):
    process, member = orphan
    plant(folder, process=process)
    await run(open_project(folder), Down())
    assert alive(member)


DAMAGED = {
    "pid -1": json.dumps({"target": "local", "process": {"pid": -1, "started_at": 1}, "started_at": 1, "ports": PORTS}),
    "pid 0": json.dumps({"target": "local", "process": {"pid": 0, "started_at": 1}, "started_at": 1, "ports": PORTS}),
    "port": json.dumps({"target": "local", "started_at": 1, "ports": PORTS | {"inference": 99999}}),
    "run": json.dumps({"target": "local", "started_at": 1, "ports": PORTS, "run": "../../etc"}),
    "no JSON": "\0" * 100,
    "deep": '{"settings": ' + "[" * 100_000,
    "large": " " * (2 << 20),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_record_is_said_and_down_repairs_it(folder: Path, content: str):
    file = folder / ".asteria/server/state.json"
    file.write_text(content)
    looked = await run(open_project(folder), Status())
    assert looked.code == ExitCode.UNWELL
    assert "state.json is damaged" in looked.state.server.reason
    repaired = await run(open_project(folder), Down())
    assert repaired.code == ExitCode.DONE
    assert "is damaged" in repaired.warnings[0]
    assert not file.exists()
    again = await run(open_project(folder), Status())
    assert (again.state.server.reason, again.warnings) == ("", [])


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
async def test_a_record_that_is_no_file_is_damaged(folder: Path, foreign: Path, kind: str):
    file = folder / ".asteria/server/state.json"
    {"folder": file.mkdir, "link": lambda: file.symlink_to(foreign / "file"), "fifo": lambda: os.mkfifo(file)}[kind]()
    looked = await run(open_project(folder), Status())
    assert "state.json is damaged" in looked.state.server.reason
    assert (await run(open_project(folder), Down())).code == ExitCode.DONE
    assert not file.exists()
    assert untouched(foreign)


async def test_a_key_file_that_is_a_folder_is_one_sentence(stand_in: StandIn, tmp_path: Path):
    target = stand_in.target(tmp_path / "project")
    await target.start([], ignore)
    (target.directory / "key_file.json").unlink()
    (target.directory / "key_file.json").mkdir()
    with pytest.raises(TokenError, match="cannot be read"):
        await target.read_key_file()
    shown = await run(target.project, ShowKeys())
    assert shown.code == ExitCode.REFUSED
    assert await target.stop(ignore)
    assert not (target.directory / "key_file.json").exists()


async def test_what_is_there_becomes_private(stand_in: StandIn, tmp_path: Path):
    target = stand_in.target(tmp_path / "project")
    for folder in (target.project.state_dir, target.directory, target.project.history_dir):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    (target.directory / "state.json").touch(mode=0o644)
    record = await target.start([], ignore)
    logs = target.project.history_dir / record.run
    for folder in (target.project.state_dir, target.directory, target.project.history_dir, logs):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for name in ("state.json", "state.copy.json", "config.properties", "log4j2.xml"):
        assert (target.directory / name).stat().st_mode & 0o777 == 0o600, name
    assert (logs / "console.log").stat().st_mode & 0o777 == 0o600


async def test_a_moved_folder_keeps_its_server(stand_in: StandIn, tmp_path: Path):
    before = stand_in.target(tmp_path / "before")
    record = await before.start([], ignore)
    (tmp_path / "before").rename(tmp_path / "after")
    after = stand_in.target(tmp_path / "after")
    assert await after.find() == record
    # Nor does a new folder of the old name take it.
    again = stand_in.target(tmp_path / "before")
    assert await again.find() is None
    assert not await again.stop(ignore)
    assert await after.stop(ignore)
    assert not record.process.is_alive


async def test_a_copied_folder_leaves_the_server_of_the_other_alone(stand_in: StandIn, tmp_path: Path):
    original = stand_in.target(tmp_path / "original")
    record = await original.start([], ignore)
    shutil.copytree(tmp_path / "original", tmp_path / "copy", symlinks=True)
    copy = stand_in.target(tmp_path / "copy")
    assert load_record(copy.project) == record
    assert await copy.find() is None
    assert not await copy.stop(ignore)
    assert await original.find() == record


VALID = json.dumps(
    {"target": "local", "process": DEAD, "started_at": 1.0, "ports": PORTS, "mark": MARK, "run": RUN, "was_open": True}
    | {"temporary": "/nowhere/asteria", "models": {"echo": {"version": "1.0", "sha256": "0" * 64, "file": "e.mar"}}}
).encode()
PIECES = st.sampled_from(
    [
        *(
            b"",
            b"-1",
            b"0",
            b"1e999",
            b"9" * 5000,
            b"null",
            b"true",
            b"[]",
            b"{}",
            b'""',
            b'"',
            b",",
            b":",
            b"[" * 2000,
        ),
        *(b"\xff", b"\x00", b'"docker"', b'"../.."', b'"/etc"', b'"\\ud800"', b'"\\u202e"', b'"target"', b'"pid"'),
    ]
)


@seed(11)
@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 40), PIECES), min_size=1, max_size=4))
@example([(VALID.index(b"2147483647"), 10, b"-1")])
@example([(VALID.index(b"2147483647"), 10, b"0")])
@example([(VALID.index(RUN.encode()) - 1, len(RUN) + 2, b'"../.."')])
def test_a_mutated_record_is_a_sound_one_or_damaged(tmp_path_factory: pytest.TempPathFactory, changes):
    root = tmp_path_factory.getbasetemp() / "mutated-records"
    (root / ".asteria/server").mkdir(parents=True, exist_ok=True)
    (root / "asteria.toml").write_text('[models.echo]\nhandler = "handler.py"\n')
    content = VALID
    for at, removed, piece in changes:
        content = content[:at] + piece + content[at + removed :]
    (root / ".asteria/server/state.json").write_bytes(content)
    project = open_project(root)
    record = load_record(project)
    assert (record is None) == bool(damage(project))
    if record is None:
        return
    assert len(damage(project)) < 1000
    assert not record.run or re.match(RUN_PATTERN, record.run)
    assert record.process is None or (record.process.pid >= 1 and record.process.find() is None)
    assert all(0 <= port <= 65535 for port in record.ports.items().values())
    encode(record)
