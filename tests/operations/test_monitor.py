"""The slow poll: what it tells, when it asks the server, and when it holds its peace."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest

from asteria_tui.config import Project, Settings
from asteria_tui.events import Key, KeysChanged, ModelsChanged, ServerChanged
from asteria_tui.operations import monitor as room
from asteria_tui.operations.base import Context
from asteria_tui.operations.monitor import LogActivity, Monitor, ResourceUsage, is_news
from asteria_tui.state import State, reduce
from asteria_tui.targets.record import ServerRecord, save_record
from asteria_tui.targets.server_config import Ports
from asteria_tui.targets.target import Vitals
from tests.waiting import until_async

RUNNING = ServerChanged(at=1, state="running", pid=5, memory_bytes=100, cpu_percent=2)
PORTS = Ports(inference=1, management=2, metrics=3, grpc_inference=4, grpc_management=5)
RECORD = ServerRecord(target="local", started_at=1.0, ports=PORTS)


class Target:
    record: ServerRecord | None = RECORD

    def __init__(self, project):
        self.project = project

    async def find(self):
        return self.record

    async def vitals(self, record):
        return Vitals(memory_bytes=200, cpu_seconds=1.0)

    def ended(self):
        return None


class World:
    """A project, its state, and a monitor that looks as fast as it may."""

    def __init__(self, root, monkeypatch):
        self.target = Target(Project(root=root, settings=Settings()))
        self.state = State()
        self.events = []
        self.questions = 0
        self.is_busy = False
        self.context = Context(self.target.project, self.target, self.emit, lambda: self.state, lambda: self.is_busy)
        monkeypatch.setattr(room, "PERIOD", 0)
        monkeypatch.setattr(room, "PAUSE", 0)
        monkeypatch.setattr(room, "check_status", self.look)

    def emit(self, event):
        self.events.append(event)
        self.state = reduce(self.state, event)

    async def look(self, work):
        self.questions += 1
        work.emit(RUNNING)

    async def turns(self, count=20):
        task = asyncio.ensure_future(Monitor().run(self.context))
        for _ in range(count):
            await asyncio.sleep(0)
        task.cancel()

    def log(self, text):
        self.target.project.logs_dir.mkdir(parents=True, exist_ok=True)
        with (self.target.project.logs_dir / "records.jsonl").open("a") as file:
            file.write(text + "\n")


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


async def test_it_asks_once_and_tells_only_what_is_new(world):
    await world.turns()
    assert world.questions == 1
    told = [(event.memory_bytes, event.cpu_percent) for event in world.events]
    assert told == [(100, 2), (200, None), (200, 0)]


async def test_it_is_silent_while_an_action_runs(world):
    world.is_busy = True
    await world.turns()
    assert (world.questions, world.events) == (0, [])


async def test_a_server_that_is_gone_is_told(world):
    await world.turns()
    world.target.record = None
    await world.turns()
    assert world.state.server.state == "stopped"


async def test_a_record_of_a_new_server_is_looked_at(world):
    save_record(world.target.project, RECORD)
    await world.turns()
    assert world.state.server.state == "running"


async def test_it_looks_when_the_log_changes_not_only_when_its_time_has_come(world, monkeypatch):
    monkeypatch.setattr(room, "PERIOD", 60)
    changed = asyncio.Event()

    async def log_changes(_seconds):
        await changed.wait()
        changed.clear()

    context = msgspec.structs.replace(world.context, log_changes=log_changes)
    task = asyncio.ensure_future(Monitor().run(context))
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.questions == 1
    world.log("W-9000 State change WORKER_MODEL_LOADED -> WORKER_STOPPED")
    changed.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.questions == 2
    task.cancel()


def test_only_lines_that_tell_of_a_change_make_it_ask(world, monkeypatch):
    telling = LogActivity()
    world.log("start")
    telling.has_news(world.context)
    assert not telling.has_news(world.context)
    world.log(r'{"m":"\"GET /models/a HTTP/1.1\" 200 10"}')
    assert not telling.has_news(world.context)
    world.log("W-9000 State change WORKER_MODEL_LOADED -> WORKER_STOPPED")
    assert telling.has_news(world.context)
    assert not telling.has_news(world.context)
    world.log(r'{"m":"\"PUT /models/a?min_worker=2 HTTP/1.1\" 202 10"}')
    assert telling.has_news(world.context)


def test_when_something_was_seen_is_no_news():
    known = reduce(State(), RUNNING)
    assert not is_news(msgspec.structs.replace(RUNNING, at=9), known)
    assert is_news(msgspec.structs.replace(RUNNING, memory_bytes=101), known)
    assert not is_news(ModelsChanged(), known)


def test_a_key_that_was_revealed_stays_so():
    shown = KeysChanged(keys=(Key(kind="api", token="secret"),))
    known = reduce(State(), shown)
    assert not is_news(KeysChanged(keys=(Key(kind="api", token="••••"),)), known)
    assert is_news(KeysChanged(keys=(Key(kind="api", token="••••", expires_at=5),)), known)


def test_load_is_a_share_of_one_core(monkeypatch):
    now = iter([10.0, 12.0])
    monkeypatch.setattr(room.time, "monotonic", lambda: next(now))
    load = ResourceUsage()
    load.sample(Vitals(memory_bytes=7, cpu_seconds=1.0), RECORD)
    assert load.added(RUNNING).cpu_percent is None
    load.sample(Vitals(memory_bytes=8, cpu_seconds=2.0), RECORD)
    assert (load.added(RUNNING).cpu_percent, load.added(RUNNING).memory_bytes) == (50, 8)


async def test_a_list_of_models_that_is_none_is_said_and_watched_on(rig, monkeypatch):
    """It ended the screen once."""
    await rig.up()
    for name in ("PERIOD", "PAUSE", "ASK_EVERY"):
        monkeypatch.setattr(room, name, 0)
    rig.server.replies["GET /models"] = lambda _: httpx.Response(200, json={"models": None})
    task = asyncio.ensure_future(Monitor().run(rig.context))
    await until_async(lambda: rig.state.server.state == "unwell" or task.done())
    assert not task.done()
    assert rig.state.server.reason == "the server's answer is not one of TorchServe"
    del rig.server.replies["GET /models"]
    await until_async(lambda: rig.state.server.state == "running" or task.done())
    assert not task.done()
    task.cancel()
