"""The ways from a failure to its cause, its place in the log, and the line to mend."""

from __future__ import annotations

import msgspec

from asteria_tui import events, last_failure
from asteria_tui.events import OperationFailed, Predicted
from asteria_tui.state import State, reduce
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import key_names
from asteria_tui.tui.widgets.dialogs import Reader
from asteria_tui.tui.widgets.footer import Footer
from tests.tui.conftest import CAUSE, FAILED, NOW, RECORD, RUNNING, settle, write_log

SYNTAX = (
    events.OperationStarted(operation="up-1", name="up", lane="workflow"),
    events.StageStarted(operation="up-1", stage="package", model="sample"),
    events.StageFailed(
        operation="up-1",
        stage="package",
        model="sample",
        title="handler.py does not compile",
        detail="handler.py:2: invalid syntax: retrun data",
    ),
)


def _shown(pilot) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


async def test_an_error_of_syntax_leads_to_its_line(opened, session, monkeypatch):
    async with opened() as pilot:
        session.replay(*SYNTAX)
        await settle(pilot)
        assert "→ fix line 2, then press u" in _shown(pilot)
        opened_at = []
        monkeypatch.setattr(pilot.app, "edit", lambda *place: opened_at.append(place))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Reader)
        await pilot.press("enter")
        await pilot.pause()
        assert opened_at == [("handler.py", 2)]


async def test_a_file_that_is_not_there_is_no_place(opened, session):
    async with opened() as pilot:
        gone = msgspec.structs.replace(SYNTAX[-1], detail="gone.py:2: invalid syntax")
        session.replay(*SYNTAX[:-1], gone)
        await settle(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen.source is None


async def test_a_dialog_is_as_large_as_its_text(opened, session):
    async with opened() as pilot:
        session.replay(*SYNTAX)
        await settle(pilot)
        await pilot.press("enter")
        await pilot.pause()
        dialog = pilot.app.screen.query_one(".dialog")
        assert dialog.size.height <= 8
        assert dialog.size.width < 90
        assert "retrun data" in _shown(pilot)
        await pilot.press("escape", "question_mark")
        await pilot.pause()
        assert pilot.app.screen.query_one(".dialog").size.height > 30


async def test_a_click_on_the_red_stage_opens_its_cause(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING)
        await settle(pilot)
        await pilot.click("#pipeline Text", offset=(5, 1))
        await pilot.pause()
        assert pilot.app.screen is pilot.app.workbench
        session.replay(*FAILED)
        await settle(pilot)
        await pilot.click("#pipeline Text", offset=(5, 3))
        await pilot.pause()
        assert pilot.app.screen.source == ("handler.py", 23)


async def test_enter_and_a_click_on_a_failed_answer_open_its_cause(opened, session):
    async with opened() as pilot:
        session.replay(*RUNNING, Predicted(model="sample", status=500, milliseconds=3, body="no", cause=CAUSE))
        await settle(pilot)
        await pilot.press("4", "enter")
        await pilot.pause()
        assert pilot.app.screen.source == ("handler.py", 23)
        await pilot.press("escape")
        await pilot.click("#answer", offset=(3, 0))
        await pilot.pause()
        assert isinstance(pilot.app.screen, Reader)


async def test_the_last_failure_is_there_with_its_cause_when_the_screen_is_opened_again(opened, session):
    failure = OperationFailed(
        operation="up-1", name="up", stage="ready", model="sample", title=CAUSE.headline, exit_code=4, cause=CAUSE
    )
    session.project.state_dir.mkdir()
    running = State(operations=(events_state("up-1"),))
    last_failure.keep(session.project.state_dir, running, failure)
    async with opened() as pilot:
        assert "✘ ready" in _shown(pilot)
        assert "handler.py:23 in initialize" in _shown(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert "KeyError: 'threshold'" in pilot.app.screen.plain


def events_state(operation: str):
    begun = events.OperationStarted(operation=operation, name="up", lane="workflow")
    return reduce(State(), begun).operations[0]


async def test_the_log_around_it_ignores_the_filter_and_marks_the_place(opened, session):
    lines = [
        "Traceback (most recent call last):",
        '  File "handler.py", line 23, in initialize',
        "KeyError: 'threshold'",
    ]
    thread = "W-9000-sample_1.0-stdout"
    extra = "".join(
        RECORD.format(at=int(NOW * 1000), level="INFO", thread=thread, logger="MODEL_LOG", text=text).replace(
            '  File "handler.py"', '  File \\"handler.py\\"'
        )
        for text in lines
    )
    write_log(session.project, 8, extra=extra)
    async with opened() as pilot:
        cause = msgspec.structs.replace(CAUSE, last_at=NOW)
        failed = (
            msgspec.structs.replace(one, cause=cause) if isinstance(one, events.StageFailed) else one for one in FAILED
        )
        session.replay(*failed)
        pilot.app.workbench.logs.set_filter(grep="of no record")
        await settle(pilot)
        await pilot.press("1", "enter")
        await pilot.pause()
        around = pilot.app.screen.text.plain.partition("the log around it")[2]
        assert "request 00003" in around
        [place] = [line for line in around.splitlines() if line.startswith("▸")]
        assert "KeyError: 'threshold'" in place


def test_pipeline_and_request_have_one_figure_for_one_call():
    state = State()
    for event in (
        events.StageStarted(operation="predict-1", stage="predict", model="m"),
        Predicted(operation="predict-1", model="m", status=503, milliseconds=9.1),
        events.StageFailed(operation="predict-1", stage="predict", model="m", title="no", seconds=2.009),
    ):
        state = reduce(state, event)
    [row] = [row for row in pres.pipeline(state) if row.name == "predict"]
    assert row.time == "9 ms"


async def test_the_footer_has_the_keys_that_work_where_one_types(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        footer = pilot.app.workbench.query_one(Footer)
        await pilot.press("e")
        await pilot.pause()
        assert footer.render().plain.split("  ")[:2] == ["ctrl+j send", "esc done"]
        await pilot.press("escape")
        await pilot.pause()
        assert "] next sample" in footer.render().plain
        await pilot.press("slash")
        await pilot.pause()
        assert footer.render().plain.strip() == "esc done"


async def test_without_tracebacks_the_list_says_so(opened, session):
    write_log(session.project)
    async with opened() as pilot:
        await pilot.press("t")
        await settle(pilot)
        assert "no traceback in this log: t shows the log" in _shown(pilot)
        await pilot.press("t")
        await settle(pilot)
        assert "no traceback" not in _shown(pilot)


async def test_the_palette_is_grouped_and_names_no_ids(opened):
    async with opened() as pilot:
        titles = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert "Server · up" in titles
        assert "Request · next sample" in titles
        assert not any("_" in title or "(" in title for title in titles)


def test_an_advice_is_not_made_of_any_text_with_a_colon():
    failure = events.StageFailed(
        stage="start", title="no", detail="port 8080: taken", hint="`asteria-tui down` frees it"
    )
    assert pres.source(failure) is None
    assert pres.advice(failure, key_names({})) == "s frees it"
