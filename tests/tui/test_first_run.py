"""A folder without asteria.toml: what was found is shown, and one key writes it; nothing else does."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from asteria_tui.config import load
from asteria_tui.errors import ConfigError, ExitCode
from asteria_tui.projects import open_project
from asteria_tui.targets.record import load_record
from asteria_tui.tui.first_run import FirstRun
from asteria_tui.tui.preferences import Settings
from asteria_tui.tui.widgets.link import Link
from asteria_tui.tui.widgets.text import Text
from tests.benchmarks.terminal import Terminal
from tests.conftest import COMMAND, ROOT
from tests.tui.conftest import HANDLER


@pytest.fixture
def folder(served) -> Path:
    return served


def _files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


@asynccontextmanager
async def _opened(folder: Path, size=(120, 40), settings=None) -> AsyncIterator[Pilot]:
    app = FirstRun(folder, settings)
    async with app.run_test(size=size) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        yield pilot


async def test_it_shows_each_value_with_its_reason_and_writes_nothing(folder):
    before = _files(folder)
    async with _opened(folder) as pilot:
        text = pilot.app.query_one(Text).query_one("Static").content.plain
        assert ".handler = handler.py" in text
        assert all(guess.why in text for guess in pilot.app.proposal.discovery.guesses)
        assert pilot.app.proposal.text.strip() in text
    assert _files(folder) == before


async def test_one_key_writes_what_init_would_write(folder):
    async with _opened(folder) as pilot:
        await pilot.press("enter")
    assert pilot.app.return_value is True
    written = (folder / "asteria.toml").read_text()
    assert [model.handler for model in load(folder).settings.models.values()] == ["handler.py"]
    (folder / "asteria.toml").unlink()
    await asyncio.to_thread(subprocess.run, [*COMMAND, "init", "-C", str(folder)], check=True, capture_output=True)
    assert written == (folder / "asteria.toml").read_text()


@pytest.mark.parametrize("key", ["escape", "q", "ctrl+q", "x"])
async def test_every_other_key_leaves_the_folder_as_it_was(folder, key):
    before = _files(folder)
    async with _opened(folder) as pilot:
        await pilot.press(key)
        assert pilot.app.is_running == (key == "x")
    assert not pilot.app.return_value
    assert _files(folder) == before


@pytest.mark.parametrize("id_", ["write", "leave"])
@pytest.mark.parametrize("size", [(40, 10), (60, 20), (200, 60)], ids=str)
async def test_both_ways_are_in_sight_and_can_be_clicked(folder, size, id_):
    async with _opened(folder, size) as pilot:
        for link in pilot.app.query(Link):
            assert link.region in pilot.app.screen.region
            assert link.region.width == len(str(link.content))
        assert pilot.app.query_one(Text).size.height >= 3
        await pilot.click(f"#{id_}")
    assert (folder / "asteria.toml").exists() == (id_ == "write")


async def test_keys_of_the_user_are_named_and_taken(folder):
    async with _opened(folder, settings=Settings(keys={"back": "f9"})) as pilot:
        assert str(pilot.app.query_one("#leave", Link).content).startswith("f9 ")
        await pilot.press("escape")
        assert pilot.app.is_running
        await pilot.press("f9")
        assert not pilot.app.is_running


async def test_a_file_that_came_meanwhile_stays_and_is_told(folder):
    async with _opened(folder) as pilot:
        (folder / "asteria.toml").write_text("# mine\n")
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.is_running
        [told] = pilot.app._notifications
        assert "is there already" in told.title
    assert (folder / "asteria.toml").read_text() == "# mine\n"


async def test_where_nothing_can_be_served_it_says_what_it_takes(tmp_path):
    app = FirstRun(tmp_path)
    async with app.run_test():
        await app.workers.wait_for_complete()
    assert isinstance(app.error, ConfigError)
    assert "it takes a handler" in app.error.hint
    assert _files(tmp_path) == set()


def test_without_a_terminal_it_stays_an_error(folder):
    before = _files(folder)
    ended = subprocess.run([*COMMAND, "-C", str(folder)], check=False, capture_output=True, text=True)
    assert ended.returncode == ExitCode.USAGE
    ended = subprocess.run([*COMMAND, "up", "-C", str(folder)], check=False, capture_output=True, text=True)
    assert ended.returncode == ExitCode.USAGE
    assert "asteria-tui init" in ended.stderr
    assert _files(folder) == before


def test_in_a_terminal_with_nothing_to_serve_it_is_an_error_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    terminal = Terminal([*COMMAND, "-C", str(tmp_path)])
    terminal.wait_for(b"it takes a handler")
    assert terminal.wait_for_end() == ExitCode.USAGE
    assert _files(tmp_path) == set()


@pytest.mark.parametrize("end", ["q", "terminate", "hangup"])
def test_a_newcomer_who_leaves_finds_the_folder_as_it_was(folder, end):
    before = _files(folder)
    terminal = Terminal([*COMMAND, "-C", str(folder)])
    terminal.wait_for(b"every value may be changed later")
    if end == "hangup":
        assert terminal.close(seconds=10) == 0
    else:
        terminal.process.terminate() if end == "terminate" else terminal.press(end)
        assert terminal.wait_for_end() == 0
    assert _files(folder) == before


@pytest.mark.torchserve
def test_a_newcomer_comes_to_an_answer_without_reading_a_word(folder):
    terminal = Terminal([*COMMAND, "-C", str(folder)])
    terminal.wait_for(b"every value may be changed later")
    terminal.press("\r")
    terminal.wait_for(b"to package, start and predict")
    terminal.press("u")
    terminal.wait_for(b"0.25", seconds=120)
    terminal.press("q")
    terminal.wait_for(b"leave it running")
    terminal.press("s")
    assert terminal.wait_for_end(60) == 0
    assert load_record(open_project(folder)) is None


async def test_the_name_of_the_folder_is_no_markup(folder):
    other = folder / "[red]here"
    other.mkdir()
    (other / "handler.py").write_text(HANDLER)
    async with _opened(other) as pilot:
        assert pilot.app.query_one("#frame")._border_title.plain == "A first look at [red]here"
