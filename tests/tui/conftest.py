"""A project on disk, a Session that replays events, and a clock that stands still."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from textual.pilot import Pilot

from asteria_tui import events
from asteria_tui.config import load
from asteria_tui.errors import ExitCode
from asteria_tui.events import Cause, Event, Frame
from asteria_tui.logs.watch import KnownCauses
from asteria_tui.operations.predict import Predict
from asteria_tui.session import Session
from asteria_tui.tui.app import AsteriaApp
from asteria_tui.tui.preferences import Settings, UiState
from tests.conftest import COMMAND, FREE_PORTS, ROOT

NOW = 1_790_000_000.0
RECORD = '{{"t":{at},"l":"{level}","th":"{thread}","lg":"{logger}","m":"{text}","x":""}}\n'

RUNNING: tuple[Event, ...] = (
    events.StageStarted(stage="package", model="sample"),
    events.StageFinished(stage="package", model="sample", summary="sample 1.0, 1.1 MB", seconds=0.038),
    events.StageStarted(stage="store"),
    events.StageFinished(stage="store", summary="2 of 2 equal", seconds=0.004),
    events.StageStarted(stage="start"),
    events.StageFinished(stage="start", summary="http://127.0.0.1:8080", seconds=1.41),
    events.ServerChanged(
        state="running",
        target="local",
        pid=4821,
        started_at=NOW - 760,
        inference="http://127.0.0.1:8080",
        management="http://127.0.0.1:8081",
        memory_bytes=517_000_000,
        cpu_percent=3,
    ),
    events.StageStarted(stage="ready", model="sample"),
    events.StageFinished(stage="ready", model="sample", summary="1 worker", seconds=1.62),
    events.StageStarted(stage="keys"),
    events.KeysChanged(
        keys=(
            events.Key(kind="inference", token="•" * 8, expires_at=NOW + 2839),
            events.Key(kind="management", token="•" * 8, expires_at=NOW + 2839),
            events.Key(kind="api", token="•" * 8),
        )
    ),
    events.StageFinished(stage="keys", summary="3 keys", seconds=0.001),
    events.ModelsChanged(
        models=(
            events.Model(
                name="sample",
                version="1.0",
                min_workers=1,
                workers=(events.Worker(id="9000", status="READY", pid=4830, memory_bytes=312_000_000),),
            ),
        )
    ),
    events.StageStarted(stage="predict", model="sample"),
    events.Predicted(
        at=NOW - 5, model="sample", sample="first", status=200, milliseconds=9.1, size=27, body={"score": 0.0312}
    ),
    events.StageFinished(stage="predict", model="sample", summary="score 0.0312", seconds=0.009),
)

CAUSE = Cause(
    exception="KeyError",
    message="'threshold'",
    frame=Frame(
        file="handler.py", line=23, function="initialize", code="self.t = config['threshold']", is_project=True
    ),
    phase="load",
    workers=("W-9000",),
    model="sample",
    count=3,
    first_at=NOW - 8,
    last_at=NOW - 4,
    traceback=(
        "Traceback (most recent call last):\n"
        '  File "handler.py", line 23, in initialize\n'
        "    self.t = config['threshold']\n"
        "KeyError: 'threshold'"
    ),
)

FAILED: tuple[Event, ...] = (
    *RUNNING[:6],
    events.StageStarted(stage="ready", model="sample"),
    events.StageFailed(
        stage="ready",
        model="sample",
        title=CAUSE.headline,
        detail="no worker became ready",
        hint="fix handler.py:23, then run it again",
        exit_code=4,
        seconds=1.44,
        cause=CAUSE,
    ),
    events.ServerChanged(state="stopped"),
)


class ReplayedSession(Session):
    """Does nothing but write down what it was asked for; its events come from the test."""

    def __init__(self, project):
        # Made before there is a loop: snapshots run their own.
        with mock.patch("asteria_tui.session.asyncio.get_running_loop"):
            super().__init__(project)
        self.asked: list[tuple] = []
        self.hold: asyncio.Event | None = None
        self.known_causes = KnownCauses()
        self.answers: dict[str, events.Predicted] = {}
        """What an operation of that name is answered."""
        self.exit_codes: dict[str, ExitCode] = {}

    def replay(self, *batches):
        for event in batches:
            self.emit(event)

    async def _perform(self, operation, id_):
        if operation.lane == "background":
            await asyncio.Event().wait()
        self.asked.append(self._asked(operation))
        if self.hold is not None:
            await self.hold.wait()
        if operation.name in self.answers:
            self.emit(msgspec.structs.replace(self.answers[operation.name], operation=id_))
        self.emit(events.OperationFinished(operation=id_, name=operation.name))
        return self.exit_codes.get(operation.name, ExitCode.DONE)

    @staticmethod
    def _asked(operation):
        if isinstance(operation, Predict):
            return ("predict", operation.model, operation.payload.name, operation.payload.content)
        return (operation.name, *(value for value in operation.parameters().values() if value not in {None, "own"}))

    async def causes(self):
        return self.known_causes


@pytest.fixture(autouse=True)
def still_clock(monkeypatch, request):
    """But for a real server, which has a clock of its own."""
    if not request.node.get_closest_marker("torchserve"):
        monkeypatch.setattr("asteria_tui.wording.time.time", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("NO_COLOR", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "asteria.toml").write_text(
        '[models.sample]\nhandler = "handler.py"\nsamples = "samples"\n\n[server]\ninference_port = 8080\n'
    )
    (tmp_path / "handler.py").write_text("def handle(data, context):\n    return data\n")
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "first.json").write_text('{\n  "features": [0.2, 0.1, 0.0],\n  "name": "first",\n  "flag": true\n}\n')
    (samples / "second.json").write_text('{"features": [1, 2, 3]}\n')
    return load(tmp_path)


def write_log(project, count=60, *, extra: str = "") -> Path:
    """A log of `count` records, each tenth a warning, each twentieth an error."""
    project.logs_dir.mkdir(parents=True, exist_ok=True)
    file = project.logs_dir / "records.jsonl"
    with file.open("a") as lines:
        for number in range(count):
            level = "ERROR" if number % 20 == 19 else "WARN" if number % 10 == 9 else "INFO"
            lines.write(
                RECORD.format(
                    at=int((NOW - count + number) * 1000),
                    level=level,
                    thread="W-9000-sample_1.0-stdout",
                    logger="MODEL_LOG",
                    text=f"request {number:05} answered in {number % 7} ms",
                )
            )
        lines.write(extra)
    return file


HANDLER = """
import json
class Handler:
    def initialize(self, context):
        pass
    def handle(self, data, context):
        return [{"score": 0.25} for _ in data]
"""
"""A handler that a real server takes."""


@pytest.fixture
def served(tmp_path, monkeypatch) -> Iterator[Path]:
    """What a real server is started for, on free ports; asteria.toml is left to the test."""
    for name, value in FREE_PORTS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "handler.py").write_text(HANDLER)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "first.json").write_text('{"a": 1}')
    yield tmp_path
    if (tmp_path / ".asteria").exists():
        subprocess.run([*COMMAND, "down", "-C", str(tmp_path)], check=True, capture_output=True)


@pytest.fixture
def session(project):
    return ReplayedSession(project)


Open = Callable[..., AbstractAsyncContextManager[Pilot]]


@pytest.fixture
def opened(session) -> Open:
    """`async with opened((120, 40)) as pilot`: the screen of the replayed session, at rest."""

    @asynccontextmanager
    async def open_(
        size=(120, 40), settings=None, ui_state=None, *, notifications=False, **options
    ) -> AsyncIterator[Pilot]:
        app = AsteriaApp(session, settings or Settings(), ui_state or UiState(), **options)
        async with app.run_test(size=size, notifications=notifications) as pilot:
            await settle(pilot)
            yield pilot
        await app.stop_watching()
        await session.close()

    return open_


async def settle(pilot: Pilot) -> None:
    """Until the heavy panels are there and the state is shown."""
    while not pilot.app.is_filled or not pilot.app.workbench.logs.is_mounted:
        await pilot.pause(0.01)
    await pilot.pause()
    pilot.app.show()
    pilot.app.workbench.logs._update()
    await pilot.app.workbench.logs._update_causes()
    await pilot.pause()


__all__ = ["CAUSE", "FAILED", "NOW", "RUNNING", "ExitCode", "ReplayedSession", "settle", "write_log"]
