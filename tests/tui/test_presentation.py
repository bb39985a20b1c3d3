"""What the panels say of a state, replayed from lists of events."""

from __future__ import annotations

import pytest

from asteria_tui import events
from asteria_tui.state import State, reduce
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import key_names
from asteria_tui.tui.editor import editor_command
from asteria_tui.tui.panels.pipeline import _lines, _one_line
from asteria_tui.tui.panels.server import _lines as server_lines
from asteria_tui.tui.panels.server import strip
from asteria_tui.tui.widgets.sparkline import sparkline
from tests.tui.conftest import FAILED, NOW, RUNNING

KEYS = key_names({})


def _after(*told):
    state = State()
    for event in told:
        state = reduce(state, event)
    return state


def test_a_green_pipeline():
    rows = pres.pipeline(_after(*RUNNING))
    assert [(row.name, row.status) for row in rows] == [(name, "done") for name in pres.STAGES]
    assert rows[-1].text == "score 0.0312"


def test_a_failure_says_cause_place_and_way_out_once():
    text = "\n".join(line.plain for line in _lines(pres.pipeline(_after(*FAILED)), 40, KEYS))
    assert text.count("KeyError") == 1
    assert "handler.py:23 in initialize" in text
    assert "→ fix line 23, then press R" in text
    assert max(map(len, text.splitlines())) <= 40


def test_the_pipeline_in_one_line_keeps_the_cause():
    line = _one_line(pres.pipeline(_after(*FAILED)), 76).plain
    assert "✘ ready  KeyError: 'threshold'" in line


def test_a_server_that_was_there_before_the_screen_proves_its_stages():
    found = [event for event in RUNNING if not event.__class__.__name__.startswith("Stage")]
    rows = {row.name: row for row in pres.pipeline(_after(*found))}
    assert [name for name, row in rows.items() if row.status == "done"] == ["start", "ready", "keys", "predict"]
    assert rows["predict"].text == "score 0.0312"


def test_a_model_of_older_code_is_marked():
    loaded = events.Model(name="m", version="1.0", sha256="old")
    state = _after(events.ServerChanged(state="running"), events.ModelsChanged(models=(loaded,)))
    assert not any("older code" in line.plain for line in server_lines(state, 40, KEYS))
    state = reduce(state, events.SourcesChanged(sources=(events.SourceState(model="m", sha256="new"),)))
    assert any(line.plain.startswith("m 1.0  older code") for line in server_lines(state, 40, KEYS))


def test_progress_is_a_share_where_the_whole_is_known():
    state = _after(
        events.StageStarted(stage="package", model="a"),
        events.StageProgressed(stage="package", model="a", text="copying", done=30, total=40, unit="B"),
    )
    assert pres.pipeline(state)[0].time == "75%"


def test_two_models_have_a_row_each():
    state = _after(
        *(events.StageStarted(stage="package", model=name) for name in ("a", "b")),
        *(events.StageFinished(stage="package", model=name, summary="1.0", seconds=1) for name in ("a", "b")),
    )
    assert [row.text for row in pres.pipeline(state) if row.name == "package"] == ["a  1.0", "b  1.0"]


def test_the_strip_says_why_a_server_is_unwell():
    state = _after(*RUNNING, events.ServerChanged(state="unwell", reason="sample: no worker is ready"))
    assert strip(state, 76, KEYS).plain.startswith("● unwell  sample: no worker is ready")


def test_a_key_that_ended_says_so():
    assert pres.key_time(NOW - 1) == "expired"
    assert pres.key_time(None) == "no end"


def test_bars_are_as_high_as_their_share():
    assert sparkline([1, 4, 8], 10) == "▁▄█" or sparkline([1, 4, 8], 10) == "▂▅█"
    assert sparkline([5] * 30, 8) == "█" * 8
    assert sparkline([], 8) == ""


@pytest.mark.parametrize(
    ("chosen", "command"),
    [
        ("nano", ["nano", "+23", "a.py"]),
        ("code --wait", ["code", "--wait", "--goto", "a.py:23"]),
        ("/usr/bin/hx", ["/usr/bin/hx", "a.py:23"]),
        ("it's", ["it's", "+23", "a.py"]),
        (" ", ["ed", "+23", "a.py"]),
    ],
)
def test_each_editor_opens_at_the_line_in_its_own_way(chosen, command, monkeypatch):
    monkeypatch.setenv("VISUAL", "ed")
    assert editor_command(chosen, "a.py", 23) == command


def test_a_model_that_dev_serves_is_marked():
    loaded = events.Model(name="m", version="1.0", sha256="", is_dev=True)
    state = State(server=events.ServerChanged(state="running"), models=(loaded,))
    assert any(line.plain.startswith("m 1.0  dev") for line in server_lines(state, 40, KEYS))
