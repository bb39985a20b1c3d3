"""A bug of ours on the screen: one sentence where the stage stands, a file to paste, and the screen goes on."""

from __future__ import annotations

from contextlib import asynccontextmanager

from asteria_tui.operations import monitor, package
from asteria_tui.session import Session
from asteria_tui.tui.app import AsteriaApp
from tests.fake_server import FakeServer
from tests.fake_target import FakeTarget
from tests.waiting import until_async

SENTENCE = "a bug in asteria-tui: KeyError: 'threshold'"


def bug(*_, **__):
    return {}["threshold"]


@asynccontextmanager
async def opened(project):
    session = Session(project)
    session.target = FakeTarget(project, FakeServer(project.primary_store, project.logs_dir / "records.jsonl"))
    app = AsteriaApp(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_async(lambda: app.is_filled)
        yield pilot
    await app.stop_watching()
    await session.close()


def pipeline(pilot):
    return " ".join(pilot.app.workbench.panel("pipeline").query_one("Static").content.plain.split())


async def test_in_a_stage(project, monkeypatch):
    async with opened(project) as pilot:
        app, session = pilot.app, pilot.app.session
        with monkeypatch.context() as patched:
            patched.setattr(package, "build", bug)
            await pilot.press("p")
            await until_async(lambda: session.state.last_failure)
            await until_async(lambda: "✘ package" in pipeline(pilot))
        assert pipeline(pilot).count(SENTENCE) == 1
        [file] = (project.state_dir / "crashes").iterdir()
        assert "has what a report needs" in pipeline(pilot)
        assert "in bug" in file.read_text()
        assert [(stage.stage, stage.status) for stage in session.state.stages] == [("package", "failed")]
        assert app.workflow == ""
        assert app.return_code is None
        # The screen goes on, and what works again is not overshadowed.
        await pilot.press("p")
        await until_async(lambda: "✔ package" in pipeline(pilot))
        assert "bug" not in pipeline(pilot)


async def test_a_screen_that_is_opened_again_shows_it(project, monkeypatch):
    async with opened(project) as pilot:
        monkeypatch.setattr(package, "build", bug)
        await pilot.press("p")
        await until_async(lambda: pilot.app.session.state.last_failure)
    async with opened(project) as pilot:
        await until_async(lambda: SENTENCE in pipeline(pilot))


async def test_in_what_goes_on_in_the_background(project, monkeypatch, tmp_path_factory):
    home = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.setattr(monitor, "check_status", bug)
    async with opened(project) as pilot:
        await until_async(lambda: SENTENCE in pipeline(pilot))
        assert pilot.app.return_code is None
        # There is no folder of ours in this project yet.
        [file] = (home / "asteria-tui" / "crashes").iterdir()
        assert pilot.app.session.state.last_failure.crash_report == str(file)
