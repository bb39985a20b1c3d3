"""What one process does to a project is on the screens of others, within bounds, and believed no further than that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

import msgspec
import pytest

from asteria_tui import events, journal
from asteria_tui.config import load
from asteria_tui.errors import BusyError, ServerError
from asteria_tui.events import KeysChanged, OperationFinished, OperationStarted, Predicted, StageFailed
from asteria_tui.journal import FILE, Journal
from asteria_tui.operations.base import Context, stage
from asteria_tui.session import Session
from asteria_tui.state import State
from tests.test_session import Background, Request, Scripted
from tests.waiting import until_async


@pytest.fixture
def project(tmp_path):
    (tmp_path / "asteria.toml").write_text('[models.m]\nhandler = "handler.py"\n')
    (tmp_path / ".asteria").mkdir()
    return load(tmp_path)


@pytest.fixture
async def screen(project):
    """A session that watches what others do."""
    session = Session(project)
    watching = asyncio.ensure_future(session.watch_others())
    await asyncio.sleep(0)
    yield session
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    await session.close()


@pytest.fixture
def reader(project):
    """Reads from now on."""
    reader = Journal(project.state_dir)
    reader.open()
    yield reader
    reader.close()


class Predict(Scripted, frozen=True, kw_only=True):
    name = "predict"
    lane = "request"


async def _nothing(_: Context) -> None:
    return


async def _fails(context: Context) -> None:
    context.emit(Predicted(model="m", status=503, milliseconds=1))
    async with stage(context.emit, "ready", "m"):
        raise ServerError("KeyError: 'threshold'")


async def test_what_a_command_does_is_on_the_screen_with_its_stages_failure_and_answer(project, screen):
    command = Session(project)
    await command.run(Scripted(script=_fails))
    await until_async(lambda: screen.state.last_failure is not None)
    assert screen.state.last_failure.title == "KeyError: 'threshold'"
    assert [(one.stage, one.status) for one in screen.state.stages] == [("ready", "failed")]
    assert [answer.status for answer in screen.state.predictions] == [503]
    assert screen.state.stages[0].operation in screen.state.elsewhere
    assert screen.state.operations == ()


async def test_a_prediction_of_a_command_is_shown_and_a_question_is_not(project, screen):
    async def answers(context: Context) -> None:
        context.emit(Predicted(model="m", status=200, milliseconds=1))

    command = Session(project)
    await command.run(Request(script=answers))
    await command.run(Background(script=answers))
    await command.run(Predict(script=answers))
    await until_async(lambda: len(screen.state.predictions) == 1)
    [answer] = screen.state.predictions
    assert answer.operation.startswith("predict-")


async def test_what_a_session_does_itself_comes_once(project, screen):
    await screen.run(Scripted(script=_fails))
    await screen.run(Scripted(script=_fails))
    await screen.run(Predict(script=_nothing))
    assert len(screen.state.predictions) == 2
    assert screen.state.elsewhere == ()


async def test_while_a_command_works_the_screen_begins_no_workflow(project, screen):
    going = asyncio.Event()

    async def works(context: Context) -> None:
        async with stage(context.emit, "ready", "m"):
            await going.wait()

    command = Session(project)
    running = asyncio.ensure_future(command.run(Scripted(script=works)))
    await until_async(lambda: screen.state.running("workflow") is not None)
    with pytest.raises(BusyError):
        screen.start(Scripted(script=works))
    going.set()
    await running
    await until_async(lambda: screen.state.running("workflow") is None)


async def test_a_process_that_is_killed_leaves_nothing_running(project, screen):
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    begun = OperationStarted(operation="up-1", name="up", lane="workflow")
    other = Journal(project.state_dir)
    other._process = f"{ended.pid}-0000"
    other._write(begun, events.StageStarted(operation="up-1", stage="ready"))
    await until_async(lambda: screen.state.last_failure is not None)
    assert screen.state.operations == ()
    assert screen.state.last_failure.name == "up"


async def test_whoever_waits_for_its_turn_is_not_told(project, reader):
    writer = Journal(project.state_dir)
    writer.keep(State(), OperationStarted(operation="up-1", name="up", lane="workflow"))
    assert list(reader.news()) == []


def _told(writer: Journal, *told: events.Event, operation: str = "up-1") -> None:
    """What a workflow of that id emits."""
    from asteria_tui.state import reduce

    state = State()
    for event in (OperationStarted(name="up", lane="workflow"), *told, OperationFinished(name="up")):
        stamped = msgspec.structs.replace(event, operation=operation)
        writer.keep(state, stamped)
        state = reduce(state, stamped)


def test_no_token_is_in_it(project):
    _told(Journal(project.state_dir), KeysChanged(keys=(events.Key(kind="inference", token="secret"),)))
    written = (project.state_dir / FILE).read_text()
    assert "secret" not in written
    assert "operation_finished" in written
    assert (project.state_dir / FILE).stat().st_mode & 0o777 == 0o600


def test_it_is_bounded_and_nothing_is_lost_when_it_begins_anew(project, reader, monkeypatch):
    monkeypatch.setattr(journal, "MAX_BYTES", 2_000)
    writer = Journal(project.state_dir)
    ends = 0
    for number in range(40):
        _told(writer, StageFailed(stage="ready", title="x" * 100), operation=f"up-{number}")
        ends += sum(isinstance(event, OperationFinished) for event in reader.news())
        assert (project.state_dir / FILE).stat().st_size <= 2_000
    assert ends == 40


def test_a_large_answer_is_told_without_its_body(project, reader):
    writer = Journal(project.state_dir)
    _told(writer, Predicted(model="m", status=200, milliseconds=1, size=10**6, body="x" * 10**6))
    [answer] = [event for event in reader.news() if isinstance(event, Predicted)]
    assert answer.body is None


def test_a_project_that_was_only_looked_at_stays_as_it_was(tmp_path):
    _told(Journal(tmp_path / ".asteria"), StageFailed(stage="ready", title="no"))
    assert list(Journal(tmp_path / ".asteria").news()) == []
    assert not (tmp_path / ".asteria").exists()


def test_what_was_there_before_is_no_news(project):
    _told(Journal(project.state_dir), StageFailed(stage="ready", title="no"))
    late = Journal(project.state_dir)
    late.open()
    assert list(late.news()) == []
    late.close()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        json.dumps(
            {"process": "x", "event": {"event": "operation_started", "name": "up", "lane": "workflow"}}
        ).encode(),
        json.dumps({"process": "1-a", "event": {"event": "operation_finished", "name": "up"}}).encode(),
        b"x" * (3 << 20),
    ],
    ids=["empty", "cut", "binary", "nested", "null", "without a pid", "unknown operation", "endless"],
)
def test_a_line_that_is_none_of_ours_says_nothing(project, reader, line):
    writer = Journal(project.state_dir)
    _told(writer)
    assert [event.operation for event in reader.news()] == ["up-1", "up-1"]
    with (project.state_dir / FILE).open("ab") as file:
        file.write(line + b"\n")
    found = [event for _ in range(6) for event in reader.news()]
    assert found == []
    _told(writer, operation="up-2")
    assert [event.operation for event in reader.news()] == ["up-2", "up-2"]
