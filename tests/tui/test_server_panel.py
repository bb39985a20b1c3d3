"""Choosing a model or a worker in the server panel, and what is then done with it."""

from __future__ import annotations

from asteria_tui import events
from asteria_tui.tui.widgets.dialogs import ChoiceDialog
from tests.tui.conftest import RUNNING, settle, write_log

TWO = events.ModelsChanged(
    models=tuple(
        events.Model(name=name, version="1.0", workers=(events.Worker(id=id_, status="READY", pid=int(id_)),))
        for name, id_ in (("echo", "9000"), ("slow", "9001"))
    )
)


def _panel(pilot):
    return pilot.app.workbench.panel("server")


async def test_the_arrows_choose_and_plus_and_minus_scale_the_model(opened, session):
    session.replay(*RUNNING, TWO)
    async with opened() as pilot:
        await pilot.press("2", "down")
        assert _panel(pilot).chosen == ("model", "echo", "1.0")
        await pilot.press("down", "plus")
        await pilot.press("down", "down", "minus")
        await settle(pilot)
        assert _panel(pilot).chosen == ("worker", "9001")
        assert session.asked == [("models scale", "slow", 2, "1.0"), ("models scale", "slow", 0, "1.0")]


async def test_without_a_choice_among_several_models_nothing_is_changed(opened, session):
    session.replay(*RUNNING, TWO)
    async with opened() as pilot:
        await pilot.press("plus", "x")
        await settle(pilot)
        assert session.asked == []
        assert "choose a model first" in [told.message for told in pilot.app._notifications]


async def test_ending_a_worker_asks_first(opened, session):
    session.replay(*RUNNING, TWO)
    async with opened() as pilot:
        await pilot.press("2", "down", "down", "down", "x")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ChoiceDialog)
        assert session.asked == []
        await pilot.press("x")
        await settle(pilot)
        assert session.asked == [("end worker", "9000", 9000)]
        await pilot.press("x", "escape")
        await settle(pilot)
        assert len(session.asked) == 1


async def test_enter_offers_what_can_be_done_and_the_log_of_a_worker(opened, session):
    write_log(session.project)
    session.replay(*RUNNING, TWO)
    async with opened() as pilot:
        await pilot.press("2", "down", "enter")
        await pilot.pause()
        assert [choice.id for choice in pilot.app.screen.choices] == ["log", "more", "fewer", "unregister"]
        await pilot.press("x")
        await settle(pilot)
        assert session.asked == [("models unregister", "echo", "1.0")]
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        await pilot.press("l")
        await settle(pilot)
        assert pilot.app.workbench.current == "logs"
        assert (pilot.app.workbench.logs.filter.worker, pilot.app.workbench.logs.filter.model) == ("W-9000", None)


async def test_a_click_chooses(opened, session):
    session.replay(*RUNNING, TWO)
    async with opened() as pilot:
        rows = _panel(pilot).query_one("Rows")
        line = next(n for n, row in enumerate(_panel(pilot)._subjects) if row == ("worker", "9001"))
        await pilot.click(rows, offset=(3, line))
        await settle(pilot)
        assert _panel(pilot).chosen == ("worker", "9001")


async def test_the_choice_goes_with_what_was_chosen(opened, session):
    session.replay(*RUNNING, TWO)
    async with opened() as pilot:
        await pilot.press("2", "down", "down")
        session.replay(events.ModelsChanged(models=TWO.models[:1]))
        await settle(pilot)
        assert _panel(pilot).chosen == ()
