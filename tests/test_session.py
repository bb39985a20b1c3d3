"""Lanes, ends, events and facts that outlive a session: the promises of Session, by operations that tests script."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import stat
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from asteria_tui import events, last_failure
from asteria_tui.config import load
from asteria_tui.errors import AsteriaError, BusyError, ExitCode, ServerError, TargetError
from asteria_tui.operations.base import Context, Operation, in_thread, stage
from asteria_tui.operations.down import Down
from asteria_tui.operations.up import Up
from asteria_tui.process import uninterrupted
from asteria_tui.session import Session
from asteria_tui.state import State, reduce
from tests.fake_server import FakeServer
from tests.fake_target import FakeTarget

Script = Callable[[Context], Awaitable[ExitCode | None]]


class Scripted(Operation, frozen=True, kw_only=True):
    """Does what its test says."""

    name: ClassVar[str] = "work"
    lane: ClassVar[events.Lane] = "workflow"
    script: Script

    async def run(self, context: Context) -> ExitCode | None:
        return await self.script(context)


class Request(Scripted, frozen=True, kw_only=True):
    name: ClassVar[str] = "ask"
    lane: ClassVar[events.Lane] = "request"


class Background(Scripted, frozen=True, kw_only=True):
    name: ClassVar[str] = "watch"
    lane: ClassVar[events.Lane] = "background"


async def nothing(_: Context) -> None:
    return


async def for_ever(_: Context) -> None:
    await asyncio.Event().wait()


async def in_a_stage_for_ever(context: Context) -> None:
    async with stage(context.emit, "package", "echo"):
        await asyncio.Event().wait()


def raises(error: Exception, *, in_stage: bool) -> Script:
    async def script(context: Context) -> None:
        if not in_stage:
            raise error
        async with stage(context.emit, "package", "echo"):
            raise error

    return script


class Seen:
    """A session and every event of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[Any] = []
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for event in self.session.events():
            self.events.append(event)

    async def end(self) -> list[Any]:
        await self.session.close()
        await self._reading
        return self.events

    @property
    def ends(self) -> list[Any]:
        kinds = (events.OperationFinished, events.OperationFailed)
        return [event for event in self.events if isinstance(event, kinds)]


@pytest.fixture(autouse=True)
def state_of_the_user(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


@pytest.fixture
async def session(tmp_path):
    (tmp_path / "asteria.toml").write_text('[models.echo]\nhandler = "handler.py"\n')
    (tmp_path / "handler.py").write_text("def handle(data, context):\n    return data\n")
    project = load(tmp_path)
    session = Session(project)
    session.target = FakeTarget(project, FakeServer(project.primary_store, project.logs_dir / "records.jsonl"))
    yield session
    await session.close()


@pytest.fixture
async def seen(session):
    found = Seen(session)
    await asyncio.sleep(0)
    return found


async def when(session: Session, holds: Callable[[State], object]) -> None:
    async for state in session.changes():
        if holds(state):
            return


async def rounds(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- lanes --------------------------------------------------------------------------------------------------------


async def test_a_second_workflow_is_refused_at_once_and_told_what_runs(session, seen):
    session.start(Up())
    with pytest.raises(BusyError, match="up is still running"):
        session.start(Down())
    assert await session.run(Down()) == ExitCode.FAILED
    session.cancel("up")
    await seen.end()
    refused = [end for end in seen.ends if not end.operation]
    assert [(end.name, end.title) for end in refused] == [("down", "up is still running")]
    # What was refused had not begun.
    assert [event.name for event in seen.events if isinstance(event, events.OperationStarted)] == ["up"]


async def test_requests_run_beside_a_workflow_and_each_other(session):
    both = asyncio.Barrier(2)

    async def meets(_: Context) -> None:
        await both.wait()

    session.start(Scripted(script=for_ever))
    codes = await asyncio.gather(session.run(Request(script=meets)), session.run(Request(script=meets)))
    assert codes == [ExitCode.DONE, ExitCode.DONE]


async def test_cancel_ends_the_last_one_of_that_name(session):
    first, second = session.start(Request(script=for_ever)), session.start(Request(script=for_ever))
    assert session.cancel("ask")
    assert await second.done() == ExitCode.INTERRUPTED
    assert [one.id for one in session.state.operations] == [first.id]
    assert not session.cancel("up")


async def test_what_runs_in_the_background_is_cancelled_and_waited_for_at_the_end(session, seen):
    cleaned = asyncio.Event()

    async def watches(_: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    session.start(Background(script=watches))
    await rounds()
    await seen.end()
    assert cleaned.is_set()
    [end] = seen.ends  # which is no failure: it goes on until then
    assert (type(end), end.exit_code) == (events.OperationFinished, ExitCode.INTERRUPTED)
    assert session.state.operations == ()


async def test_closing_says_what_it_waits_for(session, monkeypatch):
    monkeypatch.setattr("asteria_tui.session.PATIENCE", 0.01)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def cleans_up(_: Context) -> None:
        begun.set()
        await uninterrupted(may_end.wait())

    session.start(Scripted(script=cleans_up))
    await begun.wait()
    said = []

    def report(text: str) -> None:
        said.append(text)
        may_end.set()

    await session.close(report)
    assert said == ["waiting for work to clean up …"]
    assert session.state.operations == ()


async def test_closing_gives_up_what_hangs(session, monkeypatch):
    monkeypatch.setattr("asteria_tui.session.PATIENCE", 0.0)
    monkeypatch.setattr("asteria_tui.session.CLOSE_TIMEOUT", 0.01)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hangs(_: Context) -> None:
        begun.set()
        await uninterrupted(may_end.wait())

    session.start(Scripted(script=hangs))
    await begun.wait()
    await session.close()
    may_end.set()


async def test_another_target_restarts_what_goes_on_in_the_background(session):
    targets = []

    async def watches(context: Context) -> None:
        targets.append(context.project.settings.server.target)
        await asyncio.Event().wait()

    session.start(Background(script=watches))
    asking = session.start(Request(script=for_ever))
    await rounds()
    session.choose_target("docker")
    await rounds()
    assert targets == ["local", "docker"]
    assert session.project.settings.server.target == "docker"
    assert session.state.is_running("ask")  # a request is not the background's
    assert [one.name for one in session.state.operations].count("watch") == 1
    asking.cancel()


# -- one end, whatever is raised -------------------------------------------------------------------------------------


async def test_success(session, seen):
    assert await session.run(Scripted(script=nothing)) == ExitCode.DONE
    await seen.end()
    [end] = seen.ends
    assert (type(end), end.exit_code, end.name) == (events.OperationFinished, 0, "work")


async def test_an_answer_of_no_is_no_failure(session, seen):
    async def unwell(_: Context) -> ExitCode:
        return ExitCode.UNWELL

    assert await session.run(Request(script=unwell)) == ExitCode.UNWELL
    await seen.end()
    [end] = seen.ends
    assert (type(end), end.exit_code) == (events.OperationFinished, ExitCode.UNWELL)


@pytest.mark.parametrize("in_stage", [True, False], ids=["in a stage", "outside"])
async def test_an_error(session, seen, in_stage):
    error = ServerError("no", detail="details", hint="do this")
    error.cause = events.Cause(exception="ValueError", message="x")
    assert await session.run(Scripted(script=raises(error, in_stage=in_stage))) == ExitCode.UNWELL
    await seen.end()
    [end] = seen.ends
    told = (end.title, end.detail, end.hint, end.exit_code, end.cause)
    assert told == ("no", "details", "do this", ExitCode.UNWELL, error.cause)
    assert (end.stage, end.model) == (("package", "echo") if in_stage else ("", None))
    assert end.crash_report == ""
    assert [one.status for one in session.state.stages] == (["failed"] if in_stage else [])


async def test_another_error_after_a_failed_stage_is_none_of_that_stage(session, seen):
    """Or nobody would report it."""

    async def script(context: Context) -> None:
        with contextlib.suppress(ServerError):
            await raises(ServerError("no"), in_stage=True)(context)
        raise TargetError("the server did not end")

    assert await session.run(Scripted(script=script)) == ExitCode.TARGET
    await seen.end()
    [end] = seen.ends
    assert (end.title, end.stage, end.model) == ("the server did not end", "", None)


async def test_cancelled_before_it_began(session, seen):
    ran = []

    async def script(_: Context) -> None:
        ran.append(1)

    handle = session.start(Scripted(script=script))
    handle.cancel()
    assert await handle.done() == ExitCode.INTERRUPTED
    await seen.end()
    assert ran == []
    [end] = seen.ends
    assert (end.title, end.exit_code, end.operation) == ("interrupted", ExitCode.INTERRUPTED, handle.id)


async def test_cancelled_in_a_stage(session, seen):
    handle = session.start(Scripted(script=in_a_stage_for_ever))
    await when(session, lambda state: state.stages)
    handle.cancel()
    assert await handle.done() == ExitCode.INTERRUPTED
    await seen.end()
    [end] = seen.ends
    assert (end.title, end.stage, end.model) == ("interrupted", "package", "echo")
    assert [one.status for one in session.state.stages] == ["failed"]


async def test_a_second_interruption_of_a_clean_up_is_reported_like_the_first(session, seen):
    cleaning, may_end = asyncio.Event(), asyncio.Event()

    async def script(context: Context) -> None:
        async with stage(context.emit, "stop"):
            cleaning.set()
            await uninterrupted(may_end.wait())

    running = asyncio.ensure_future(session.run(Scripted(script=script)))
    await cleaning.wait()
    for _ in range(3):
        running.cancel()
        await rounds()
    assert not running.done()
    may_end.set()
    assert await running == ExitCode.INTERRUPTED
    await seen.end()
    assert [(end.title, end.stage) for end in seen.ends] == [("interrupted", "stop")]


async def test_whoever_waits_may_go_without_the_operation(session):
    handle = session.start(Scripted(script=for_ever))
    waiting = asyncio.ensure_future(handle.done())
    await rounds()
    waiting.cancel()
    await rounds()
    assert session.state.is_running("work")


# -- a bug ---------------------------------------------------------------------------------------------------------


def buggy(secret: str = "") -> Script:
    async def script(context: Context) -> None:
        token = f"local {secret}"  # noqa: F841 what must not be in the report
        answer = events.Predicted(model="echo", status=200, milliseconds=1, body={"private": "body"})
        async with stage(context.emit, "predict", "echo") as report:
            context.emit(answer)
            report.summary = "private body"
        context.emit(events.KeysChanged(keys=(events.Key(kind="api", token="SECRET-1"),)))
        context.emit(events.ModelDescribed(model="echo", versions=({"private": "body"},)))
        async with stage(context.emit, "package", "echo"):
            {}["threshold SECRET-1"]

    return script


async def test_a_bug_in_a_stage_is_one_sentence_a_file_and_no_row_left_running(session, seen):
    assert await session.run(Scripted(script=buggy())) == ExitCode.FAILED
    await seen.end()
    [end] = seen.ends
    assert end.title.startswith("a bug in asteria-tui: KeyError: ")
    assert "\n" not in end.title
    assert end.hint == f"{session.project.relative(end.crash_report)} has what a report needs"
    assert [one.status for one in session.state.stages] == ["done", "failed"]
    assert session.state.operations == ()
    assert session.state.failure == end


async def test_what_a_crash_report_holds(session, seen):
    for number in range(80):
        session.emit(events.CommandRan(command=f"command {number}"))
    await session.run(Scripted(script=buggy("LOCAL")))
    await seen.end()
    [end] = seen.ends
    file = session.project.root / session.project.relative(end.crash_report)
    assert file.parent == session.project.state_dir / "crashes"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert re.search(r"^asteria-tui \d.*Python 3", text, re.MULTILINE)
    assert "while: work" in text
    assert "in script" in text  # the traceback
    assert "KeyError: 'threshold ••••••••'" in text
    for hidden in ("SECRET-1", "local LOCAL", "private"):
        assert hidden not in text.split("The last events:")[-1]
    assert "SECRET-1" not in text
    assert "local LOCAL" not in text
    happened = text.split("The last events:\n")[1].splitlines()
    assert len(happened) == 50
    assert [events.decode(line) for line in happened][-1].stage == "package"


async def test_at_most_twenty_reports_are_kept(session):
    session.project.state_dir.mkdir()
    written = []
    for _ in range(23):
        await session.run(Request(script=raises(KeyError("x"), in_stage=False)))
        written.append(session.state.last_failure.crash_report)
    assert sorted(str(file) for file in (session.project.state_dir / "crashes").iterdir()) == written[-20:]


async def test_where_there_is_no_folder_of_ours_the_user_s_state_has_it(session, state_of_the_user):
    assert not session.project.state_dir.exists()
    await session.run(Request(script=raises(KeyError("x"), in_stage=False)))
    assert not session.project.state_dir.exists()
    [file] = (state_of_the_user / "asteria-tui" / "crashes").iterdir()
    assert session.state.last_failure.crash_report == str(file)


# -- facts ---------------------------------------------------------------------------------------------------------


async def test_every_event_of_an_operation_carries_its_id_from_threads_too(session, seen, monkeypatch):
    monkeypatch.setattr("asteria_tui.operations.base.PROGRESS_EVERY", 0.0)
    threads = set()

    async def script(context: Context) -> None:
        def work(progress: Callable[[int, int], None]) -> None:
            threads.add(threading.get_ident())
            context.emit(events.WarningRaised(text="from a thread"))
            for done in range(3):
                progress(done, 3)

        async with stage(context.emit, "package", "echo"):
            await in_thread(work, context.emit, "package", "echo", "echo.mar")

    handle = session.start(Scripted(script=script))
    session.emit(events.WarningRaised(text="of nobody"))
    await handle.done()
    await seen.end()
    assert threads.isdisjoint({threading.get_ident()})
    assert {event.operation for event in seen.events} == {handle.id, ""}
    assert [event.text for event in seen.events if not event.operation] == ["of nobody"]
    assert any(isinstance(event, events.StageProgressed) for event in seen.events)


async def test_two_operations_have_two_ids(session):
    first, second = session.start(Request(script=nothing)), session.start(Request(script=nothing))
    assert first.id != second.id
    assert first.id.startswith("ask-")


def progress(done: int, **fields: Any) -> events.StageProgressed:
    return events.StageProgressed(done=done, **({"stage": "package", "operation": "a"} | fields))


async def test_a_newer_fact_of_its_kind_takes_the_place_of_one_that_waits(session):
    stream = session.events()
    same = events.CommandRan(command="twice")
    for event in (
        progress(1),
        progress(1, model="echo"),
        progress(1, operation="b"),
        progress(1, stage="store"),
        same,
        same,
        events.ServerChanged(state="starting", operation="a"),
        progress(2),
        events.ServerChanged(state="running", operation="a"),
        events.ModelsChanged(),
        events.StageFinished(stage="package", operation="a"),
        progress(3, stage="predict"),
        *(events.WarningRaised(text=str(number)) for number in range(1000)),
        events.ModelsChanged(models=(events.Model(name="m", version="1"),)),
    ):
        session.emit(event)
    await session.close()
    got = [event async for event in stream]
    assert [(event.operation, event.stage, event.model, event.done) for event in got if hasattr(event, "done")] == [
        ("a", "package", "echo", 1),
        ("b", "package", None, 1),
        ("a", "store", None, 1),
        ("a", "package", None, 2),
        ("a", "predict", None, 3),
    ]
    assert [event.state for event in got if isinstance(event, events.ServerChanged)] == ["running"]
    assert [len(event.models) for event in got if isinstance(event, events.ModelsChanged)] == [1]
    assert [event.text for event in got if isinstance(event, events.WarningRaised)] == [str(n) for n in range(1000)]
    assert got.count(same) == 2
    kinds = [type(event) for event in got]
    assert kinds.index(events.ServerChanged) < kinds.index(events.StageFinished)


async def test_the_state_is_what_the_events_add_up_to(session, seen):
    await session.run(Scripted(script=raises(ServerError("no"), in_stage=True)))
    session.emit(events.ServerChanged(state="running"))
    state = State()
    for event in await seen.end():
        state = reduce(state, event)
    assert state == session.state


async def test_changes_come_together(session):
    states = []
    began = asyncio.Event()

    async def read() -> None:
        async for state in session.changes():
            states.append(state)
            began.set()

    reading = asyncio.ensure_future(read())
    await began.wait()
    for number in range(100):
        session.emit(events.CommandRan(command=str(number)))
    await rounds()
    assert [len(state.commands) for state in states] == [0, 100]
    await session.close()
    await reading


async def test_an_event_from_a_thread_arrives_on_the_loop(session):
    await asyncio.to_thread(session.emit, events.CommandRan(command="x"))
    await rounds(2)
    assert [command.command for command in session.state.commands] == ["x"]


# -- what outlives a session ---------------------------------------------------------------------------------------


async def fails_once(session: Session) -> events.OperationFailed:
    await session.run(Scripted(script=raises(ServerError("no", hint="do this"), in_stage=True)))
    assert session.state.last_failure is not None
    return session.state.last_failure


def kept(session: Session) -> events.OperationFailed | None:
    return last_failure.load(session.project.state_dir)


async def test_the_last_failure_and_the_answers_are_there_again(session):
    failure = await fails_once(session)
    session.emit(events.Predicted(model="echo", status=200, milliseconds=1, body={"a": 1}))
    again = Session(session.project)
    again.restore()
    assert again.state.last_failure == failure
    assert [answer.body for answer in again.state.predictions] == [{"a": 1}]
    file = session.project.state_dir / last_failure.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_success_forgets_the_failure_here_and_in_the_file(session):
    await fails_once(session)
    await session.run(Scripted(script=nothing))
    assert kept(session) is None
    assert session.state.last_failure is None


async def test_an_interruption_leaves_the_failure_that_was_kept(session):
    failure = await fails_once(session)
    handle = session.start(Scripted(script=in_a_stage_for_ever))
    await rounds()
    handle.cancel()
    await handle.done()
    assert kept(session) == failure


async def test_a_refused_one_and_a_question_leave_it_too(session):
    failure = await fails_once(session)
    await session.run(Request(script=nothing))
    await session.run(Request(script=raises(ServerError("a question"), in_stage=False)))
    handle = session.start(Scripted(script=for_ever))
    await session.run(Down())
    assert kept(session) == failure
    handle.cancel()


async def test_a_request_with_stages_counts(session):
    await session.run(Request(script=raises(AsteriaError("predict failed"), in_stage=True)))
    assert kept(session) is None  # there is no folder of ours yet, and none is made for it
    session.project.state_dir.mkdir()
    await session.run(Request(script=raises(AsteriaError("predict failed"), in_stage=True)))
    assert kept(session).title == "predict failed"


async def test_a_workflow_of_another_name_that_succeeds_forgets_it_alike(session):
    """One that has no stages, such as `models scale`."""
    await fails_once(session)

    class Other(Scripted, frozen=True, kw_only=True):
        name: ClassVar[str] = "other"

    await session.run(Other(script=nothing))
    assert (kept(session), session.state.last_failure) == (None, None)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"event": "stage_failed"}', b"[" * 100_000],
    ids=["empty", "cut", "list", "binary", "another", "deep"],
)
async def test_a_file_that_is_none_of_ours_is_as_good_as_none(session, content):
    session.project.state_dir.mkdir()
    (session.project.state_dir / last_failure.FILE).write_bytes(content)
    session.restore()
    assert session.state.last_failure is None


async def test_a_workflow_waits_for_another_process_and_says_so(session, seen):
    session.project.state_dir.mkdir()
    with (session.project.state_dir / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711")
        file.flush()
        handle = session.start(Scripted(script=nothing))
        await when(session, lambda state: state.notices)
        assert session.state.notices[0].text == "waiting for another asteria-tui (pid 4711)"
        assert session.state.stages == ()  # no stage that never began
    assert await handle.done() == ExitCode.DONE


async def test_how_long_it_took_is_told(session, seen):
    begun = time.monotonic()
    await session.run(Scripted(script=nothing))
    await seen.end()
    assert 0 <= seen.ends[0].seconds <= time.monotonic() - begun
