"""What the user set the screen to is there again, however the screen was left."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.tui.preferences import Sizes, UiState, load_ui_state
from tests.benchmarks.terminal import Terminal
from tests.conftest import COMMAND, ROOT
from tests.tui.conftest import settle, write_log

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _write(project, content: bytes) -> None:
    project.state_dir.mkdir(exist_ok=True)
    (project.state_dir / "screen.json").write_bytes(content)


async def test_no_following_is_remembered_when_it_was_chosen(opened, session):
    write_log(session.project, 200)
    async with opened() as pilot:
        await pilot.press("f")
        pilot.app.remember()
        chosen = pilot.app.ui_state
    assert not chosen.follow
    async with opened(ui_state=chosen) as pilot:
        view = pilot.app.workbench.logs.view
        assert not view.is_following
        assert view.current.text.startswith("request 00199")
        assert "00199" in view.render_line(view.scrollable_content_region.height - 1).text
        write_log(session.project, 7)
        await settle(pilot)
        assert view.current.text.startswith("request 00199")
        assert "+7 new" in str(pilot.app.workbench.logs.border_subtitle)
        await pilot.press("f")
        pilot.app.remember()
        assert pilot.app.ui_state.follow


async def test_scrolling_up_is_no_choice(opened, session):
    write_log(session.project, 200)
    async with opened() as pilot:
        await pilot.press("3", "up", "up", "up")
        await pilot.pause()
        assert not pilot.app.workbench.logs.view.is_following
        pilot.app.remember()
        assert pilot.app.ui_state.follow


async def test_everything_that_was_set_is_taken_down(opened, session):
    write_log(session.project)
    async with opened((140, 50)) as pilot:
        await pilot.press("w", "right_square_bracket", "3")
        await pilot.app.action_act("taller")
        pilot.app.theme = "nord"
        await pilot.press("q")
        await pilot.pause()
        found = pilot.app.ui_state
        assert (found.theme, found.wrap, found.follow, found.sample) == ("nord", True, True, ("sample", "second"))
        assert sum(found.sizes.logs) == pilot.app.workbench.query_one("#right").size.height


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": ' + b"[" * 100_000])
def test_a_file_that_is_none_is_no_memory(project, content):
    _write(project, content)
    assert load_ui_state(project) == UiState()


def test_of_a_file_of_another_version_all_is_kept_that_is_understood(project):
    told = {"theme": "nord", "wrap": "soft", "follow": False, "sizes": {"left": [1, 2], "dock": 1}, "tabs": [1]}
    _write(project, json.dumps(told).encode())
    assert load_ui_state(project) == UiState(theme="nord", follow=False, sizes=Sizes(left=(1, 2)))


@pytest.mark.parametrize("left", [[0, 1], [1], [1, 2, 3], [-4, 5], [1.5, 2], [1, 10**9], "half", {}])
async def test_sizes_that_are_none_are_left_out(opened, session, left):
    _write(session.project, json.dumps({"wrap": True, "sizes": {"left": left}}).encode())
    found = load_ui_state(session.project)
    assert found == UiState(wrap=True)


@given(st.dictionaries(st.sampled_from(["theme", "wrap", "follow", "sample", "sizes"]) | st.text(), JSON))
def test_no_file_hurts(tmp_path_factory, told):
    from asteria_tui.config import Project, Settings

    project = Project(root=tmp_path_factory.getbasetemp(), settings=Settings())
    _write(project, json.dumps(told).encode())
    found = load_ui_state(project)
    assert isinstance(found.theme, str)
    assert isinstance(found.sizes, Sizes)


async def test_a_theme_and_a_sample_that_are_gone_are_no_harm(opened):
    async with opened(ui_state=UiState(theme="of last year", sample=("gone", "away"))) as pilot:
        assert pilot.app.theme == "asteria"
        assert pilot.app.workbench.request.sample == ("sample", "first")


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
@pytest.mark.parametrize("end", ["hangup", "terminate", "quit"])
def test_it_is_kept_however_the_screen_ends(project, monkeypatch, end):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project.state_dir.mkdir()
    mine = project.root / "config" / "asteria-tui" / "settings.toml"
    mine.parent.mkdir(parents=True)
    settings = '[keys]\nwrap = "f2"  # mine\nwider = "f3"\ntaller = "f4"\n'
    mine.write_text(settings)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(mine.parent.parent))
    terminal = Terminal([*COMMAND, "-C", str(project.root)])
    terminal.wait_for(b"no log yet")
    terminal.press("\x1bOQ\x1bOR3\x1bOSf")
    terminal.wait_for(b"paused")
    if end == "hangup":
        assert terminal.close() == 0
    else:
        if end == "terminate":
            os.kill(terminal.pid, signal.SIGTERM)
        else:
            terminal.press("q")
        assert terminal.wait_for_end() == 0
    found = load_ui_state(project)
    assert (found.wrap, found.follow, found.sample) == (True, False, ("sample", "first"))
    assert found.sizes.left[0] == 48
    assert found.sizes.logs is not None
    assert mine.read_text() == settings


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_a_border_dragged_in_a_terminal_is_where_it_was_let_go(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project.state_dir.mkdir()
    terminal = Terminal([*COMMAND, "-C", str(project.root)])
    terminal.wait_for(b"no log yet")
    # Press, move and release at a column and a line from 1 (xterm, SGR mouse mode).
    terminal.press("\x1b[<0;45;20M\x1b[<32;50;21M\x1b[<32;61;20M\x1b[<0;61;20m")
    terminal.press("q")
    assert terminal.wait_for_end() == 0
    assert load_ui_state(project).sizes == Sizes(left=(60, 60))
