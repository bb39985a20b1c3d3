"""A screen where nothing happens paints nothing, and a log that grows costs no layout."""

from __future__ import annotations

from textual.screen import Screen

from tests.tui.conftest import RUNNING, settle, write_log


def _count(monkeypatch, name):
    calls = []
    original = getattr(Screen, name)
    monkeypatch.setattr(Screen, name, lambda *args, **options: calls.append(name) or original(*args, **options))
    return calls


async def test_nothing_is_painted_while_nothing_happens(opened, session, monkeypatch):
    write_log(session.project)
    session.replay(*RUNNING)
    async with opened() as pilot:
        await pilot.pause(0.3)
        painted = _count(monkeypatch, "_compositor_refresh")
        await pilot.pause(2)
        assert painted == []


async def test_a_state_that_says_nothing_new_paints_nothing(opened, session, monkeypatch):
    session.replay(*RUNNING)
    async with opened() as pilot:
        await pilot.pause(0.3)
        painted = _count(monkeypatch, "_compositor_refresh")
        session.replay(session.state.server)
        await pilot.pause(0.3)
        assert painted == []


async def test_a_log_that_grows_asks_for_no_layout(opened, session, monkeypatch):
    write_log(session.project, 200)
    async with opened() as pilot:
        await pilot.pause(0.3)
        layouts = _count(monkeypatch, "_refresh_layout")
        for _ in range(5):
            write_log(session.project, 200)
            await settle(pilot)
        assert len(pilot.app.workbench.logs.rows) == 1200
        assert layouts == []
