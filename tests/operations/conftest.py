"""A project on disk, on a fake target with a fake server: what an operation does, without TorchServe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pytest

from asteria_tui.config import load
from asteria_tui.errors import AsteriaError
from asteria_tui.events import Event
from asteria_tui.operations import ready
from asteria_tui.operations.base import Context, Operation
from asteria_tui.operations.up import Up
from asteria_tui.state import State, reduce
from tests.fake_server import PORTS, FakeServer
from tests.fake_target import FakeTarget

ECHO = '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\n'
OneEvent = TypeVar("OneEvent", bound=Event)


class Rig:
    """A project and the operations run on it, the events that they emit and the state that these add up to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("handler.py", "def handle(data, context):\n    return data\n")
        self.write("samples/first.json", '{"a": 1}')
        self.settings(ECHO)
        self.server = FakeServer(self.project.primary_store, self.project.logs_dir / "records.jsonl")
        self.target = FakeTarget(self.project, self.server)
        self.state = State()
        self.events: list[Event] = []

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def settings(self, toml: str) -> None:
        self.write("asteria.toml", toml)
        self.project = load(self.root)
        if hasattr(self, "target"):
            self.target.project = self.project

    @property
    def context(self) -> Context:
        return Context(self.project, self.target, self.emit, lambda: self.state, transport=self.server.transport)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.state = reduce(self.state, event)

    async def run(self, operation: Operation) -> Any:
        """What the operation returns; `events` are those of this run."""
        self.events = []
        self.server.calls = []
        self.target.calls = []
        return await operation.run(self.context)

    async def fail(self, operation: Operation, kind: type[AsteriaError], text: str | None = None) -> AsteriaError:
        with pytest.raises(kind, match=text) as raised:
            await self.run(operation)
        return raised.value

    async def up(self) -> None:
        await self.run(Up())

    def all(self, kind: type[OneEvent]) -> list[OneEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[OneEvent]) -> OneEvent:
        [event] = self.all(kind)
        return event

    @property
    def stages(self) -> dict[str, str]:
        """How each stage of the state stands: `ready echo` is `done`, or `same` where nothing was to be done."""
        return {
            " ".join(filter(None, (stage.stage, stage.model))): "same" if stage.unchanged else stage.status
            for stage in self.state.stages
        }


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    # A log that is in memory does not lag behind an answer.
    monkeypatch.setattr(ready, "CAUSE_TIMEOUT", 0.05)
    monkeypatch.setattr(ready, "POLL", 0.001)
    # Tests run side by side, and `up` looks whether the ports are free.
    for name in PORTS.items():
        monkeypatch.setenv(f"ASTERIA_SERVER_{name}_PORT".upper(), "0")
    return Rig(tmp_path)
